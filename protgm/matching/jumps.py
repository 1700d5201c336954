"""One step of a jump process."""

from __future__ import annotations

import torch
from torch import Tensor

from protgm.streams import Source, rand

__all__ = ["jump_or_stay"]


def jump_or_stay(stay: Tensor, jump: Tensor, hazard: Tensor, *, generator: Source = None) -> Tensor:
    """Take the jump with probability ``1 - exp(-hazard)``, which is a probability however large the step.

    Parameters
    ----------
    stay, jump : Tensor, shape (..., *event)
        Where each element goes without and with a jump.
    hazard : Tensor, shape (...)
        Integrated rate over the step, non-negative.
    generator : torch.Generator or Streams, optional

    Returns
    -------
    Tensor, shape (..., *event)
    """
    draw = rand(hazard.shape, generator, dtype=hazard.dtype, device=hazard.device)
    jumps = draw < -torch.expm1(-hazard)
    return torch.where(jumps.reshape(jumps.shape + (1,) * (stay.dim() - jumps.dim())), jump, stay)
