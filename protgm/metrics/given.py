"""Which residues of a structure were given, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from protgm.structure.backbone import Backbone

__all__ = ["NEW", "Conditioned", "Given"]

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

    def select(self, rows: NDArray[np.integer]) -> Given:
        """The same of some of the residues: no whole assembly any more."""
        group = self.group if np.array_equal(rows, np.arange(len(self.parts))) else None
        return Given(self.parts[rows], self.source[rows], self.bodies[rows], self.hotspots[rows], group)


@dataclass(frozen=True, eq=False)
class Conditioned(Backbone):
    """A backbone that was generated under conditions, and knows which.

    Parameters
    ----------
    given : Given, optional
        What was given of it; None where nothing was and there is no symmetry.
    keep : mapping
        What a sequence design has to keep (see `protgm.sample.describe.facts`).
    """

    given: Given | None = None
    keep: Mapping[str, Any] = field(default_factory=dict)

    def select(self, index: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Self:
        """The residues at ``index`` (mask, integers or slice), in that order."""
        rows = np.arange(len(self))[index]
        return replace(super().select(rows), given=None if self.given is None else self.given.select(rows))
