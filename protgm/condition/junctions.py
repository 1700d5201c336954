"""Where a chain goes on behind a given residue: its carbonyl says where the next N and CA lie."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from protgm.layout import FREE, Layout
from protgm.lie import so3
from protgm.model.state import Prediction
from protgm.structure.frames import Frames
from protgm.structure.geometry import IDEAL_N_CA_C, PEPTIDE

__all__ = ["steer_junctions"]

_N_CA = math.dist(IDEAL_N_CA_C[0], IDEAL_N_CA_C[1])


def steer_junctions(prediction: Prediction, layout: Layout) -> Prediction:
    """The prediction with each new residue behind a given one where a trans peptide with the given O puts it.

    Frames leave the place of O open (psi), so that a network does not know what a motif's carbonyl asks of the chain;
    told at every step through what is steered, it builds the rest accordingly.

    Parameters
    ----------
    prediction : Prediction
        Given residues where they are to be.
    layout : Layout
        A batch.
    """
    before = layout.given_atoms[:, :-1, 3] & ~layout.breaks[:, :-1] & (layout.body[:, 1:] == FREE)
    if not bool(before.any()):
        return prediction
    behind = F.pad(before, (1, 0))
    nitrogen, alpha = _next(layout.to_atoms(prediction.frames)[:, :-1])
    frames = prediction.frames
    local = frames.rotations.new_tensor(IDEAL_N_CA_C[0])
    towards = (frames.rotations[:, 1:] * local).sum(-1)
    turn = _shortest(F.normalize(towards, dim=-1), F.normalize(nitrogen - alpha, dim=-1))
    moved = Frames(turn @ frames.rotations[:, 1:], alpha)
    first = frames[:, :1]
    pinned = Frames(
        torch.cat((first.rotations, moved.rotations), 1), torch.cat((first.translations, moved.translations), 1)
    )
    return replace(prediction, frames=pinned.where(behind, frames))


def _next(atoms: Tensor) -> tuple[Tensor, Tensor]:
    """N and CA of the residues behind those of ``atoms`` (..., 4, 3), across ideal trans peptides."""
    alpha, carbon, oxygen = atoms[..., 1, :], atoms[..., 2, :], atoms[..., 3, :]
    nitrogen = _placed(alpha, carbon, PEPTIDE.C_N, PEPTIDE.CA_C_N, away_from=oxygen)
    return nitrogen, _placed(carbon, nitrogen, _N_CA, PEPTIDE.C_N_CA, away_from=alpha)


def _placed(first: Tensor, second: Tensor, length: float, angle: float, *, away_from: Tensor) -> Tensor:
    """The point at a bond length from ``second`` and a bond angle to ``first``, opposite to a third in their plane."""
    back = F.normalize(first - second, dim=-1)
    side = away_from - second
    side = -F.normalize(side - (side * back).sum(-1, keepdim=True) * back, dim=-1)
    return second + length * (math.cos(angle) * back + math.sin(angle) * side)


def _shortest(a: Tensor, b: Tensor) -> Tensor:
    """The smallest rotation that takes unit vectors a to b, shape (..., 3, 3)."""
    axis = torch.linalg.cross(a, b)
    sine = torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
    angle = torch.atan2(sine, (a * b).sum(-1, keepdim=True))
    return so3.exp(axis / sine.clamp_min(1e-6) * angle)
