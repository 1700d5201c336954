"""What a structure predictor is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Folded", "Refolder"]


@dataclass(frozen=True, eq=False)
class Folded:
    """A predicted structure.

    Parameters
    ----------
    coords : ndarray, shape (L, 4, 3), float32
        N, CA, C and O in Angstrom; all but CA may be NaN.
    plddt : float or None
        Mean confidence, 0 to 100.
    """

    coords: NDArray[np.float32]
    plddt: float | None


class Refolder(Protocol):
    """Anything that predicts structures of sequences."""

    def fold(self, sequences: Mapping[str, str]) -> dict[str, Folded]:
        """Structures of sequences (name -> one-letter codes), by name; what cannot be predicted is left out."""
        ...
