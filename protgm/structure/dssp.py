"""The labels of pydssp (Minami 2023, MIT), to the bit, in a fraction of its time.

pydssp expands every atom to an array of all pairs and copies each 3 x 3 neighbourhood of the bond map. Here the same
operations on the same float32 numbers run axis by axis and on views; the library is the oracle of the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protgm.checks import points

__all__ = ["CHARGES", "COULOMB", "NH", "hydrogen_bonds", "states_of"]

_Coords = NDArray[np.float32]
_Bonds = NDArray[np.bool_]

NH = 1.01  # Angstrom
CHARGES, COULOMB = 0.084, 332  # Kabsch & Sander 1983: energies in kcal/mol
_CUTOFF, _MARGIN = -0.5, 1.0
_NEAREST = 3  # residues: the CO is not counted as bonded to the NH of its own residue and of the next two


#: A C=O longer than `_LONG` is compared with every NH, any other with those whose middles are within `_REACH` of its
#: own, Angstrom. Beyond, energies are above the cutoff: where all points of the two are r apart or more, the four terms
#: add up to 2 |NH| |CO| / r^3 at most, as the second derivative of 1 / r is 2 / r^3 at most.
_LONG, _REACH = 1.5, 7.0


def _unit(vectors: _Coords) -> _Coords:
    lengths: _Coords = np.sqrt(np.add.reduce(vectors * vectors, axis=-1, keepdims=True))
    return np.divide(vectors, lengths, dtype=np.float32)


def _near(
    nitrogens: _Coords, hydrogens: _Coords, carbons: _Coords, oxygens: _Coords
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """NH groups and C=O groups that may be bonded: the pairs of their numbers."""
    donors, acceptors = (nitrogens + hydrogens).astype(np.float64), (carbons + oxygens).astype(np.float64)
    # The squares of all distances, twice as long, as one product.
    one = np.ones((len(nitrogens), 1))
    rows = np.concatenate((donors, np.einsum("ij,ij->i", donors, donors)[:, None], one), axis=1)
    columns = np.concatenate((-2 * acceptors, one, np.einsum("ij,ij->i", acceptors, acceptors)[:, None]), axis=1)
    near = rows @ columns.T < (2 * _REACH) ** 2
    near |= np.square(oxygens - carbons).sum(axis=-1) > _LONG**2
    return np.divmod(np.flatnonzero(near), len(nitrogens))


def _inverse_distances(donors: _Coords, acceptors: _Coords) -> _Coords:
    """1 / |a - d| of pairs, shape (pairs,)."""
    step = acceptors - donors
    step *= step
    # In the order in which a sum over a last axis of three is taken: the same rounding.
    total: _Coords = step[:, 0] + step[:, 1]
    total += step[:, 2]
    return np.divide(1.0, np.sqrt(total, out=total), out=total)


def hydrogen_bonds(coords: _Coords) -> _Bonds:
    """Which residues are bonded.

    Parameters
    ----------
    coords : ndarray of float32, shape (L, 4, 3)
        N, CA, C, O in Angstrom. A missing atom is NaN and makes no bond.

    Returns
    -------
    ndarray of bool, shape (L, L)
        ``[i, j]``: from the CO of residue i to the NH of residue j.

    Raises
    ------
    ValueError
        If the shape is another one, or the numbers are no positions.
    """
    coords = points("coords", coords, "L", 4, 3, infinite=True)
    length = len(coords)
    nitrogens, carbons, oxygens = coords[1:, 0], coords[:-1, 2], coords[:-1, 3]
    hydrogens = nitrogens + NH * _unit(_unit(nitrogens - carbons) + _unit(nitrogens - coords[1:, 1]))
    donors, acceptors = _near(nitrogens, hydrogens, carbons, oxygens)
    n, h = (group.take(donors, axis=0) for group in (nitrogens, hydrogens))
    c, o = (group.take(acceptors, axis=0) for group in (carbons, oxygens))
    terms = _inverse_distances(n, o)
    terms += _inverse_distances(h, c)
    terms -= _inverse_distances(h, o)
    terms -= _inverse_distances(n, c)
    energies = CHARGES * terms * COULOMB
    # Few pairs are left to weigh as pydssp does: a smooth step of the energy, which rounds to zero near the cutoff.
    low = np.flatnonzero(energies < _CUTOFF)
    donors, acceptors = donors[low], acceptors[low]
    weights = np.clip(_CUTOFF - _MARGIN - energies[low], -_MARGIN, _MARGIN)
    strong = (np.sin(weights / _MARGIN * np.pi / 2) + 1.0) / 2 > 0.0
    donors += 1
    strong &= (donors - acceptors < 0) | (donors - acceptors >= _NEAREST)
    bonds = np.zeros((length, length), dtype=bool)
    bonds[acceptors[strong], donors[strong]] = True
    return bonds


def _shifted(marks: _Bonds, steps: range) -> _Bonds:
    """Whether any of the residues so many steps before each is marked."""
    found = np.zeros_like(marks)
    if marks.any():
        for step in steps:
            # As np.roll, in a third of its time.
            found[step:] |= marks[: len(marks) - step]
            found[:step] |= marks[len(marks) - step :]
    return found


def _helices(bonds: _Bonds) -> _Bonds:
    """Residues in alpha helices, and in 3-10 and pi helices that do not overlap with one, shape (L,)."""
    starts = {}
    for turn in (3, 4, 5):
        ends = np.diagonal(bonds, offset=turn)
        starts[turn] = np.zeros(len(bonds), dtype=bool)
        starts[turn][1:-turn] = ends[:-1] & ends[1:]
    alpha = _shifted(starts[4], range(4))
    free = ~alpha & ~np.append(alpha[1:], alpha[0])
    return alpha | _shifted(starts[3] & free, range(3)) | _shifted(starts[5] & free, range(5))


def _strands(bonds: _Bonds) -> _Bonds:
    """Residues in a bridge, shape (L,)."""
    back = np.ascontiguousarray(bonds.T)
    # Row i and column j of each stand for the pair of residues i + 1 and j + 1; Kabsch & Sander 1983, section 3.
    pairs = bonds[:-2, 1:-1] & back[2:, 1:-1]  # parallel: (i - 1, j) and (j, i + 1)
    pairs |= back[1:-1, :-2] & bonds[1:-1, 2:]  # parallel: (j - 1, i) and (i, j + 1)
    pairs |= bonds[1:-1, 1:-1] & back[1:-1, 1:-1]  # antiparallel: (i, j) and (j, i)
    pairs |= bonds[:-2, 2:] & back[2:, :-2]  # antiparallel: (i - 1, j + 1) and (j - 1, i + 1)
    found = np.zeros(len(bonds), dtype=bool)
    found[1:-1] = pairs.any(axis=1)
    return found


def states_of(coords: _Coords) -> tuple[_Bonds, _Bonds]:
    """Helix and strand of each residue of one unbroken chain (L, 4, 3), L > 5: two arrays (L,); both may be set."""
    bonds = hydrogen_bonds(coords)
    return _helices(bonds), _strands(bonds)
