"""Which residue types of a sequence mean something: generators write one letter where they have chosen none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protgm.checks import check_kind

__all__ = ["chosen"]

_RUN = 3  # as many of one letter in a row are nobody's choice where the letter is one that fills up
_FILLERS = np.frombuffer(b"AG", dtype=np.uint8)  # what programs fill up with
_LONG, _MANY = 10, 20  # an unbroken run, and residues in runs, of one of these, that no natural protein has
_MOST = 2 / 3  # share of a sequence in runs of one letter, of any other, that none has


def chosen(sequence: str) -> NDArray[np.bool_]:
    """Whether the type of each residue was chosen, shape (L,).

    It was not where it is unknown (X), nor in runs of a letter that fills up what nobody designed: the glycines or
    alanines of a scaffold, but not the residues of a motif in it, nor those of its partner. What a natural protein
    repeats (a tag, the glutamines of a disease) is shorter, or another letter.

    Raises
    ------
    ValueError
        If the sequence is no text.
    """
    check_kind("sequence", sequence, str)
    letters = np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8)
    found: NDArray[np.bool_] = letters != ord("X")
    begins = np.flatnonzero(np.diff(letters, prepend=0))
    lengths = np.diff(begins, append=len(letters))
    runs = (lengths >= _RUN) | (lengths == len(letters))
    begins, lengths = begins[runs], lengths[runs]
    of = letters[begins]
    for letter in np.unique(of):
        mine = lengths[of == letter]
        total, longest = int(mine.sum()), int(mine.max())
        if total > _MOST * len(letters) or (letter in _FILLERS and total >= _MANY and longest >= _LONG):
            for begin, length in zip(begins[of == letter].tolist(), mine.tolist(), strict=True):
                found[begin : begin + length] = False
    return found
