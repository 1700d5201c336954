"""Assemblies of alike chains about one point."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from protgm.checks import check_kind, whole
from protgm.condition.base import Condition, Draw, Network
from protgm.condition.units import Units, beside
from protgm.layout import CHAIN_LETTERS, FIXED, Layout, Site
from protgm.lie import so3
from protgm.lie.point_groups import point_group
from protgm.lie.points import about_z, middle
from protgm.model.state import Prediction
from protgm.process import State
from protgm.streams import Source
from protgm.structure.frames import Frames, centre
from protgm.structure.places import CHAIN_STEP

__all__ = ["Symmetry"]

#: CA atoms of two units are kept this far apart, Angstrom (strands side by side: 4.8); moves there, and their size.
_CLOSEST, _SHIFTS, _STRIDE = 4.5, 20, 2.0
#: CA pairs within 8 A that a unit makes with one on its side, a residue of it (docs/studies/conditions.md); how many of
#: them hold an assembly together.
_CONTACTS, _HELD = 0.9, 10


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
    seen : int, optional
        Of a larger assembly the network sees so many residues: the first unit and those nearest to it, six at least.
        None: always all.
    """

    group: str
    seen: int | None = 512
    rank: int = field(default=3, init=False, repr=False)
    once = True

    def __post_init__(self) -> None:
        check_kind("symmetry", self.group, str)
        point_group(self.group)
        if self.seen is not None:
            whole("seen", self.seen, least=1)

    @property
    def units(self) -> int:
        """How many copies there are."""
        return len(point_group(self.group))

    def doubt(self, residues: int) -> str | None:
        """A word where units of so many residues are too small to hold on to one another."""
        sides = min(self.units - 1, 2)
        least = math.ceil(_HELD / (_CONTACTS * sides))
        if residues >= least:
            return None
        found = _CONTACTS * sides * residues
        return (
            f"symmetry={self.group}: units of {residues} residues make about {found:.0f} contacts with their "
            f"neighbours, too few to hold together; {least} or more residues make {_HELD}"
        )

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """The unit as often as the group has elements, chains under new letters."""
        parts = {site.part for site in layout.sites}
        if "target" in parts:
            raise ValueError(f"symmetry={self.group}: cannot be combined with a target, which has no symmetry")
        if parts & {"start", "fixed"}:
            raise ValueError(f"symmetry={self.group}: cannot be combined with a start, whose copies would not fit")
        chains = int(layout.chain_index.max()) + 1
        if chains * self.units > len(CHAIN_LETTERS):
            raise ValueError(f"symmetry={self.group}: {chains * self.units} chains are more than there are letters")
        unit = layout.freed()
        # As far apart as chains of one unit are.
        step = int(unit.residue_index.max()) + 1 + CHAIN_STEP
        copies = []
        for number in range(self.units):
            copies.append(
                replace(
                    unit,
                    residue_index=unit.residue_index + number * step,
                    chain_index=unit.chain_index + number * chains,
                    body=torch.where(unit.body > FIXED, unit.body + number * int(unit.body.max()), unit.body),
                    sites=_renamed(unit, number, chains),
                )
            )
        return replace(Layout.joined(copies), units=self.units)

    def ask(self, network: Network, layout: Layout) -> Network:
        """Of large assemblies the first unit with its neighbours, and what is predicted for it on all units."""
        if self.seen is None or len(layout) <= self.seen:
            return network
        return beside(network, layout, point_group(self.group), self.seen)

    def constrain(self, state: State, layout: Layout) -> State:
        """The state with all units as the first one's copies."""
        units = Units.of(layout.mask, self.units)
        return replace(state, frames=self._spread(state.frames, units), sequence=units.first(state.sequence))

    def start(self, state: State, layout: Layout, source: Source = None) -> State:
        """The same for what a walk starts from, whose noise is this condition's."""
        places = self.noise(state.frames.translations, layout)
        return self.constrain(replace(state, frames=Frames(state.frames.rotations, places)), layout)

    def noise(self, noise: Tensor, layout: Layout) -> Tensor:
        """Noise on the orbit: each residue of the first unit has independent noise, centred along a single axis.

        Draws that were centred over all units have lost some of where the first unit lies; its distance to the second
        has it.
        """
        units = Units.of(layout.mask, self.units)
        first, second = (middle(noise, layout.mask & (units.number == number)) for number in (0, 1))
        places = self._spread_points(noise - first + (first - second) / math.sqrt(2), units)
        return centre(places, layout.mask) if self._one_axis else places

    def couple(self, deviation: Tensor, clean: Tensor, layout: Layout) -> Tensor:
        """Noise turned onto the assembly by what leaves a group of one axis as it is: turns about that axis.

        Others would take noise off the orbit, and groups of several axes allow none.
        """
        if not self._one_axis:
            return deviation
        return torch.einsum("bij,blj->bli", about_z(deviation, clean, layout.mask), deviation)

    @property
    def _one_axis(self) -> bool:
        return self.group.strip().upper().startswith("C")

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """The mean of what is predicted for the units, turned onto the first, on all of them."""
        units, group = Units.of(layout.mask, self.units), point_group(self.group).to(prediction.frames.translations)
        places = torch.zeros_like(prediction.frames.translations)
        # An equivariant network predicts alike units but for rounding: their mean is a rotation but for that.
        turned = torch.zeros_like(prediction.frames.rotations)
        for number, element in enumerate(group):
            places = places + units.nth(prediction.frames.translations, number) @ element
            turned = turned + element.mT @ units.nth(prediction.frames.rotations, number)
        # Padding has no rotation to be made orthonormal.
        turned = torch.where(layout.mask[..., None, None], turned / self.units, prediction.frames.rotations)
        mean = self._apart(Frames(so3.orthonormalize(turned), places / self.units), units)
        return replace(prediction, frames=self._spread(mean, units).where(layout.mask, prediction.frames))

    def _apart(self, unit: Frames, units: Units) -> Frames:
        """The unit (in the places of all) moved away from the others until no CA of theirs is too near.

        Units begin in each other, and a network that was shown single chains makes one globule of them.
        """
        others = (units.number[:, :, None] == 0) & (units.number[:, None] > 0)
        pairs = others & units.mask[:, :, None] & units.mask[:, None]
        first = units.mask & (units.number == 0)
        for _ in range(_SHIFTS):
            places = self._spread(unit, units).translations
            overlap = (_CLOSEST - torch.cdist(places, places)).clamp_min(0) * pairs
            if not bool((overlap > 0).any()):
                break
            outward = middle(places, first) - middle(places, units.mask)
            step = overlap.amax((1, 2)).clamp(max=_STRIDE)[:, None, None]
            away = step * torch.nn.functional.normalize(outward, dim=-1)
            unit = Frames(unit.rotations, unit.translations + away)
        return unit

    def _spread(self, frames: Frames, units: Units) -> Frames:
        """The first unit of frames (B, L) about the axes."""
        turn = point_group(self.group).to(frames.translations)[units.number]
        places = self._spread_points(frames.translations, units)
        return Frames(turn @ units.first(frames.rotations), places).where(units.mask, frames)

    def _spread_points(self, places: Tensor, units: Units) -> Tensor:
        """The first unit of points (B, L, 3) about the axes; padding stays."""
        turn = point_group(self.group).to(places)[units.number]
        turned = (turn @ units.first(places)[..., None])[..., 0]
        return torch.where(units.mask[..., None], turned, places)

    def describe(self) -> dict[str, object]:
        """The group."""
        return {"condition": "Symmetry", "group": self.group, "seen": self.seen}


def _renamed(unit: Layout, number: int, chains: int) -> tuple[Site, ...]:
    indices = unit.chain_index.tolist()
    return tuple(
        replace(site, chain=CHAIN_LETTERS[number * chains + chain])
        for site, chain in zip(unit.sites, indices, strict=True)
    )
