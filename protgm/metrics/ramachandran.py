"""Where phi and psi lie: favoured, allowed and outlier regions, estimated from natives' own density.

The regions are highest-density regions in the sense of Lovell et al. 2003 (Proteins 50:437): the smallest part of the
phi/psi torus that holds a given share of the residues. They come from this project's training set (see
``scripts/ramachandran_regions.py``), one table for each kind of residue, so a native scores what natives score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from protgm.checks import check_kind
from protgm.structure.letters import chosen

__all__ = ["ALLOWED", "FAVOURED", "KINDS", "Regions", "estimate", "kinds_of", "regions"]

#: Kinds of residue with tables of their own. ``any`` is for backbones that do not say what their residues are.
KINDS = ("any", "general", "glycine", "proline")

#: Share of natives' residues that the favoured, and the favoured and allowed regions together, hold.
FAVOURED, ALLOWED = 0.90, 0.99


@dataclass(frozen=True, eq=False)
class Regions:
    """Density tables over the phi/psi torus.

    Parameters
    ----------
    log_density : ndarray, shape (K, B, B), float32
        Log density relative to the uniform law: axes `KINDS`, phi, psi, the angles in B equal bins from -180 degrees.
    cuts : ndarray, shape (K, 2), float32
        Log densities from which on a cell is favoured, and allowed.
    """

    log_density: NDArray[np.float32]
    cuts: NDArray[np.float32]

    def lookup(
        self, phi: NDArray[np.floating], psi: NDArray[np.floating], kind: NDArray[np.integer]
    ) -> NDArray[np.floating]:
        """Log density relative to uniform at angles in degrees, any shape; NaN where an angle is NaN."""
        bins = self.log_density.shape[-1]
        known = np.isfinite(phi) & np.isfinite(psi)
        cell = [
            np.floor((np.where(known, a, 0.0) + 180.0) * (bins / 360.0)).astype(np.int64) % bins for a in (phi, psi)
        ]
        return np.where(known, self.log_density[kind, cell[0], cell[1]], np.nan)

    def classify(
        self, phi: NDArray[np.floating], psi: NDArray[np.floating], kind: NDArray[np.integer]
    ) -> NDArray[np.int8]:
        """2 favoured, 1 allowed, 0 outlier, -1 where an angle is NaN; angles in degrees, any shape."""
        level = self.lookup(phi, psi, kind)
        with np.errstate(invalid="ignore"):
            grade = (level >= self.cuts[kind, 0]).astype(np.int8) + (level >= self.cuts[kind, 1])
        return np.where(np.isnan(level), np.int8(-1), grade).astype(np.int8)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the tables as a compressed npz (no pickled objects)."""
        with Path(path).open("wb") as stream:
            np.savez_compressed(stream, log_density=self.log_density.astype(np.float16), cuts=self.cuts)


def kinds_of(sequence: str) -> NDArray[np.int64]:
    """Index into `KINDS` of every residue of ``sequence``, shape (L,).

    Where a type was not chosen (`protgm.structure.letters.chosen`) it is not said: generated backbones are written as
    glycine.
    """
    check_kind("sequence", sequence, str)
    letters = np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8)
    kind = np.ones(len(letters), dtype=np.int64)
    for letter, index in (("G", 2), ("P", 3)):
        kind[letters == ord(letter)] = index
    kind[~chosen(sequence)] = 0
    return kind


def estimate(
    phi: NDArray[np.floating],
    psi: NDArray[np.floating],
    kind: NDArray[np.integer],
    *,
    bins: int = 72,
    smooth: float = 5.0,
) -> Regions:
    """Estimate the tables from natives' dihedrals.

    Parameters
    ----------
    phi, psi : ndarray, shape (N,)
        Degrees, all known.
    kind : ndarray, shape (N,)
        Index into `KINDS` (1 or more); every residue also counts for ``any``.
    bins : int
        Cells per turn.
    smooth : float
        Width of the Gaussian that smooths the histogram, degrees; rarer kinds are smoothed more.

    Returns
    -------
    Regions
    """
    tables, cuts = [], []
    for index in range(len(KINDS)):
        chosen = slice(None) if index == 0 else kind == index
        count, _, _ = np.histogram2d(phi[chosen], psi[chosen], bins=bins, range=((-180, 180), (-180, 180)))
        total = count.sum()
        width = smooth * max(1.0, (3e5 / max(total, 1.0)) ** (1 / 6))
        # A small uniform part keeps the logarithm finite where natives never go.
        share = 0.9999 * gaussian_filter(count, width * bins / 360.0, mode="wrap") / total + 1e-4 / bins**2
        order = np.sort(share.ravel())[::-1]
        held = np.cumsum(order)
        cuts.append([np.log(order[np.searchsorted(held, level)] * bins**2) for level in (FAVOURED, ALLOWED)])
        tables.append(np.log(share * bins**2))
    # Rounded to half precision as stored, so that a fresh estimate and a loaded one agree exactly.
    table = np.asarray(tables, dtype=np.float16).astype(np.float32)
    return Regions(table, np.asarray(cuts, dtype=np.float16).astype(np.float32))


@lru_cache(maxsize=1)
def regions() -> Regions:
    """The tables that ship with the package."""
    with files("protgm.metrics").joinpath("ramachandran.npz").open("rb") as stream, np.load(stream) as stored:
        return Regions(stored["log_density"].astype(np.float32), stored["cuts"])
