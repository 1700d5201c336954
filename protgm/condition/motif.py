"""Scaffolds around residues of a structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike

import torch
from torch.nn import functional as F

from protgm.condition.base import Condition, Draw
from protgm.condition.bodies import rigid, steer_bodies
from protgm.condition.junctions import steer_junctions
from protgm.condition.source import chain_places, given, load_source, residues_of
from protgm.layout import CHAIN_LETTERS, FIXED, Layout, Site
from protgm.model.state import MASK_TOKEN, Prediction
from protgm.process import State
from protgm.structure import Backbone
from protgm.structure.contig import Break, New, Segment, chain_prefix, parse_contig

__all__ = ["Motif"]


@dataclass(frozen=True, repr=False)
class Motif(Condition):
    """Keep residues of a structure, exactly, and build new ones around them.

    Parameters
    ----------
    structure : path, Backbone, or sequence of them
        Where the residues are taken from; the contig names the second file's as ``2:A10-20``.
    contig : str
        What is kept and what is built (see `protgm.structure.contig`).
    length : int or (int, int), optional
        Number of residues in all, or the least and largest; by default what the contig's ranges allow.
    unordered : bool
        The segments come in any order, another one for each sample.
    redesign : sequence of str
        Kept residues (``A95``) whose types may change.

    Raises
    ------
    ValueError
        If a residue is not there or lacks atoms, is kept twice, or the lengths cannot meet.
    """

    structure: str | PathLike[str] | Backbone | Sequence[str | PathLike[str] | Backbone]
    contig: str
    length: int | tuple[int, int] | None = None
    unordered: bool = False
    redesign: tuple[str, ...] = ()
    rank: int = field(default=0, init=False, repr=False)
    sizes: bool = field(default=True, init=False, repr=False)
    once = True

    def __post_init__(self) -> None:
        several = isinstance(self.structure, Sequence) and not isinstance(self.structure, str)
        files = [load_source(one) for one in (self.structure if several else (self.structure,))]  # type: ignore[union-attr,arg-type]
        elements = parse_contig(self.contig)
        rows = {}
        taken: Counter[tuple[int, int]] = Counter()
        for element in elements:
            if isinstance(element, Segment):
                if element.file > len(files):
                    raise ValueError(f"contig={self.contig}: {element.text}: only {len(files)} motif file(s) are given")
                rows[element] = residues_of(files[element.file - 1], element)
                taken.update((element.file, int(i)) for i in rows[element])
        for (file, i), count in taken.items():
            if count > 1:
                raise ValueError(f"contig={self.contig}: residue {files[file - 1].label(i)} is in {count} segments")
        chains: list[list[New | Segment]] = [[]]
        for element in elements:
            if isinstance(element, Break):
                chains.append([])
            else:
                chains[-1].append(element)
        if len(chains) > len(CHAIN_LETTERS):
            raise ValueError(f"contig={self.contig}: {len(chains)} chains are more than there are letters")
        for number, chain in enumerate(chains, 1):
            if not any(isinstance(e, Segment) or e.low > 0 for e in chain):
                raise ValueError(f"contig={self.contig}: chain {number} may come out empty; let it have a residue")
        if not rows:
            named = chain_prefix(files[0].chain_ids[0]) if len(files[0]) else "A"
            raise ValueError(
                f"contig={self.contig}: keeps no residue of the motif (as {named}5-9 would); for none say length= alone"
            )
        known = {files[element.file - 1].label(int(i)) for element, found in rows.items() for i in found}
        for residue in self.redesign:
            if residue not in known:
                raise ValueError(f"redesign={residue}: is not among the residues that the contig keeps")
        low, high = self._bounds(elements, sum(map(len, rows.values())))
        object.__setattr__(self, "_files", files)
        object.__setattr__(self, "_elements", elements)
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_places", [chain_places(one)[1] for one in files])
        object.__setattr__(self, "_total", (low, high))

    def _bounds(self, elements: Sequence[New | Break | Segment], kept: int) -> tuple[int, int]:
        """Least and largest number of new residues."""
        low = sum(e.low for e in elements if isinstance(e, New))
        high = sum(e.high for e in elements if isinstance(e, New))
        if self.length is None:
            return low, high
        least, most = (self.length, self.length) if isinstance(self.length, int) else self.length
        if least > most:
            raise ValueError(f"length={least}-{most}: the range runs backwards; write {most}-{least}")
        if most < low + kept or least > high + kept:
            wanted = f"{least}-{most}" if least < most else f"{least}"
            raise ValueError(
                f"contig={self.contig} makes {low + kept} to {high + kept} residues, which cannot meet length={wanted}"
            )
        return max(low, least - kept), min(high, most - kept)

    def __repr__(self) -> str:
        names = ", ".join(one.name for one in self._files)  # type: ignore[attr-defined]
        return f"Motif({names}, contig={self.contig!r})"

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """Segments where the contig has them, stretches of drawn lengths between them."""
        elements = self._ordered(draw)
        lengths = self._lengths(elements, draw)
        bodies = self._bodies()
        parts, chain, fresh, gaps = [], 0, [], []
        for number, element in enumerate(elements):
            if isinstance(element, Break):
                chain += 1
                continue
            if isinstance(element, New):
                piece = Layout.chain(lengths[number])
                gaps.append(torch.zeros(len(piece), dtype=torch.long))
            else:
                source = self._files[element.file - 1]  # type: ignore[attr-defined]
                piece = given(source, self._rows[element], part="motif", body=bodies[element.body], file=element.file)  # type: ignore[attr-defined]
                piece = self._redesigned(piece)
                along = self._places[element.file - 1][self._rows[element]].diff() - 1  # type: ignore[attr-defined]
                gaps.append(F.pad(along, (1, 0)))
            parts.append(replace(piece, chain_index=torch.full((len(piece),), chain)))
            fresh += [isinstance(element, New)] * len(piece)
        whole = Layout.joined(parts).numbered()
        index = whole.residue_index + torch.cat(gaps).cumsum(0)
        return replace(whole, residue_index=index, sites=_sites(whole, fresh))

    def _ordered(self, draw: Draw) -> list[New | Break | Segment]:
        elements = list(self._elements)  # type: ignore[attr-defined]
        if self.unordered:
            places = [i for i, element in enumerate(elements) if isinstance(element, Segment)]
            for place, other in zip(places, draw.order(len(places), 1), strict=True):
                elements[place] = self._elements[places[other]]  # type: ignore[attr-defined]
        return elements

    def _lengths(self, elements: Sequence[New | Break | Segment], draw: Draw) -> dict[int, int]:
        """How many residues each stretch gets: a total first where it is bounded, then a share of it for each."""
        ranges = {i: e for i, e in enumerate(elements) if isinstance(e, New)}
        if self.length is None:
            return {i: draw.integer(e.low, e.high, 2, i) for i, e in ranges.items()}
        left = draw.integer(*self._total, 3)  # type: ignore[attr-defined]
        lengths = {}
        # Short ranges come to their share whichever comes first: the order is drawn too.
        order = [list(ranges)[i] for i in draw.order(len(ranges), 4)]
        for place, i in enumerate(order):
            later = [ranges[j] for j in order[place + 1 :]]
            low = max(ranges[i].low, left - sum(e.high for e in later))
            high = min(ranges[i].high, left - sum(e.low for e in later))
            lengths[i] = draw.integer(low, high, 5, i)
            left -= lengths[i]
        return lengths

    def _bodies(self) -> dict[int, int]:
        """Number in the layout of each body of the contig: the largest is fixed, the others move."""
        sizes: Counter[int] = Counter()
        for element, rows in self._rows.items():  # type: ignore[attr-defined]
            sizes[element.body] += len(rows)
        largest = max(sizes, key=lambda body: (sizes[body], -body))
        others = [body for body in sorted(sizes) if body != largest]
        return {largest: FIXED, **{body: number for number, body in enumerate(others, 1)}}

    def _redesigned(self, piece: Layout) -> Layout:
        changes = torch.tensor([site.source in self.redesign for site in piece.sites])
        return replace(piece, sequence=piece.sequence.masked_fill(changes, MASK_TOKEN), design=piece.design | changes)

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """Bodies that move keep their shape, and chains go on behind given residues as their carbonyls want."""
        if bool(rigid(layout).any()):
            prediction = steer_bodies(prediction, state, layout)
        return steer_junctions(prediction, layout)

    def describe(self) -> dict[str, object]:
        """Files, contig and what else it was told."""
        return {
            "condition": "Motif",
            "structure": [one.name for one in self._files],  # type: ignore[attr-defined]
            "content": [one.fingerprint() for one in self._files],  # type: ignore[attr-defined]
            "contig": self.contig,
            "length": list(self.length) if isinstance(self.length, tuple) else self.length,
            "unordered": self.unordered,
            "redesign": list(self.redesign),
        }


def _sites(layout: Layout, fresh: Sequence[bool]) -> tuple[Site, ...]:
    """Names of the output's residues: chains A, B, ... from 1; a chain that is all given keeps its id and numbers."""
    chains = layout.chain_index.tolist()
    kept: dict[int, str] = {}
    for chain in dict.fromkeys(chains):
        ids = {layout.sites[i].chain for i, of in enumerate(chains) if of == chain}
        made = any(f for f, of in zip(fresh, chains, strict=True) if of == chain)
        if not made and len(ids) == 1 and not ids & set(kept.values()):
            kept[chain] = ids.pop()
    free = (letter for letter in CHAIN_LETTERS if letter not in kept.values())
    names: dict[int, str] = {}
    numbers: Counter[int] = Counter()
    sites = []
    for chain, site in zip(chains, layout.sites, strict=True):
        if chain in kept:
            sites.append(site)
            continue
        if chain not in names:
            names[chain] = next(free)
        numbers[chain] += 1
        sites.append(replace(site, chain=names[chain], number=numbers[chain], code=""))
    return tuple(sites)
