"""What a structure contributes to a comparison of two sets of structures: histograms and a distance-map vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from protgm.checks import points
from protgm.metrics.subject import Subject
from protgm.structure.size import globular_radius, radius_of_gyration

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["DIHEDRAL_BINS", "Features", "distance_features", "features", "stack"]

#: Bins per turn of the phi/psi histogram.
DIHEDRAL_BINS = 24

# Edges (Angstrom) of the distance bins, and where the ranges of sequence separation begin that they are counted for.
_DISTANCES = np.array([0.0, 4.5, 5.5, 6.5, 8.0, 10.0, 12.0, 15.0, 18.0, 22.0, 27.0, 33.0, 40.0, np.inf])
_SEPARATIONS = (2, 3, 4, 6, 12, 24)


@dataclass(frozen=True, eq=False)
class Features:
    """Of N structures, one row each.

    Parameters
    ----------
    lengths : ndarray, shape (N,)
        Residues.
    dihedrals : ndarray, shape (N, B * B)
        Residues in every cell of the phi/psi torus, counts.
    secondary : ndarray, shape (N, 3)
        Residues in H, E and C, counts.
    shape : ndarray, shape (N, 5)
        Shares of helix and strand, their mean segment lengths over 10, and Rg over the natives' law.
    distances : ndarray, shape (N, D)
        See `distance_features`.
    """

    lengths: NDArray[np.int64]
    dihedrals: NDArray[np.float32]
    secondary: NDArray[np.float32]
    shape: NDArray[np.float32]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, rows: NDArray[np.integer]) -> Features:
        """The structures at ``rows``."""
        return Features(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


#: Residues, the histogram of phi and psi, residues in each state, the shape, and the distance map of one structure.
Row = tuple[int, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def distance_features(ca: NDArray[np.floating]) -> NDArray[np.float32]:
    """CA distance map in numbers that do not depend on the length.

    For six ranges of sequence separation, the share of pairs in each of 13 ranges of distance (Angstrom).

    Parameters
    ----------
    ca : ndarray, shape (L, 3)

    Returns
    -------
    ndarray, shape (78,)
        Zero for separations that the chain is too short for.
    """
    ca = points("ca", ca, "L", 3, infinite=True)
    length = len(ca)
    shape = len(_SEPARATIONS), len(_DISTANCES) - 1
    rows = np.zeros(shape, dtype=np.float32)
    if length > 2:
        distance = pdist(np.asarray(ca, dtype=np.float64))
        i, j = np.triu_indices(length, k=1)
        known = np.isfinite(distance)
        # Missing residues: NaN distances are left out.
        band = np.digitize(j - i, _SEPARATIONS) - 1
        bins = np.digitize(np.where(known, distance, 0.0), _DISTANCES[1:-1])
        keep = known & (band >= 0)
        rows = np.bincount(band[keep] * shape[1] + bins[keep], minlength=rows.size).reshape(shape).astype(np.float32)
        rows /= np.maximum(rows.sum(axis=1, keepdims=True), 1.0)
    return rows.ravel()


def features(structure: Backbone | Subject) -> Row:
    """One row for `stack`: of the chains that hold generated residues, where it is known which do."""
    subject = structure if isinstance(structure, Subject) else Subject(structure)
    own, angles, states = subject.own, subject.angles, subject.secondary
    known = np.isfinite(angles.phi) & np.isfinite(angles.psi) & own
    turn = ((-180, 180), (-180, 180))
    histogram, _, _ = np.histogram2d(angles.phi[known], angles.psi[known], bins=DIHEDRAL_BINS, range=turn)
    shown = np.array(list(states.states))[own]
    ca = subject.own_backbone.coords[:, 1]
    placed = ca[np.isfinite(ca).all(axis=-1)]
    ratio = radius_of_gyration(placed) / globular_radius(len(placed)) if len(placed) else np.nan
    shape = (states.helix, states.strand, states.helix_length / 10, states.strand_length / 10, ratio)
    return (
        int(own.sum()),
        histogram.ravel().astype(np.float32),
        np.array([(shown == s).sum() for s in "HEC"], dtype=np.float32),
        np.array(shape, dtype=np.float32),
        distance_features(ca),
    )


def stack(rows: Sequence[Row]) -> Features:
    """Rows of `features` as one object.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not rows:
        raise ValueError("a comparison needs at least one structure")
    lengths, *arrays = zip(*rows, strict=True)
    return Features(np.asarray(lengths, dtype=np.int64), *(np.stack(array) for array in arrays))
