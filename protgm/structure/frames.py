"""Rigid residue frames: the points of SE(3)^L that everything here is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from protgm.lie.points import centre, kabsch
from protgm.structure.geometry import atoms_from_frames, frames_from_atoms

__all__ = ["Frames", "centre", "kabsch"]


@dataclass(frozen=True)
class Frames:
    """Rotations and origins of residues: ``x_global = R x_local + t``.

    Parameters
    ----------
    rotations : Tensor, shape (..., 3, 3)
    translations : Tensor, shape (..., 3)
        CA positions, Angstrom.
    """

    rotations: Tensor
    translations: Tensor

    @classmethod
    def identity(cls, *shape: int) -> Frames:
        """Frames of no rotation at the origin, of this batch shape."""
        return cls(torch.eye(3).expand(*shape, 3, 3), torch.zeros(*shape, 3))

    @classmethod
    def from_atoms(cls, coords: Tensor) -> Frames:
        """Frames of N, CA, C positions (..., >=3, 3), Angstrom (see `protgm.structure.geometry`)."""
        return cls(*frames_from_atoms(coords))

    @property
    def shape(self) -> torch.Size:
        """Batch shape."""
        return self.translations.shape[:-1]

    def __getitem__(self, index: Any) -> Frames:
        return Frames(self.rotations[index], self.translations[index])

    def map(self, function: Callable[[Tensor], Tensor]) -> Frames:
        """The same function of both tensors; it must leave their last dimensions alone."""
        return Frames(function(self.rotations), function(self.translations))

    def to_atoms(self, chain_breaks: Tensor | None = None) -> Tensor:
        """N, CA, C, O of ideal residues in a chain, shape (..., L, 4, 3), Angstrom."""
        return atoms_from_frames(self.rotations, self.translations, chain_breaks)

    def apply(self, points: Tensor) -> Tensor:
        """Local points (..., 3) in global coordinates."""
        return (self.rotations * points[..., None, :]).sum(-1) + self.translations

    def moved(self, rotation: Tensor, shift: Tensor) -> Frames:
        """Turned about the origin by ``rotation`` (..., 3, 3), then moved by ``shift`` (..., 3)."""
        turned = (rotation * self.translations[..., None, :]).sum(-1)
        return Frames(rotation @ self.rotations, turned + shift)

    def where(self, condition: Tensor, other: Frames) -> Frames:
        """These frames where ``condition`` (...) is true, ``other``'s elsewhere."""
        return Frames(
            torch.where(condition[..., None, None], self.rotations, other.rotations),
            torch.where(condition[..., None], self.translations, other.translations),
        )

    def centre(self, mask: Tensor) -> Frames:
        """Moved so that the mean position over ``mask`` (..., L) is the origin."""
        return Frames(self.rotations, centre(self.translations, mask))
