"""What a walk ends with as a structure."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from protgm.condition.source import tokens_to_letters
from protgm.layout import Layout
from protgm.sample.lengths import Item
from protgm.sample.sampler import Sampled
from protgm.structure import Backbone
from protgm.structure.frames import Frames

__all__ = ["backbone_of"]


def backbone_of(
    item: Item, layout: Layout, frames: Frames, sampled: Sampled, row: int, provenance: dict[str, object]
) -> Backbone:
    """One protein of a batch as a structure: residues whose type was to be found and was not are glycines by name."""
    length = len(layout)
    atoms = layout.to_atoms(frames[:length].map(Tensor.double))
    letters = tokens_to_letters(sampled.sequence[row, :length].tolist())
    sites, open_ = layout.sites, layout.design.tolist()
    return Backbone(
        coords=atoms.float().numpy(),
        sequence="".join("G" if a == "X" and free else a for a, free in zip(letters, open_, strict=True)),
        chain_ids=tuple(site.chain for site in sites),
        residue_numbers=np.array([site.number for site in sites], dtype=np.int64),
        insertion_codes=tuple(site.code for site in sites),
        name=item.name,
        metadata=provenance | {"index": item.index},
        confidence=sampled.prediction.confidence[row, :length].numpy(),
    )
