"""Which residue types of a sequence mean something: generators write one letter where they have chosen none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protgm.checks import check_kind

__all__ = ["chosen"]

_WINDOW = 15  # residues around each that are looked at, at the ends of a chain to one side
_MOST = 0.5  # share of one letter among them that no choice of types has


def chosen(sequence: str) -> NDArray[np.bool_]:
    """Whether the type of each residue was chosen, shape (L,).

    It was not where it is unknown (X), or where most of the residues around have the same letter: the glycines or
    alanines of a scaffold, but not the residues of a motif in it, nor those of its partner.

    Raises
    ------
    ValueError
        If the sequence is no text.
    """
    check_kind("sequence", sequence, str)
    letters = np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8)
    length = len(letters)
    found: NDArray[np.bool_] = letters != ord("X")
    first = np.clip(np.arange(length) - _WINDOW // 2, 0, max(0, length - _WINDOW))
    last = np.minimum(first + _WINDOW, length)
    there, own = np.unique(letters, return_inverse=True)
    before = np.zeros((length + 1, len(there)), dtype=np.int64)
    np.cumsum(letters[:, None] == there, axis=0, out=before[1:])
    share = (before[last, own] - before[first, own]) / np.maximum(last - first, 1)
    found &= share <= _MOST
    return found
