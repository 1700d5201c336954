"""Rigid bodies whose inside is given and whose place is found."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from protgm.layout import FIXED, Layout
from protgm.lie import so3
from protgm.model.state import Prediction, RotationPosterior
from protgm.process import State
from protgm.structure.frames import Frames, kabsch

__all__ = ["rigid", "steer_bodies"]

#: Concentration of the posterior of a rotation that is given: half a degree.
_CERTAIN = 1e5


def rigid(layout: Layout) -> Tensor:
    """Residues of bodies that move, bool of shape (B, L)."""
    return layout.mask & (layout.body > FIXED)


def steer_bodies(prediction: Prediction, state: State, layout: Layout) -> Prediction:
    """The prediction with each moving body in its own shape, where it lies best on what was predicted.

    Bodies are superposed by the N, CA and C of their residues: a single residue has an orientation too.
    """
    frames, posterior = prediction.frames, prediction.posterior
    for body in range(1, int(layout.body.max()) + 1):
        member = layout.mask & (layout.body == body)
        if not bool(member.any()):
            continue
        frames = _superposed(layout.frames, frames, member).where(member, frames)
    held = rigid(layout)[..., None]
    if posterior is not None:
        rotations = torch.where(held[..., None, None], frames.rotations[:, :, None], posterior.rotations)
        concentration = torch.where(held, _CERTAIN, posterior.concentration)
        posterior = RotationPosterior(posterior.logits, rotations, concentration)
    # Velocity and score of a given rotation are the way to it, in the units of a prediction.
    way = so3.log(so3.relative(state.frames.rotations, frames.rotations))
    velocity, score = (
        None if v is None else torch.where(held, way, v) for v in (prediction.velocity, prediction.score)
    )
    return replace(prediction, frames=frames, posterior=posterior, velocity=velocity, score=score)


def _superposed(mobile: Frames, target: Frames, member: Tensor) -> Frames:
    """Frames (B, L) moved as one so that the atoms of the members lie best on the target's."""
    a, b = (frames.to_atoms()[:, :, :3].flatten(1, 2) for frames in (mobile, target))
    weight = member[..., None].expand(*member.shape, 3).flatten(1)[..., None].to(a.dtype)
    count = weight.sum(1, keepdim=True).clamp_min(1)
    centre_a, centre_b = ((x * weight).sum(1, keepdim=True) / count for x in (a, b))
    turn = kabsch((a - centre_a) * weight, (b - centre_b) * weight)[:, None]
    shift = centre_b - (turn @ centre_a[..., None])[..., 0]
    return mobile.moved(turn, shift)
