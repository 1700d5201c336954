"""Which residue types of a sequence mean something: generators write one letter where they have chosen none."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from protgm.checks import check_kind

__all__ = ["chosen"]

#: As many of one letter in a row are nobody's choice where the letter is one that fills up.
_REPEATS = re.compile(r"(.)\1{2,}", re.DOTALL)
_FILLERS = "AG"  # what programs fill up with
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
    found: NDArray[np.bool_] = np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8) != ord("X")
    runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for run in _REPEATS.finditer(sequence):
        runs[run[1]].append(run.span())
    for letter, spans in runs.items():
        lengths = [end - begin for begin, end in spans]
        filled = letter in _FILLERS and sum(lengths) >= _MANY and max(lengths) >= _LONG
        if filled or sum(lengths) > _MOST * len(sequence):
            for begin, end in spans:
                found[begin:end] = False
    return found
