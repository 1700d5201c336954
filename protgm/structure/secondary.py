"""Secondary structure of a backbone in three states, as pydssp (Minami 2023, MIT) has it, made safe for real files.

`protgm.structure.dssp` works on one unbroken chain of complete residues, as pydssp does. Here a break in the chain
becomes a run of empty residues, so that no helix or ladder is counted across it, and missing atoms simply make no
hydrogen bond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protgm.checks import points
from protgm.structure.bonds import chain_breaks
from protgm.structure.dssp import states_of

__all__ = ["STATES", "assign", "spaced_out"]

#: The letters of `assign`, in the order of their indices in a dataset.
STATES = "HEC"

_SPACER = 6  # empty residues per break: the longest turn looks five residues ahead


def assign(coords: ArrayLike, breaks: ArrayLike | None = None) -> str:
    """Helix (H), strand (E) or coil (C) of each residue.

    Parameters
    ----------
    coords : array, shape (L, 4, 3)
        N, CA, C, O in Angstrom; a missing atom is NaN. Any L, zero included.
    breaks : array of bool, shape (L,), optional
        True where residue i is not bonded to residue i + 1; found by `protgm.structure.bonds` by default.

    Returns
    -------
    str, length L

    Raises
    ------
    ValueError
        If the shape is not (L, 4, 3), the numbers are no positions, or there are not as many breaks as residues.
    """
    atoms = points("coords", coords, "L", 4, 3, infinite=True).astype(np.float32)
    length = len(atoms)
    if breaks is not None and np.shape(breaks) != (length,):
        raise ValueError(f"breaks: must have shape ({length},), as there are {length} residues; got {np.shape(breaks)}")
    if length == 0:
        return ""
    broken = chain_breaks(atoms) if breaks is None else np.asarray(breaks, dtype=bool)
    spaced, row = spaced_out(atoms, broken)
    with np.errstate(all="ignore"):  # coinciding or missing atoms: NaN energies, hence no hydrogen bond
        helix, strand = states_of(spaced)
    return "".join(np.where(helix, "H", np.where(strand, "E", "C"))[row].tolist())


def spaced_out(atoms: NDArray[np.float32], breaks: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """One chain with empty residues at every break, and behind its end: nothing is bonded or counted across them.

    Parameters
    ----------
    atoms : ndarray, shape (L, 4, 3)
        L of 1 or more.
    breaks : ndarray of bool, shape (L,)

    Returns
    -------
    spaced : ndarray, shape (M, 4, 3)
        NaN where empty.
    rows : ndarray of int, shape (L,)
        Where each residue stands in it.
    """
    rows = np.arange(len(atoms))
    rows[1:] += _SPACER * np.cumsum(breaks[:-1])
    spaced = np.full((rows[-1] + 1 + _SPACER, 4, 3), np.nan, dtype=np.float32)
    spaced[rows] = atoms
    return spaced, rows
