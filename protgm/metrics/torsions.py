"""Bonds, angles and dihedrals of a backbone, and which residues are bonded at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protgm.checks import check_kind
from protgm.structure.backbone import Backbone
from protgm.structure.bonds import bonds

__all__ = ["Torsions", "angle", "dihedral", "links", "norm", "torsions"]


@dataclass(frozen=True, eq=False)
class Torsions:
    """Backbone dihedrals in degrees, shape (L,) each, NaN where an atom or a neighbour is missing.

    ``omega[i]`` is that of the peptide between residues i and i + 1; ``bonded[i]`` says whether there is one.
    """

    phi: NDArray[np.float32]
    psi: NDArray[np.float32]
    omega: NDArray[np.float32]
    bonded: NDArray[np.bool_]


def norm(v: NDArray[np.floating]) -> NDArray[np.floating]:
    """Length along the last dimension."""
    length: NDArray[np.floating] = np.sqrt(np.einsum("...i,...i->...", v, v))
    return length


def angle(u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.floating]:
    """Angle between vectors, degrees."""
    cosine = np.einsum("...i,...i->...", u, v) / np.maximum(norm(u) * norm(v), 1e-12)
    degrees: NDArray[np.floating] = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return degrees


def _cross(u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.floating]:
    # numpy.cross spends most of its time on checks for arrays this short.
    (a, b, c), (d, e, f) = np.moveaxis(u, -1, 0), np.moveaxis(v, -1, 0)
    return np.stack((b * f - c * e, c * d - a * f, a * e - b * d), axis=-1)


def dihedral(
    p: NDArray[np.floating], q: NDArray[np.floating], r: NDArray[np.floating], s: NDArray[np.floating]
) -> NDArray[np.floating]:
    """IUPAC dihedral of four points, degrees in (-180, 180]."""
    a, b, c = q - p, r - q, s - r
    n, m = _cross(a, b), _cross(b, c)
    y = norm(b) * np.einsum("...i,...i->...", a, m)
    degrees: NDArray[np.floating] = np.degrees(np.arctan2(y, np.einsum("...i,...i->...", n, m)))
    return degrees


def links(backbone: Backbone) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which neighbours (i, i + 1) should be bonded, are bonded, are set apart by the numbering; (L - 1,) each."""
    check_kind("backbone", backbone, Backbone)
    chain = np.asarray(backbone.chain_ids)
    same = chain[1:] == chain[:-1]
    step = np.diff(backbone.residue_numbers)
    near = bonds(backbone.coords)
    # An insertion code keeps the number; a larger step says that residues are missing, unless the atoms say otherwise.
    should = same & ((step == 1) | (step == 0) | near)
    return should, should & near, same & ~should


def torsions(backbone: Backbone) -> Torsions:
    """Phi, psi and omega of every residue (see `Torsions`)."""
    check_kind("backbone", backbone, Backbone)
    length = len(backbone)
    phi, psi, omega = (np.full(length, np.nan, dtype=np.float32) for _ in range(3))
    bonded = np.zeros(length, dtype=bool)
    if length > 1:
        bonded[:-1] = links(backbone)[1]
        i = np.flatnonzero(bonded)
        n, ca, c = (backbone.coords[:, a] for a in range(3))
        phi[i + 1] = dihedral(c[i], n[i + 1], ca[i + 1], c[i + 1])
        psi[i] = dihedral(n[i], ca[i], c[i], n[i + 1])
        omega[i] = dihedral(ca[i], c[i], n[i + 1], ca[i + 1])
    return Torsions(phi, psi, omega, bonded)
