"""Assemblies of alike chains about one point."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from torch import Tensor

from protgm.condition.base import Condition, Draw
from protgm.layout import CHAIN_LETTERS, FIXED, Layout, Site
from protgm.lie import so3
from protgm.lie.random import Source
from protgm.model.state import Prediction
from protgm.process import State
from protgm.structure.frames import Frames

__all__ = ["Symmetry", "point_group"]


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


@dataclass(frozen=True)
class Symmetry(Condition):
    """One unit is generated, and the network sees the assembly.

    Whatever the other conditions lay out becomes the unit. A motif in it moves as a body: where it lies to the axes is
    found. Noise, steps and results are those of the first unit, copied about the axes, so that frames lie on the orbit
    to rounding.

    Parameters
    ----------
    group : str
        As for `point_group`.
    """

    group: str
    rank: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        point_group(self.group)

    @property
    def units(self) -> int:
        """How many copies there are."""
        return len(point_group(self.group))

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """The unit as often as the group has elements, chains under new letters."""
        if bool(layout.hotspot.any()):
            raise ValueError(f"symmetry={self.group}: cannot be combined with a target, which has no symmetry")
        chains = int(layout.chain_index.max()) + 1
        if chains * self.units > len(CHAIN_LETTERS):
            raise ValueError(f"symmetry={self.group}: {chains * self.units} chains are more than there are letters")
        if bool((layout.time > 0).any() & ~layout.known.any()):
            raise ValueError(f"symmetry={self.group}: cannot vary a structure (start=); its copies would not fit")
        unit = self._free(layout)
        copies = []
        for number in range(self.units):
            copies.append(
                replace(
                    unit,
                    chain_index=unit.chain_index + number * chains,
                    body=torch.where(unit.body > FIXED, unit.body + number * int(unit.body.max()), unit.body),
                    sites=_renamed(unit, number, chains),
                )
            )
        return Layout.joined(copies).numbered()

    def _free(self, layout: Layout) -> Layout:
        """The unit with what was fixed in space as a body of its own."""
        fixed = layout.body == FIXED
        body = torch.where(fixed, int(layout.body.max()) + 1, layout.body)
        return replace(layout, body=body, time=torch.where(fixed, 0.0, layout.time), oriented=torch.tensor(False))

    def constrain(self, state: State, layout: Layout) -> State:
        """The state with all units as the first one's copies."""
        return replace(state, frames=self._orbit(state.frames), sequence=_copied(state.sequence, self.units))

    def start(self, state: State, layout: Layout, source: Source = None) -> State:
        """The same for the noise that a walk starts from."""
        return self.constrain(state, layout)

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """The mean of what is predicted for the units, turned onto the first, on all of them."""
        units, group = self.units, point_group(self.group).to(prediction.frames.translations)
        places = prediction.frames.translations.unflatten(1, (units, -1))
        mean = torch.einsum("kji,bklj->bli", group, places) / units
        first = prediction.frames.rotations.unflatten(1, (units, -1))
        # An equivariant network predicts alike units but for rounding: their mean is a rotation but for that.
        turned = torch.einsum("kji,bkljm->blim", group, first) / units
        return replace(prediction, frames=self._spread(Frames(so3.orthonormalize(turned), mean)))

    def _orbit(self, frames: Frames) -> Frames:
        return self._spread(frames[:, : frames.shape[1] // self.units])

    def _spread(self, unit: Frames) -> Frames:
        """A unit (B, L) about the axes, shape (B, K L)."""
        group = point_group(self.group).to(unit.translations)
        rotations = torch.einsum("kij,bljm->bklim", group, unit.rotations).flatten(1, 2)
        return Frames(rotations, torch.einsum("kij,blj->bkli", group, unit.translations).flatten(1, 2))

    def describe(self) -> dict[str, object]:
        """The group."""
        return {"condition": "Symmetry", "group": self.group}


def _copied(values: Tensor, units: int) -> Tensor:
    return values[:, : values.shape[1] // units].repeat(1, units)


def _renamed(unit: Layout, number: int, chains: int) -> tuple[Site, ...]:
    indices = unit.chain_index.tolist()
    return tuple(
        replace(site, chain=CHAIN_LETTERS[number * chains + chain])
        for site, chain in zip(unit.sites, indices, strict=True)
    )
