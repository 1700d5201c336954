"""A new chain against given ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from os import PathLike

import numpy as np
import torch
from torch.nn import functional as F

from protgm.condition.base import Condition, Draw
from protgm.condition.source import chain_places, given, load_source, residues_of
from protgm.layout import CHAIN_LETTERS, Layout
from protgm.lie.points import middle
from protgm.model.state import Prediction
from protgm.process import State
from protgm.structure import Backbone
from protgm.structure.contig import Segment, parse_contig
from protgm.structure.frames import Frames
from protgm.structure.places import CHAIN_STEP

__all__ = ["Target"]

#: How near the nearest CA atoms of a new chain and its target are, Angstrom (native partners: 4.6, half of them 4.1 to
#: 4.9); how many moves, those of them that are tried the shortest way, and their size.
_CLOSEST, _FARTHEST, _SHIFTS, _SIDEWAYS, _STRIDE = 4.0, 5.0, 40, 10, 1.0
#: Time of the translations from which on that is done.
_LATE = 0.7


@dataclass(frozen=True, repr=False)
class Target(Condition):
    """Chains that are there already, and stay as they are; what else is laid out is built against them.

    A motif in a new chain moves as a body: where it lies to the target is found.

    Parameters
    ----------
    structure : path or Backbone
    chains : sequence of str, optional
        Which of its chains; by default all.
    hotspots : sequence of str
        Residues that the new chain shall touch, such as ``A45``; its noise starts in front of them.
    crop : int, optional
        Show the network only so many target residues, those nearest to the hotspots (to the centre without them). The
        whole target is written all the same.

    Raises
    ------
    ValueError
        If a chain or hotspot is not there, or the file cannot be read.
    """

    structure: str | PathLike[str] | Backbone
    chains: tuple[str, ...] = ()
    hotspots: tuple[str, ...] = ()
    crop: int | None = 256
    rank: int = field(default=2, init=False, repr=False)
    once = True

    def __post_init__(self) -> None:
        source = load_source(self.structure)
        there = list(dict.fromkeys(source.chain_ids))
        for chain in self.chains:
            if chain not in there:
                raise ValueError(f"{source.name}: there is no chain {chain}; it has {', '.join(there)}")
        wanted = self.chains or tuple(there)
        whole = np.flatnonzero([chain in wanted for chain in source.chain_ids])
        rows = whole[source.complete[whole]]
        if not len(rows):
            raise ValueError(f"{source.name}: the target ({', '.join(wanted)}) has no residue with N, CA and C")
        spots = set()
        for text in self.hotspots:
            for element in parse_contig(text):
                if not isinstance(element, Segment) or element.first is None:
                    raise ValueError(f"hotspots={text}: must name residues of the target, such as A45,A49")
                if element.chain not in wanted:
                    raise ValueError(
                        f"hotspots={text}: chain {element.chain} is not part of the target ({', '.join(wanted)})"
                    )
                spots |= {int(i) for i in residues_of(source, element)}
        if self.crop is not None and self.crop < max(1, len(spots)):
            least = f"the number of hotspots, {len(spots)}" if spots else "1"
            raise ValueError(f"crop={self.crop} must be at least {least}")
        object.__setattr__(self, "_source", source)
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_spots", spots)
        object.__setattr__(self, "_seen", self._cropped(source, rows, sorted(spots)))

    def _cropped(self, source: Backbone, rows: np.ndarray, spots: list[int]) -> np.ndarray:
        """The residues that the network sees."""
        if self.crop is None or len(rows) <= self.crop:
            return rows
        places = source.coords[:, 1].astype(float)
        middle = places[spots] if spots else places[rows].mean(0, keepdims=True)
        distance = np.linalg.norm(places[rows][:, None] - middle, axis=-1).min(1)
        return np.sort(rows[np.argsort(distance, kind="stable")[: self.crop]])

    def __repr__(self) -> str:
        return f"Target({self._source.name}, hotspots={','.join(self.hotspots) or 'none'})"  # type: ignore[attr-defined]

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """The new chains first, under letters that the target does not use, then the target."""
        source, seen, spots = self._source, self._seen, self._spots  # type: ignore[attr-defined]
        if any(site.part in ("start", "fixed") for site in layout.sites):
            raise ValueError(
                "target=: cannot be combined with a start; give the complex as start=, its target as fixed="
            )
        layout = layout.freed()
        target = given(source, seen, part="target")
        chains = list(dict.fromkeys(target.sites[i].chain for i in range(len(target))))
        used = set(source.chain_ids)
        free = [letter for letter in CHAIN_LETTERS if letter not in used]
        first = int(layout.chain_index.max()) + 1
        if first > len(free):
            raise ValueError(f"target=: no letters are left for {first} new chain(s) beside those of {source.name}")
        index = torch.tensor([first + chains.index(site.chain) for site in target.sites])
        hotspot = torch.tensor([int(i) in spots for i in seen])
        behind = int(layout.residue_index.max()) + 1 + CHAIN_STEP
        target = replace(
            target, chain_index=index, hotspot=hotspot, residue_index=chain_places(source)[1][seen] + behind
        )
        letters = [free[chain] for chain in layout.chain_index.tolist()]
        new = replace(
            layout, sites=tuple(replace(s, chain=letter) for s, letter in zip(layout.sites, letters, strict=True))
        )
        return Layout.joined([new, target])

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """The new chains, as they are to each other, brought as near to the target as native partners are.

        Off it while CA atoms are nearer than 4 A; with hotspots also towards them while all are further than 5 A from
        the target. Late, when they are chains: what is blurred lies in everything, and would be moved out of reach. The
        network may see a part of the target, and what it was not shown is in the way too.
        """
        late = (state.time >= _LATE) | layout.known | ~layout.mask
        new = layout.mask & ~layout.known & late.all(1, keepdim=True)
        if not bool(new.any()):
            return prediction
        walls = torch.from_numpy(self._source.coords[self._whole, 1])  # type: ignore[attr-defined]
        walls = walls[walls.isfinite().all(-1)].to(prediction.frames.translations)
        places, bound = prediction.frames.translations, layout.hotspot.any(1)
        spots = middle(layout.frames.translations, layout.hotspot)
        for count in range(_SHIFTS):
            apart = torch.cdist(places, walls.expand(len(places), -1, -1)).clamp_min(1e-3)
            apart = apart.masked_fill(~new[..., None], torch.inf)
            nearest = apart.amin((1, 2))
            inside = (_CLOSEST - nearest).clamp(0, _STRIDE)
            gap = torch.where(bound & new.any(1), nearest - _FARTHEST, 0.0).clamp(0, _STRIDE)
            if not bool((inside + gap > 0).any()):
                break
            pull = (_CLOSEST - apart).clamp_min(0) / apart
            away = (pull.sum(-1, keepdim=True) * places - pull @ walls).sum(1)
            centre = middle(places, new)
            if count >= _SIDEWAYS:  # held between two sides: out, where the hotspots look, or as the whole lies
                front = torch.where(bound[:, None, None], layout.anchor[:, :1] - spots, centre - walls.mean(0))
                away = front[:, 0]
            towards = (spots - centre)[:, 0]
            step = inside[:, None] * F.normalize(away, dim=-1) + gap[:, None] * F.normalize(towards, dim=-1)
            places = places + step[:, None] * new[..., None]
        return replace(prediction, frames=Frames(prediction.frames.rotations, places))

    def finish(self, backbone: Backbone, layout: Layout) -> Backbone:
        """With the whole target, as the file has it, behind the new chains."""
        made = backbone.select(np.array([site.part != "target" for site in layout.sites]))
        target = self._source.select(self._whole)  # type: ignore[attr-defined]
        confidence = None
        if made.confidence is not None:
            confidence = np.concatenate((made.confidence, np.ones(len(target), dtype=np.float32)))
        return replace(
            backbone,
            coords=np.concatenate((made.coords, target.coords)),
            sequence=made.sequence + target.sequence,
            chain_ids=made.chain_ids + target.chain_ids,
            residue_numbers=np.concatenate((made.residue_numbers, target.residue_numbers)),
            insertion_codes=made.insertion_codes + target.insertion_codes,
            confidence=confidence,
        )

    def describe(self) -> dict[str, object]:
        """File, chains, hotspots, and how much of it the network saw."""
        return {
            "condition": "Target",
            "structure": self._source.name,  # type: ignore[attr-defined]
            "content": self._source.fingerprint(),  # type: ignore[attr-defined]
            "chains": list(self.chains),
            "hotspots": list(self.hotspots),
            "crop": self.crop,
            "seen": len(self._seen),  # type: ignore[attr-defined]
            "residues": len(self._whole),  # type: ignore[attr-defined]
        }
