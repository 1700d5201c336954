"""Products with rotations that keep float32 under autocast."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["compose", "rotate", "rotate_back", "rotate_points"]


def rotate(rotations: Tensor, vectors: Tensor) -> Tensor:
    """Rotations (..., 3, 3) applied to vectors (..., 3).

    Written as products and sums: autocast leaves those in float32, and the compiler fuses them.
    """
    return (rotations * vectors[..., None, :]).sum(-1)


def rotate_back(rotations: Tensor, vectors: Tensor) -> Tensor:
    """Inverse rotations (..., 3, 3) applied to vectors (..., 3)."""
    return (rotations * vectors[..., :, None]).sum(-2)


def rotate_points(rotations: Tensor, points: Tensor, *, invert: bool = False) -> Tensor:
    """Rotations (B, L, 3, 3), or their inverses, applied to many points of each residue (B, L, P, 3), in float32.

    A matrix product: several times as fast as `rotate` where there are many points.
    """
    matrix = rotations.flatten(0, 1)
    with torch.autocast(points.device.type, enabled=False):
        turned = torch.bmm(points.float().flatten(0, 1), matrix if invert else matrix.transpose(1, 2))
    rows: Tensor = turned.unflatten(0, points.shape[:2])
    return rows


def compose(first: Tensor, second: Tensor, *, invert_first: bool = False) -> Tensor:
    """Matrix product of rotations (..., 3, 3), or ``first^T second``, in float32 also under autocast."""
    if invert_first:
        return (first[..., :, :, None] * second[..., :, None, :]).sum(-3)
    return (first[..., :, :, None] * second[..., None, :, :]).sum(-2)
