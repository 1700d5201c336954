"""What a design keeps: residue types of motifs and targets, and one sequence for the copies of a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.files import read_lines
from protgm.structure.backbone import Backbone

__all__ = ["Kept", "kept_in", "kept_of"]


@dataclass(frozen=True, eq=False)
class Kept:
    """What holds for one backbone.

    Parameters
    ----------
    fixed : ndarray of bool, shape (L,)
        Residues that keep their types.
    copies : int
        So many units of like length follow one another and share one sequence; 1: there are none.
    """

    fixed: NDArray[np.bool_]
    copies: int = 1

    def tied(self) -> list[list[int]]:
        """Places that share a type, where there are copies."""
        if self.copies == 1:
            return []
        size = len(self.fixed) // self.copies
        return [[place + size * unit for unit in range(self.copies)] for place in range(size)]


def kept_in(folder: Path) -> dict[str, Mapping[str, Any]]:
    """By the name of a structure, what the manifests of ``protgm sample`` in a folder say is to be kept.

    Raises
    ------
    ValueError
        If a manifest has a line that is none.
    """
    rows = [row for path in sorted(folder.glob("manifest*.jsonl")) for row in read_lines(path)]
    return {str(row.get("name")): row["keep"] for row in rows if isinstance(row.get("keep"), dict)}


def kept_of(backbone: Backbone, facts: Mapping[str, Any] | None) -> Kept | None:
    """The same for its residues; None where nothing is.

    Raises
    ------
    ValueError
        If the structure is not the one that the manifest speaks of.
    """
    if not facts:
        return None
    names = backbone.labels
    types: Sequence[str] = facts.get("types", ())
    missing = sorted(set(types) - set(names))
    if missing:
        raise ValueError(f"{backbone.name}: has no residue {missing[0]}, which its manifest says is kept")
    chains, copies = set(facts.get("chains", ())), int(facts.get("copies", 1))
    if copies > 1 and len(backbone) % copies:
        raise ValueError(f"{backbone.name}: {len(backbone)} residues are not {copies} like units")
    fixed = np.array(
        [name in set(types) or chain in chains for name, chain in zip(names, backbone.chain_ids, strict=True)]
    )
    return Kept(fixed, copies)
