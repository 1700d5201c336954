"""A structure noised to some time, and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from os import PathLike

import numpy as np
import torch

from protgm.checks import number
from protgm.condition.base import Condition, Draw
from protgm.condition.junctions import steer_junctions
from protgm.condition.source import chain_places, given, load_source, residues_of
from protgm.layout import FIXED, FREE, Layout
from protgm.model.state import MASK_TOKEN, Prediction
from protgm.process import State
from protgm.structure import Backbone
from protgm.structure.contig import Segment, parse_contig
from protgm.structure.frames import kabsch

__all__ = ["Partial"]


@dataclass(frozen=True, repr=False)
class Partial(Condition):
    """Vary a structure: all its chains start from where noise of a time leaves them.

    Parameters
    ----------
    structure : path or Backbone
    time : float
        From 0 (all noise: nothing of it is left) to below 1 (hardly any).
    fixed : str, optional
        Residues that stay as they are, as in a contig: ``A10-20,A55``.

    Raises
    ------
    ValueError
        If the file cannot be read, a residue lacks atoms or is not there, or the time is out of range.
    """

    structure: str | PathLike[str] | Backbone
    time: float
    fixed: str | None = None
    rank: int = field(default=0, init=False, repr=False)
    sizes: bool = field(default=True, init=False, repr=False)
    once = True

    def __post_init__(self) -> None:
        if not 0 <= number("start_time", self.time) < 1:
            raise ValueError(
                f"start_time={self.time} must be at least 0 (all noise) and below 1 (the structure itself)"
            )
        source = load_source(self.structure)
        lacking = np.flatnonzero(~source.complete)
        if len(lacking):
            i = int(lacking[0])
            raise ValueError(f"{source.name}: residue {source.label(i)} lacks N, CA or C; leave it out of the file")
        still = np.zeros(len(source), dtype=bool)
        for element in parse_contig(self.fixed) if self.fixed else ():
            if not isinstance(element, Segment):
                raise ValueError(f"fixed={self.fixed}: must name residues of the structure, such as A10-20,A55")
            still[residues_of(source, element)] = True
        if still.all():
            raise ValueError(f"fixed={self.fixed}: holds all residues of {source.name}; nothing is left to vary")
        object.__setattr__(self, "_source", source)
        object.__setattr__(self, "_still", torch.from_numpy(still))

    def __repr__(self) -> str:
        return f"Partial({self._source.name}, time={self.time})"  # type: ignore[attr-defined]

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        """The structure's residues under their own names, most of them at the start's time."""
        source, still = self._source, self._still  # type: ignore[attr-defined]
        whole = given(source, np.arange(len(source)), part="start")
        chain_index, index = chain_places(source)
        if not torch.equal(torch.sort(chain_index, stable=True).indices, torch.arange(len(source))):
            raise ValueError(f"{source.name}: the residues of each chain must follow one another in the file")
        whole = replace(
            whole,
            residue_index=index,
            chain_index=chain_index,
            time=torch.where(still, 1.0, self.time),
            body=torch.where(still, FIXED, FREE),
            sequence=torch.where(still, whole.sequence, MASK_TOKEN),
            design=~still,
            atoms=torch.where(still[:, None, None], whole.atoms, torch.nan),
            oriented=still.any(),
            sites=tuple(
                replace(site, part="fixed" if kept else "start") for site, kept in zip(whole.sites, still, strict=True)
            ),
        )
        return whole if bool(still.any()) else replace(whole, frames=whole.frames.centre(whole.mask))

    def steer(self, prediction: Prediction, state: State, layout: Layout) -> Prediction:
        """Chains go on behind fixed residues as their carbonyls want."""
        return steer_junctions(prediction, layout)

    def finish(self, backbone: Backbone, layout: Layout) -> Backbone:
        """Laid on the structure that it came from, where no residue of it held it there."""
        if bool(self._still.any()):  # type: ignore[attr-defined]
            return backbone
        start = torch.from_numpy(self._source.coords[:, 1]).double()  # type: ignore[attr-defined]
        here = torch.from_numpy(backbone.coords).double()
        middle, centre = start.mean(0), here[:, 1].mean(0)
        turn = kabsch(here[:, 1] - centre, start - middle)
        return replace(backbone, coords=((here - centre) @ turn.mT + middle).float().numpy())

    def describe(self) -> dict[str, object]:
        """File, time and what is fixed."""
        source = self._source  # type: ignore[attr-defined]
        return {
            "condition": "Partial",
            "structure": source.name,
            "content": source.fingerprint(),
            "time": self.time,
            "fixed": self.fixed,
        }
