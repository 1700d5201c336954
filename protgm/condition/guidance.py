"""Steering by the network's own first stage, and by energies of what it predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from protgm.condition.base import Condition
from protgm.layout import Layout
from protgm.model.state import Prediction
from protgm.process import State
from protgm.structure.frames import Frames
from protgm.structure.size import globular_radius

__all__ = ["Autoguidance", "Potential", "contacts", "radius_of_gyration"]

Energy = Callable[[Frames, Layout], Tensor]


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
    rank: int = field(default=4, init=False, repr=False)

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
        """Name and numbers."""
        names = ("name", "scale", "after", "until", "largest")
        return {"condition": "Potential", **{name: getattr(self, name) for name in names}}


def radius_of_gyration(target: float | None = None) -> Energy:
    """Half the squared difference of a protein's radius of gyration from ``target`` (Angstrom), times its length.

    Parameters
    ----------
    target : float, optional
        By default 2.2 L^0.38 A, that of a globular protein of its length (Skolnick et al. 1997).
    """

    def energy(frames: Frames, layout: Layout) -> Tensor:
        weight = layout.mask[..., None].to(frames.translations.dtype)
        count = weight.sum((1, 2))
        middle = (frames.translations * weight).sum(1, keepdim=True) / count[:, None, None]
        radius = torch.sqrt(((frames.translations - middle).square() * weight).sum((1, 2)) / count)
        wanted = globular_radius(count) if target is None else target
        return 0.5 * count * (radius - wanted).square()

    return energy


def contacts(between: bool = True, *, distance: float = 8.0, width: float = 2.0) -> Energy:
    """Minus the number of CA contacts, softly counted: between chains, or within them.

    Parameters
    ----------
    between : bool
    distance, width : float
        A pair counts half at ``distance`` Angstrom, and falls to nothing over ``width``.
    """

    def energy(frames: Frames, layout: Layout) -> Tensor:
        apart = torch.cdist(frames.translations, frames.translations)
        same = layout.chain_index[:, :, None] == layout.chain_index[:, None]
        far = (layout.residue_index[:, :, None] - layout.residue_index[:, None]).abs() > 3
        pairs = (~same if between else same & far) & layout.mask[:, :, None] & layout.mask[:, None]
        return -0.5 * (torch.sigmoid((distance - apart) / width) * pairs).sum((1, 2))

    return energy
