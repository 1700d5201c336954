"""Steering by the network's own first stage, and by energies (`protgm.condition.energies`) of what it predicts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, is_dataclass, replace

import torch

from protgm.condition.base import Condition
from protgm.condition.energies import Energy
from protgm.layout import Layout
from protgm.model.state import Prediction
from protgm.process import State
from protgm.structure.frames import Frames

__all__ = ["Autoguidance", "Potential"]


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
    """A differentiable energy of the predicted clean frames that pulls on the CA atoms that may move.

    Translations aim at ``z - scale grad energy(z)``, each residue's pull bounded by ``largest``: steering a mean
    prediction moves the law, and far from the data no network knows what to do.

    Parameters
    ----------
    energy : callable
        ``energy(frames, layout)`` gives one number per protein, shape (B,), from frames (B, L) in Angstrom.
    scale : float
        Squared Angstrom per unit of energy.
    after, until : float
        Times of the translations between which it pulls.
    largest : float
        Angstrom a residue and step.
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
        """The prediction with its translations pulled."""
        with torch.enable_grad():
            places = prediction.frames.translations.detach().requires_grad_(True)
            energy = self.energy(Frames(prediction.frames.rotations.detach(), places), layout)
            if energy.shape != layout.mask.shape[:1]:
                raise ValueError(f"{self.name}: an energy must be one number per protein, got shape {energy.shape}")
            (gradient,) = torch.autograd.grad(energy.sum(), places)
        pull = -self.scale * gradient.nan_to_num()
        pull = pull * (self.largest / pull.norm(dim=-1, keepdim=True).clamp_min(self.largest))
        now = (state.time >= self.after) & (state.time < self.until) & ~layout.known & layout.mask
        moved = prediction.frames.translations + pull * now[..., None]
        return replace(prediction, frames=Frames(prediction.frames.rotations, moved))

    def describe(self) -> dict[str, object]:
        """Name and numbers, those of the energy too where it is one of the package's."""
        names = ("name", "scale", "after", "until", "largest")
        told: dict[str, object] = {"condition": "Potential", **{name: getattr(self, name) for name in names}}
        if is_dataclass(self.energy) and not isinstance(self.energy, type):
            told["energy"] = {"energy": type(self.energy).__name__, **asdict(self.energy)}
        return told
