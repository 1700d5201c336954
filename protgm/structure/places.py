"""Where residues stand along their chains: the index that a network is told, gaps and ends of chains included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHAIN_STEP", "residue_index"]

#: Step of the residue index between chains; a gap inside a chain is never that long.
CHAIN_STEP = 200


def residue_index(
    numbers: NDArray[np.integer],
    chain_index: NDArray[np.integer],
    breaks: NDArray[np.bool_],
    complete: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Numbers that a model can take differences of: 1 along the chain whatever the author's numbering does.

    Author numbers may jump between bonded residues, stand still at insertions or run backwards; where the chain is
    broken, though, they are all there is to say how much is missing.

    Parameters
    ----------
    numbers : ndarray, shape (L,)
        The author's residue numbers.
    chain_index : ndarray, shape (L,)
    breaks : ndarray of bool, shape (L,)
        True where residue i is not seen to be bonded to i + 1.
    complete : ndarray of bool, shape (L,)
        Residues with N, CA and C; a break next to another one may only be a missing atom.

    Returns
    -------
    ndarray of int64, shape (L,)
        From 0, strictly growing; a break counts at least 2 between complete residues and less than `CHAIN_STEP`.
    """
    if len(numbers) == 0:
        return np.empty(0, dtype=np.int64)
    steps = np.ones(len(numbers), dtype=np.int64)
    steps[0] = 0
    at = np.flatnonzero(breaks[:-1])
    apart = numbers[at + 1].astype(np.int64) - numbers[at]
    least = np.where(complete[at + 1] & complete[at], 2, 1)
    steps[at + 1] = np.clip(apart, least, CHAIN_STEP - 1)
    steps[1:][np.diff(chain_index) != 0] = CHAIN_STEP
    return np.cumsum(steps)
