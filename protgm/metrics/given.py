"""Which residues of a structure were given, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEW", "Given"]

#: Parts of a structure whose residues were generated.
NEW = ("new", "start")


@dataclass(frozen=True, eq=False)
class Given:
    """What was given of a structure of L residues.

    Parameters
    ----------
    parts : ndarray of str, shape (L,)
        ``new``; ``start`` (varied); ``motif``, ``fixed`` or ``target`` (as the source has them).
    source : ndarray, shape (L, 4, 3)
        N, CA, C, O where a given residue's source has them, Angstrom; NaN elsewhere, and where there is no source.
    bodies : ndarray of int, shape (L,)
        Given residues of one number keep their places to each other; 0 is fixed in space.
    hotspots : ndarray of bool, shape (L,)
        Residues that generated ones shall touch.
    group : str, optional
        Point group of an assembly, its units one after another.
    """

    parts: NDArray[np.str_]
    source: NDArray[np.float32]
    bodies: NDArray[np.int64]
    hotspots: NDArray[np.bool_]
    group: str | None = None

    @property
    def made(self) -> NDArray[np.bool_]:
        """Residues that were generated, shape (L,)."""
        return np.isin(self.parts, NEW)
