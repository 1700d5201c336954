"""Residues of a structure file as part of a layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath

import numpy as np
import torch
from numpy.typing import NDArray

from protgm.checks import check_path
from protgm.layout import FIXED, Layout, Site
from protgm.model.state import MASK_TOKEN
from protgm.structure import Backbone
from protgm.structure.apart import read_apart
from protgm.structure.contig import Segment, chain_prefix
from protgm.structure.frames import Frames
from protgm.structure.places import residue_index
from protgm.structure.residues import AMINO_ACIDS

__all__ = [
    "chain_places",
    "framed",
    "given",
    "letters_to_tokens",
    "load_source",
    "residues_of",
    "tokens_to_letters",
]


def load_source(structure: str | PathLike[str] | Backbone) -> Backbone:
    """A structure that a condition names, read if it is a file.

    Raises
    ------
    ValueError
        If it cannot be read; the message names the file.
    """
    if isinstance(structure, Backbone):
        return structure
    check_path("structure", structure)
    return read_apart(fspath(structure))


def letters_to_tokens(letters: str) -> torch.Tensor:
    """Residue types as the network has them, int64: `MASK_TOKEN` for letters that are no amino acid's."""
    return torch.tensor([AMINO_ACIDS.find(letter) if letter in AMINO_ACIDS else MASK_TOKEN for letter in letters])


def tokens_to_letters(tokens: Sequence[int]) -> str:
    """One letter for each token, ``X`` where there is no amino acid."""
    return "".join(AMINO_ACIDS[token] if 0 <= token < len(AMINO_ACIDS) else "X" for token in tokens)


def residues_of(structure: Backbone, segment: Segment) -> NDArray[np.int64]:
    """Indices of a segment's residues.

    Raises
    ------
    ValueError
        If a residue of it is not in the file, or has no N, CA and C.
    """
    own = np.flatnonzero([c == segment.chain for c in structure.chain_ids])
    if not len(own):
        chains = ", ".join(map(chain_prefix, dict.fromkeys(structure.chain_ids)))
        raise ValueError(f"{structure.name}: there is no chain {segment.chain} ({segment.text}); it has {chains}")
    first, last = segment.first, segment.last
    rows = own if first is None or last is None else _between(structure, own, segment, first, last)
    for i in rows[~structure.complete[rows]]:
        raise ValueError(f"{structure.name}: residue {structure.label(int(i))} ({segment.text}) lacks N, CA or C")
    return rows


def chain_places(structure: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    """Chains and places as training has them: gaps of the file, and those between chains, are gaps of the index.

    Returns
    -------
    chain_index, residue_index : Tensor of int64, shape (L,)
    """
    chains = list(dict.fromkeys(structure.chain_ids))
    chain_index = np.array([chains.index(chain) for chain in structure.chain_ids])
    index = residue_index(structure.residue_numbers, chain_index, structure.chain_breaks(), structure.complete)
    return torch.from_numpy(chain_index), torch.from_numpy(index)


def _between(
    structure: Backbone, own: NDArray[np.int64], segment: Segment, first: tuple[int, str], last: tuple[int, str]
) -> NDArray[np.int64]:
    """Those of a chain's residues (``own``) that lie between the ends of a segment, in the order of the file."""
    numbers = structure.residue_numbers[own]
    place = {
        (int(n), structure.insertion_codes[i].upper()): at for at, (n, i) in enumerate(zip(numbers, own, strict=True))
    }
    chain = chain_prefix(segment.chain)
    for end in (first, last):
        if end not in place:
            raise ValueError(
                f"{structure.name}: residue {chain}{end[0]}{end[1]} ({segment.text}) is not there; "
                f"chain {segment.chain} has residues {numbers.min()} to {numbers.max()}"
            )
    rows = own[place[first] : place[last] + 1]
    if not first[1] and not last[1]:
        there = {int(n) for n in structure.residue_numbers[rows]}
        missing = [n for n in range(first[0], last[0] + 1) if n not in there]
        if missing:
            raise ValueError(
                f"{structure.name}: {segment.text} lacks residue {chain}{missing[0]}; name the stretches on "
                "both sides and how many residues to build between them"
            )
    return rows


def given(structure: Backbone, rows: NDArray[np.int64], *, part: str, body: int = FIXED, file: int = 1) -> Layout:
    """Residues of a structure as a layout: known, with their types, under the file's chain ids and numbers."""
    piece = structure.select(rows)
    layout = Layout.chain(len(rows))
    tokens = letters_to_tokens(piece.sequence)
    sites = tuple(
        Site(piece.chain_ids[i], int(piece.residue_numbers[i]), piece.insertion_codes[i], piece.label(i), part, file)
        for i in range(len(piece))
    )
    none = torch.zeros(len(rows), dtype=torch.bool)
    coords = torch.from_numpy(np.ascontiguousarray(piece.coords))
    frames = Frames.from_atoms(coords)
    local = (frames.rotations.mT[:, None] @ (coords - frames.translations[:, None])[..., None])[..., 0]
    return replace(
        layout,
        sequence=tokens,
        frames=frames,
        time=torch.full((len(rows),), float(body == FIXED)),
        body=torch.full((len(rows),), body),
        design=none,
        atoms=local,
        oriented=torch.tensor(body == FIXED),
        sites=sites,
    )


def framed(structure: Backbone, *, body: int = FIXED) -> tuple[Layout, NDArray[np.int64]]:
    """The residues of a structure that have a frame as a layout, and which they are.

    Raises
    ------
    ValueError
        If there is none, or residues of a chain do not follow one another.
    """
    rows = np.flatnonzero(structure.complete)
    if not len(rows):
        raise ValueError(f"{structure.name}: no residue has N, CA and C")
    piece = structure.select(rows)
    chain_index, residue_index = chain_places(piece)
    if not torch.equal(chain_index, chain_index.sort().values):
        raise ValueError(f"{structure.name}: the residues of each chain must follow one another")
    layout = given(piece, np.arange(len(piece)), part="target", body=body)
    return replace(layout, chain_index=chain_index, residue_index=residue_index), rows
