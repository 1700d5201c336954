"""Finite groups of rotations."""

from __future__ import annotations

import math
import re
from functools import cache

import torch
from torch import Tensor

from protgm.lie import so3

__all__ = ["point_group"]


@cache
def point_group(name: str) -> Tensor:
    """Rotations of a point group, the identity first, float64 of shape (K, 3, 3).

    Parameters
    ----------
    name : str
        ``C2`` to ``C12`` (about z), ``D2`` to ``D6`` (and two-fold axes in the xy plane), ``T`` or ``O``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    match = re.fullmatch(r"([CD])(\d+)|([TO])", name.strip().upper())
    turns = {"C": range(2, 13), "D": range(2, 7)}
    if not match or (match[1] and int(match[2]) not in turns[match[1]]):
        raise ValueError(f"symmetry={name}: must be C2 to C12, D2 to D6, T or O")
    z, x = torch.tensor([0.0, 0, 1], dtype=torch.float64), torch.tensor([1.0, 0, 0], dtype=torch.float64)
    if match[1]:
        generators = [z * (2 * math.pi / int(match[2]))] + ([x * math.pi] if match[1] == "D" else [])
    else:
        diagonal = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
        generators = [diagonal * (2 * math.pi / 3), z * (math.pi if match[3] == "T" else math.pi / 2)]
    rotations = [so3.exp(generator) for generator in generators]
    group = [torch.eye(3, dtype=torch.float64)]
    for element in group:  # grows while it is walked through
        for rotation in rotations:
            product = rotation @ element
            if all(float((product - other).abs().max()) > 1e-6 for other in group):
                group.append(product)
    return torch.stack(group)
