"""Has a training run diverged?"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Diverged", "Divergence"]

#: Steps without a finite gradient, beyond those with one, after which a run has diverged.
PATIENCE = 10


class Diverged(ValueError):
    """Training has diverged: gradients or weights are not finite."""


class Divergence:
    """Counts steps whose gradient was not finite, and takes one off for each that was.

    A single one moves nothing and does no harm; where they are the rule nothing is learnt any more.
    """

    def __init__(self) -> None:
        self._count = 0

    def goes_on(self, norm: Tensor) -> bool:
        """Take in the norm of a step's gradient; whether it is time to stop."""
        self._count = max(0, self._count - 1) if bool(torch.isfinite(norm)) else self._count + 1
        return self._count >= PATIENCE
