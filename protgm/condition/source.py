"""Residues of a structure file as part of a layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath

import numpy as np
import torch
from numpy.typing import NDArray

from protgm.layout import FIXED, Layout, Site
from protgm.model.state import MASK_TOKEN
from protgm.structure import Backbone, read_structure
from protgm.structure.contig import Segment
from protgm.structure.frames import Frames
from protgm.structure.residues import AMINO_ACIDS

__all__ = ["given", "label", "letters_to_tokens", "load_source", "residues_of", "tokens_to_letters"]


def load_source(structure: str | PathLike[str] | Backbone) -> Backbone:
    """A structure that a condition names, read if it is a file.

    Raises
    ------
    ValueError
        If it cannot be read; the message names the file.
    """
    return structure if isinstance(structure, Backbone) else read_structure(fspath(structure))


def letters_to_tokens(letters: str) -> torch.Tensor:
    """Residue types as the network has them, int64: `MASK_TOKEN` for letters that are no amino acid's."""
    return torch.tensor([AMINO_ACIDS.find(letter) if letter in AMINO_ACIDS else MASK_TOKEN for letter in letters])


def tokens_to_letters(tokens: Sequence[int]) -> str:
    """One letter for each token, ``X`` where there is no amino acid."""
    return "".join(AMINO_ACIDS[token] if 0 <= token < len(AMINO_ACIDS) else "X" for token in tokens)


def label(structure: Backbone, i: int) -> str:
    """What the file calls a residue, such as ``A95``."""
    return f"{structure.chain_ids[i]}{structure.residue_numbers[i]}{structure.insertion_codes[i]}"


def residues_of(structure: Backbone, segment: Segment) -> NDArray[np.int64]:
    """Indices of a segment's residues.

    Raises
    ------
    ValueError
        If a residue of it is not in the file, or has no N, CA and C.
    """
    chain = np.array([c == segment.chain for c in structure.chain_ids])
    if not chain.any():
        chains = ", ".join(dict.fromkeys(structure.chain_ids))
        raise ValueError(f"{structure.name}: there is no chain {segment.chain} ({segment.text}); it has {chains}")
    if segment.first is None or segment.last is None:
        rows = chain.nonzero()[0]
    else:
        at = {
            (int(structure.residue_numbers[i]), structure.insertion_codes[i].upper()): int(i)
            for i in chain.nonzero()[0]
        }
        for end in (segment.first, segment.last):
            if end not in at:
                numbers = structure.residue_numbers[chain]
                raise ValueError(
                    f"{structure.name}: residue {segment.chain}{end[0]}{end[1]} ({segment.text}) is not there; "
                    f"chain {segment.chain} has residues {numbers.min()} to {numbers.max()}"
                )
        rows = np.arange(at[segment.first], at[segment.last] + 1)
        wanted = segment.last[0] - segment.first[0] + 1
        if not segment.first[1] and not segment.last[1] and len(rows) < wanted:
            missing = sorted(
                set(range(segment.first[0], segment.last[0] + 1)) - {int(n) for n in structure.residue_numbers[rows]}
            )
            raise ValueError(
                f"{structure.name}: {segment.text} lacks residue {segment.chain}{missing[0]}; name the stretches on "
                "both sides and how many residues to build between them"
            )
    for i in rows[~structure.complete[rows]]:
        raise ValueError(f"{structure.name}: residue {label(structure, int(i))} ({segment.text}) lacks N, CA or C")
    return rows


def given(structure: Backbone, rows: NDArray[np.int64], *, part: str, body: int = FIXED) -> Layout:
    """Residues of a structure as a layout: known, with their types, under the file's chain ids and numbers."""
    piece = structure.select(rows)
    layout = Layout.chain(len(rows))
    tokens = letters_to_tokens(piece.sequence)
    sites = tuple(
        Site(piece.chain_ids[i], int(piece.residue_numbers[i]), piece.insertion_codes[i], label(piece, i), part)
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
