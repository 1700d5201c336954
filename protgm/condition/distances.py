"""Distances between residues that are asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from protgm.condition.base import Condition, Draw
from protgm.layout import FREE, Layout, Site
from protgm.model.state import Prediction
from protgm.process import State
from protgm.structure.frames import Frames

__all__ = ["Distance", "Distances", "parse_distances"]

#: How far a residue is moved at most in a step, Angstrom: about the prior's width, for what is asked of single pairs is
#: forgotten again by the next prediction. Along the chain so many residues on either side follow.
_LARGEST, _FOLLOW = 12.0, 20
#: Inside of its bounds that a pair is aimed at, Angstrom, or a quarter of their width.
_MARGIN = 2.0


@dataclass(frozen=True)
class Distance:
    """What is asked of one pair of residues.

    Parameters
    ----------
    first, second : str
        As the output calls them (``A12``), or, behind an ``@``, as the file did that they were given from (``@A95``).
    low, high : float
        Least and largest distance of their CA atoms, Angstrom.

    Raises
    ------
    ValueError
        If the bounds are none.
    """

    first: str
    second: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < float("inf"):
            raise ValueError(f"{self}: distances lie between 0 and some number, least first")
        if self.high < 3.8:
            raise ValueError(f"{self}: CA atoms are never nearer than 3.8 A; ask for more")

    def __str__(self) -> str:
        bounds = f"{self.high:g}" if self.low == 0 else f"{self.low:g}-{self.high:g}"
        return f"{self.first}-{self.second}:{bounds}"


@dataclass(frozen=True)
class Distances(Condition):
    """CA atoms of pairs of residues within bounds: steered, not exact.

    At every step the predicted positions of both residues are moved to where the bounds hold, half of the way each
    (all of it where the other one is given), residues next to them along the chain with them, less the further they
    are: a network takes one residue out of line for noise.

    Parameters
    ----------
    pairs : sequence of Distance
    until : float
        Time of the translations up to which that is done.

    Raises
    ------
    ValueError
        When laid out, if a residue is not there, or both are given.
    """

    pairs: tuple[Distance, ...]
    until: float = 1.0
    rank: int = field(default=4, init=False, repr=False)

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """The layout as it is, with all residues in it."""
        for pair in self.pairs:
            first, second = (_place(layout, label, pair) for label in (pair.first, pair.second))
            if first == second:
                raise ValueError(f"distances={pair}: is one residue, and a distance takes two")
            bodies = layout.body[[first, second]]
            if bool(layout.known[[first, second]].all()) or (bodies[0] == bodies[1] and bodies[0] != FREE):
                raise ValueError(f"distances={pair}: both residues are given, and their distance with them")
        return layout

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """The prediction with the pairs moved towards their bounds."""
        places = prediction.frames.translations
        pull = torch.zeros_like(places)
        for row, sites in enumerate(layout.each):
            known = layout.known[row]
            for pair in self.pairs:
                ends = [_labels(sites, label).index(label) for label in (pair.first, pair.second)]
                apart = places[row, ends[0]] - places[row, ends[1]]
                length = apart.norm().clamp_min(1e-3)
                # How much longer the way between the two has to be.
                margin = min(_MARGIN, (pair.high - pair.low) / 4)
                change = (pair.low + margin - length).clamp_min(0) - (length - pair.high + margin).clamp_min(0)
                free = ~known[ends]
                step = apart * change / length / free.sum()
                for end, sign in zip(ends, (1.0, -1.0), strict=True):
                    pull[row] += sign * _follow(layout, row, end, ends)[:, None] * step
        pull = pull * (_LARGEST / pull.norm(dim=-1, keepdim=True).clamp_min(_LARGEST))
        # Of an assembly the mean over its units is taken: what is asked of one shall be left whole.
        pull = pull * layout.units
        now = (state.time < self.until) & ~layout.known & layout.mask
        return replace(prediction, frames=Frames(prediction.frames.rotations, places + pull * now[..., None]))

    def describe(self) -> dict[str, object]:
        """The pairs as they are written."""
        return {"condition": "Distances", "pairs": list(map(str, self.pairs)), "until": self.until}


_LABEL = r"@?(?:[A-Za-z]{1,2}|[^\s,:@_]+_)?-?\d+[A-Za-z]?"
_PAIR = re.compile(rf"({_LABEL})-({_LABEL}):(\d+(?:\.\d*)?)(?:-(\d+(?:\.\d*)?))?")


def parse_distances(text: str) -> tuple[Distance, ...]:
    """From ``A5-A60:8,A10-B12:4-6``: at most 8 A, and between 4 and 6.

    Raises
    ------
    ValueError
        Naming the pair that is not one, and what would be.
    """
    found = []
    for word in filter(None, re.split(r"[,\s]+", text)):
        match = _PAIR.fullmatch(word)
        if match is None:
            raise ValueError(f"distances={word}: is no pair with bounds; write A5-A60:8 (at most) or A5-B60:6-10")
        first, second, low, high = match.groups()
        try:
            found.append(Distance(first, second, *((0.0, float(low)) if high is None else (float(low), float(high)))))
        except ValueError as error:
            raise ValueError(f"distances={error}") from None
    if not found:
        raise ValueError("distances=: is empty; write pairs of residues and Angstrom, as A5-A60:8")
    return tuple(found)


def _labels(sites: Sequence[Site], like: str) -> list[str]:
    """What residues are called in the way that a label is written; empty where that is nothing."""
    if like.startswith("@"):
        return [site.source and f"@{site.source}" for site in sites]
    return [site.label for site in sites]


def _place(layout: Layout, label: str, pair: Distance) -> int:
    """The first residue of a label: of copies of a given one the first unit's."""
    labels = _labels(layout.sites, label)
    if label in labels:
        return labels.index(label)
    named = list(filter(None, labels))
    there = f"there are {named[0]} to {named[-1]}" if named else "no residue is given from a file"
    raise ValueError(f"distances={pair}: there is no residue {label}; {there}")


def _follow(layout: Layout, row: int, end: int, ends: list[int]) -> Tensor:
    """How far each residue goes along with an end, 0 to 1 (L,): those of its chain, less the further along it."""
    index, chain = layout.residue_index[row], layout.chain_index[row]
    first, second = ends
    # Where both ends are of one chain, those on the way go with the nearer of the two.
    apart = int((index[first] - index[second]).abs()) if chain[first] == chain[second] else 2 * _FOLLOW
    reach = min(_FOLLOW, max(1, apart // 2))
    along = (index - index[end]).abs()
    return (1 - along / reach).clamp_min(0) * (layout.mask[row] & (chain == chain[end]))
