"""Which residues are bonded to which: the one definition that reading, measuring and judging share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protgm.checks import points

__all__ = ["MAX_C_N", "MAX_STEP", "are_bonded", "bonds", "chain_breaks"]

#: A carbonyl C and the next N further apart than this are not bonded, Angstrom: 1.5 ideal bonds, since neither models
#: nor generated chains are ideal.
MAX_C_N = 2.0

#: The same for neighbouring CAs, where C or N is not there to tell: a trans peptide's 3.8 A and a tenth.
MAX_STEP = 4.2


def are_bonded(before: ArrayLike, behind: ArrayLike) -> NDArray[np.bool_]:
    """Whether residues are bonded through C of one and N of the other.

    Parameters
    ----------
    before, behind : array, shape (..., >=3, 3)
        N, CA, C, ... of both in Angstrom; a missing atom is NaN.

    Returns
    -------
    ndarray of bool, shape (...)
        Whether C and the other's N are at most `MAX_C_N` apart; where one of them is missing, whether the CAs are at
        most `MAX_STEP` apart.

    Raises
    ------
    ValueError
        If a shape is another one, or the numbers are no positions.
    """
    first, second = (
        points(name, x, "...", ">=3", 3, infinite=True) for name, x in (("before", before), ("behind", behind))
    )
    return _bonded(first, second)


def _bonded(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.bool_]:
    # A model may hold infinities; their distance is none.
    with np.errstate(invalid="ignore", over="ignore"):
        bond = _distance(first[..., 2, :], second[..., 0, :])
        found: NDArray[np.bool_] = np.asarray(bond <= MAX_C_N)
        if not (there := np.isfinite(bond)).all():
            found = found | (~there & (_distance(first[..., 1, :], second[..., 1, :]) <= MAX_STEP))
        return found


def _distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    between = np.subtract(a, b, dtype=np.float64)
    length: NDArray[np.float64] = np.sqrt(np.einsum("...k,...k->...", between, between))
    return length


def bonds(coords: ArrayLike, chains: Sequence[object] | NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """Whether residue i is bonded to residue i + 1, shape (L - 1,).

    Parameters
    ----------
    coords : array, shape (L, >=3, 3)
        N, CA, C, ... in Angstrom; a missing atom is NaN.
    chains : sequence, length L, optional
        Chain of each residue: nothing is bonded across chains. One chain by default.

    Raises
    ------
    ValueError
        If the shape is another one, the numbers are no positions, or there are not as many chains as residues.
    """
    atoms = points("coords", coords, "L", ">=3", 3, infinite=True)
    if chains is not None and len(chains) != len(atoms):
        raise ValueError(f"chains: {len(chains)} are given for {len(atoms)} residues")
    if len(atoms) < 2:
        return np.zeros(0, dtype=bool)
    found = _bonded(atoms[:-1], atoms[1:])
    if chains is not None:
        of = np.asarray(chains)
        found &= of[1:] == of[:-1]
    return found


def chain_breaks(coords: ArrayLike, chains: Sequence[object] | NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """Where the chain does not go on: True at residue i if it is not bonded to i + 1; the last one is always True.

    As `bonds`, shape (L,).
    """
    bonded = bonds(coords, chains)
    breaks = np.ones(len(np.asarray(coords)), dtype=bool)
    np.logical_not(bonded, out=breaks[:-1])
    return breaks
