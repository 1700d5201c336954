"""Rigid bodies whose inside is given and whose place is found."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from protgm.layout import FIXED, Layout
from protgm.lie import so3
from protgm.lie.points import middle
from protgm.model.state import Prediction, RotationPosterior
from protgm.process import State
from protgm.structure.frames import Frames, kabsch

__all__ = ["rigid", "steer_bodies"]

#: Concentration of the posterior of a rotation that is given: half a degree.
_CERTAIN = 1e5
#: CA atoms of two bodies are kept this far apart, Angstrom: neighbouring strands lie at 4.8.
_CLOSEST = 4.8
_SHIFTS = 20


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
    frames = _apart(frames, layout)
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


def _apart(frames: Frames, layout: Layout) -> Frames:
    """The frames with moving bodies shifted until no CA of theirs is too near to one of another body.

    A network that puts two bodies into each other believes in a mean of several places; as it cannot bend them, only
    their distance is left to give way.
    """
    index, given = layout.residue_index, layout.mask & (layout.body >= FIXED)
    other = (layout.body[:, :, None] != layout.body[:, None]) & given[:, :, None] & given[:, None]
    near = (index[:, :, None] - index[:, None]).abs() < 3
    pairs = other & ~(near & (layout.chain_index[:, :, None] == layout.chain_index[:, None]))
    moving = rigid(layout)
    if not bool((pairs & moving[:, :, None]).any()):
        return frames
    places = frames.translations
    for _ in range(_SHIFTS):
        distance = torch.cdist(places, places)
        overlap = (_CLOSEST - distance).clamp_min(0) * pairs
        if not bool((overlap > 0).any()):
            break
        shifts = torch.zeros_like(places)
        for body in range(1, int(layout.body.max()) + 1):
            member = layout.mask & (layout.body == body)
            touched = ((overlap > 0) & member[:, :, None]).any(1)
            # Away from the middle of what is touched: pushes of single pairs cancel where one body lies in another.
            away = functional.normalize(middle(places, member) - middle(places, touched), dim=-1)
            step = (overlap * member[:, :, None]).amax((1, 2)).clamp(max=2.0)[:, None, None]
            shifts = shifts + member[..., None] * (step * away)
        places = places + shifts
    return Frames(frames.rotations, places)


def _superposed(mobile: Frames, target: Frames, member: Tensor) -> Frames:
    """Frames (B, L) moved as one so that the atoms of the members lie best on the target's."""
    a, b = (frames.to_atoms()[:, :, :3].flatten(1, 2) for frames in (mobile, target))
    atoms = member[..., None].expand(*member.shape, 3).flatten(1)
    centre_a, centre_b = middle(a, atoms), middle(b, atoms)
    turn = kabsch(a - centre_a, b - centre_b, atoms)[:, None]
    shift = centre_b - (turn @ centre_a[..., None])[..., 0]
    return mobile.moved(turn, shift)
