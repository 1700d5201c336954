"""Steering by the network's own first stage, and by energies (`protgm.condition.energies`) of what it predicts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, is_dataclass, replace

import torch
from torch import Tensor

from protgm.condition.base import Condition
from protgm.condition.energies import Energy
from protgm.layout import Layout
from protgm.lie import so3
from protgm.model.state import Prediction
from protgm.process import State
from protgm.structure.frames import Frames

__all__ = ["Autoguidance", "Potential"]

#: How far N and C lie from CA, Angstrom: what a turn by a radian moves them.
_ARM = 1.5


@dataclass(frozen=True)
class Autoguidance(Condition):
    """Aim beyond the prediction, away from that of the network's first stage, where it is early.

    What the later stages add to the first is what a better network would have more of: going on in that direction
    undoes some of the blur of a mean over many folds (autoguidance, Karras et al. 2024, with the network's own first
    stage in the place of a weaker network, so at no cost).

    Parameters
    ----------
    scale : float
        Translations aim at ``first + scale (last - first)``; 1: at the prediction itself.
    until : float
        Time of the translations up to which that is done.
    """

    scale: float = 1.5
    until: float = 0.6
    # Before energies and distances: what they ask for is a place, which nothing shall go beyond.
    rank: int = field(default=5, init=False, repr=False)

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """The prediction with its early translations moved."""
        if self.scale == 1 or not prediction.intermediate:
            return prediction
        last = prediction.frames.translations
        aim = torch.lerp(prediction.intermediate[0].translations, last, self.scale)
        early = (state.time < self.until)[..., None]
        return replace(prediction, frames=Frames(prediction.frames.rotations, torch.where(early, aim, last)))

    def describe(self) -> dict[str, object]:
        """Name, scale and time."""
        return {"condition": "Autoguidance", "scale": self.scale, "until": self.until}


@dataclass(frozen=True)
class Potential(Condition):
    """A differentiable energy of the predicted clean frames that pulls on, and turns, residues that may move.

    Translations aim at ``z - scale grad energy(z)``, each residue's pull bounded by ``largest``: steering a mean
    prediction moves the law, and far from the data no network knows what to do. Where an energy depends on rotations
    too, all that is predicted of one is turned in space likewise, a radian counted as the Angstrom that N and C move.

    Parameters
    ----------
    energy : callable
        ``energy(frames, layout)`` gives one number per protein, shape (B,), from frames (B, L) in Angstrom.
    scale : float
        Squared Angstrom per unit of energy.
    after, until : float
        Times of the translations between which it pulls.
    largest : float
        Angstrom a residue and step, for a turn too.
    name : str
        What provenance calls it.
    """

    energy: Energy
    scale: float = 1.0
    after: float = 0.0
    until: float = 0.8
    largest: float = 3.0
    name: str = "potential"
    rank: int = field(default=4, init=False, repr=False)

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """The prediction with its translations pulled, and its rotations turned."""
        frames = prediction.frames
        with torch.enable_grad():
            pull, turn = (torch.zeros_like(frames.translations, requires_grad=True) for _ in range(2))
            rotations = so3.exp(turn) @ frames.rotations.detach()
            energy = self.energy(Frames(rotations, frames.translations.detach() + pull), layout)
            if energy.shape != layout.mask.shape[:1]:
                raise ValueError(f"{self.name}: an energy must be one number per protein, got shape {energy.shape}")
            by_pull, by_turn = torch.autograd.grad(energy.sum(), (pull, turn), allow_unused=True)
        now = ((state.time >= self.after) & (state.time < self.until) & ~layout.known & layout.mask)[..., None]
        # What an energy does not depend on has no slope.
        if by_turn is not None:
            prediction = _turned(prediction, state, so3.exp(self._bounded(by_turn / _ARM) * now / _ARM))
        if by_pull is not None:
            places = prediction.frames.translations + self._bounded(by_pull) * now
            prediction = replace(prediction, frames=Frames(prediction.frames.rotations, places))
        return prediction

    def _bounded(self, slope: Tensor) -> Tensor:
        step = -self.scale * slope.nan_to_num()
        bounded: Tensor = step * (self.largest / step.norm(dim=-1, keepdim=True).clamp_min(self.largest))
        return bounded

    def describe(self) -> dict[str, object]:
        """Name and numbers, those of the energy too where it is one of the package's."""
        names = ("name", "scale", "after", "until", "largest")
        told: dict[str, object] = {"condition": "Potential", **{name: getattr(self, name) for name in names}}
        if is_dataclass(self.energy) and not isinstance(self.energy, type):
            told["energy"] = {"energy": type(self.energy).__name__, **asdict(self.energy)}
        return told


def _turned(prediction: Prediction, state: State, turn: Tensor) -> Prediction:
    """All that is predicted of rotations turned in space by ``turn`` (B, L, 3, 3)."""
    frames, posterior = prediction.frames, prediction.posterior
    if posterior is not None:
        posterior = replace(posterior, rotations=turn[:, :, None] @ posterior.rotations)

    def way(there: Tensor | None) -> Tensor | None:
        # Velocity and score are ways from the noisy rotation.
        here = state.frames.rotations
        return None if there is None else so3.log(here.mT @ turn @ here @ so3.exp(there))

    return replace(
        prediction,
        frames=Frames(turn @ frames.rotations, frames.translations),
        posterior=posterior,
        velocity=way(prediction.velocity),
        score=way(prediction.score),
    )
