"""Units of assemblies: where they are in a batch, and what a network sees of them where they are many."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from protgm.condition.base import Network
from protgm.layout import Layout
from protgm.lie.points import middle
from protgm.model.state import NoisyProtein, Prediction, RotationPosterior
from protgm.structure.frames import Frames

__all__ = ["Units", "beside"]

#: A unit is seen with so many others at least: it may touch them.
_FEWEST = 6


@dataclass(frozen=True)
class Units:
    """Where the units of each protein of a batch are: proteins of different lengths have units of different lengths.

    Parameters
    ----------
    mask : Tensor of bool, shape (B, L)
    number, place, size : Tensor of int64, shapes (B, L), (B, L) and (B, 1)
        Which unit a residue belongs to, its place in it, and the unit's length; padding counts to unit 0.
    """

    mask: Tensor
    number: Tensor
    place: Tensor
    size: Tensor

    @classmethod
    def of(cls, mask: Tensor, units: int) -> Units:
        """Of a batch in which each protein has so many."""
        size = mask.sum(-1, keepdim=True) // units
        index = torch.arange(mask.shape[-1], device=mask.device).expand(mask.shape)
        number = torch.where(mask, index // size.clamp_min(1), 0)
        return cls(mask, number, torch.where(mask, index - number * size, 0), size)

    def nth(self, values: Tensor, number: int) -> Tensor:
        """Values (B, L, ...) of the unit with this number, in the places of all units."""
        taken: Tensor = _taken(values, self.place + number * self.size)
        return taken

    def first(self, values: Tensor) -> Tensor:
        """Values (B, L, ...) of the first unit in all; padding keeps its own."""
        mask = self.mask.reshape(*self.mask.shape, *(1,) * (values.dim() - 2))
        return torch.where(mask, self.nth(values, 0), values)


def beside(network: Network, layout: Layout, group: Tensor, seen: int) -> Network:
    """The network, shown the first unit of each assembly with those beside it; every unit gets what the first gets.

    Parameters
    ----------
    network : callable
    layout : Layout
        A batch.
    group : Tensor, shape (K, 3, 3)
    seen : int
        Residues that it sees of a protein at most; but always `_FEWEST` units beside the first, where there are.
    """
    units = Units.of(layout.mask, len(group))

    def ask(protein: NoisyProtein, guess: Frames | None = None) -> Prediction:
        rows, there = _nearest(protein, units, group, seen)
        shown: dict[str, Any] = {one.name: _taken(getattr(protein, one.name), rows) for one in fields(protein)}
        shown["mask"] = there
        prediction = network(NoisyProtein(**shown), None if guess is None else _taken(guess, rows))
        turn = group.to(protein.frames.translations)[units.number]
        return _spread(prediction, units.place, turn)

    return ask


def _nearest(protein: NoisyProtein, units: Units, group: Tensor, seen: int) -> tuple[Tensor, Tensor]:
    """Rows (B, L') of the first unit and those nearest to it, units in order; and which of them are no padding."""
    centre = middle(protein.frames.translations, units.mask & (units.number == 0))[:, 0]
    apart = (centre @ group.to(centre).mT - centre[None]).norm(dim=-1).T
    # An element and its inverse are equally near: the first of them, whatever the rounding.
    order = (apart * 100).round().sort(dim=-1, stable=True).indices
    rows = []
    for size, nearest in zip(units.size[:, 0].tolist(), order.tolist(), strict=True):
        count = max(seen // max(size, 1), 1 + _FEWEST)
        rows.append(torch.cat([torch.arange(size) + number * size for number in sorted(nearest[:count])]))
    there = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).bool()
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), there


def _taken(values: Any, rows: Tensor) -> Any:
    """Frames or tensors (B, L, ...) in these rows (B, L')."""
    if isinstance(values, Frames):
        return values.map(lambda value: _taken(value, rows))
    return torch.take_along_dim(values, rows.reshape(*rows.shape, *(1,) * (values.dim() - 2)), dim=1)


def _spread(prediction: Prediction, place: Tensor, turn: Tensor) -> Prediction:
    """What is predicted for the first unit in all, turned about the axes where it lies in space."""

    def frames(values: Frames) -> Frames:
        values = _taken(values, place)
        return Frames(turn @ values.rotations, (turn @ values.translations[..., None])[..., 0])

    posterior = prediction.posterior
    if posterior is not None:
        taken = (_taken(values, place) for values in (posterior.logits, posterior.rotations, posterior.concentration))
        logits, rotations, concentration = taken
        posterior = RotationPosterior(logits, turn[:, :, None] @ rotations, concentration)
    # Velocity and score are told in the frames of the noisy rotations, which lie on the orbit too.
    velocity, score = (None if v is None else _taken(v, place) for v in (prediction.velocity, prediction.score))
    return replace(
        prediction,
        frames=frames(prediction.frames),
        posterior=posterior,
        intermediate=tuple(frames(stage) for stage in prediction.intermediate),
        sequence_logits=_taken(prediction.sequence_logits, place),
        confidence=_taken(prediction.confidence, place),
        velocity=velocity,
        score=score,
    )
