"""Ideal backbone geometry, and the maps between residue frames and backbone atoms.

A residue's frame has its origin at CA; the local axes are those of AlphaFold 2 (Jumper et al. 2021, Suppl. Algorithm
21): the x axis points from CA to C and N lies in the xy plane with positive y. Units are Angstrom and radian; every
function takes any batch shape, float32 or float64, and can be differentiated.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from protgm.checks import check_tensor
from protgm.structure import ideal

__all__ = ["IDEAL_N_CA_C", "PEPTIDE", "atoms_from_frames", "frames_from_atoms", "place_oxygen"]

_N_CA, _CA_C, _N_CA_C_ANGLE = ideal.N_CA, ideal.CA_C, math.radians(ideal.N_CA_C)

#: Local coordinates (3 atoms, xyz) of N, CA and C in a residue's frame, Angstrom.
IDEAL_N_CA_C: tuple[tuple[float, float, float], ...] = (
    (_N_CA * math.cos(_N_CA_C_ANGLE), _N_CA * math.sin(_N_CA_C_ANGLE), 0.0),
    (0.0, 0.0, 0.0),
    (_CA_C, 0.0, 0.0),
)


class PEPTIDE:
    """The peptide unit of `protgm.structure.ideal`: lengths in Angstrom, angles in radian."""

    C_N = ideal.C_N
    C_O = ideal.C_O
    CA_C_N = math.radians(ideal.CA_C_N)
    C_N_CA = math.radians(ideal.C_N_CA)
    CA_C_O = math.radians(ideal.CA_C_O)
    CA_CA_TRANS = ideal.CA_CA_TRANS


def _unit(v: Tensor) -> Tensor:
    unit: Tensor = v / torch.linalg.vector_norm(v, dim=-1, keepdim=True).clamp_min(1e-8)
    return unit


def frames_from_atoms(coords: Tensor) -> tuple[Tensor, Tensor]:
    """Residue frames by Gram-Schmidt on N, CA, C.

    Parameters
    ----------
    coords : Tensor, shape (..., >=3, 3)
        N, CA, C (further atoms are ignored), Angstrom.

    Returns
    -------
    rotations : Tensor, shape (..., 3, 3)
        Columns are the local axes in global coordinates: ``x_global = R x_local + t``.
    translations : Tensor, shape (..., 3)
        CA positions, Angstrom.

    Notes
    -----
    Missing (NaN) atoms give NaN frames. Where N, CA and C lie on one line the rotation is not defined, and the result
    is none.
    """
    check_tensor("coords", coords, "...", ">=3", 3)
    n, ca, c = coords[..., 0, :], coords[..., 1, :], coords[..., 2, :]
    x = _unit(c - ca)
    y = n - ca
    y = _unit(y - (y * x).sum(-1, keepdim=True) * x)
    z = torch.linalg.cross(x, y)
    return torch.stack((x, y, z), dim=-1), ca


def place_oxygen(coords: Tensor, next_n: Tensor) -> Tensor:
    """The carbonyl oxygen in the plane of CA, C and the next residue's N, trans to CA across the peptide.

    Parameters
    ----------
    coords : Tensor, shape (..., >=3, 3)
        N, CA, C of the residue, Angstrom.
    next_n : Tensor, shape (..., 3)
        N of the residue bound to C.

    Returns
    -------
    Tensor, shape (..., 3)
        O position, Angstrom: C-O 1.231 A long, CA-C-O 120.8 degrees, on the far side of the next N. Over native chains
        it lies 0.035 A from the deposited O on average.
    """
    check_tensor("coords", coords, "...", ">=3", 3)
    if next_n.ndim >= coords.ndim or next_n.shape[-1:] != (3,):
        raise ValueError(f"next_n: shape (..., 3) is wanted, got {tuple(next_n.shape)} with {tuple(coords.shape)}")
    ca, c = coords[..., 1, :], coords[..., 2, :]
    to_ca = _unit(ca - c)
    to_n = next_n - c
    # In-plane direction perpendicular to C->CA, on the far side of the next N.
    side = -_unit(to_n - (to_n * to_ca).sum(-1, keepdim=True) * to_ca)
    angle = PEPTIDE.CA_C_O
    return c + PEPTIDE.C_O * (math.cos(angle) * to_ca + math.sin(angle) * side)


def atoms_from_frames(rotations: Tensor, translations: Tensor, chain_breaks: Tensor | None = None) -> Tensor:
    """Backbone atoms of ideal residues at the given frames.

    Parameters
    ----------
    rotations : Tensor, shape (..., L, 3, 3)
    translations : Tensor, shape (..., L, 3)
        CA positions, Angstrom.
    chain_breaks : Tensor of bool, shape (..., L), optional
        True where residue i is not bonded to i + 1; the last residue need not be marked. O is placed there as if psi
        were 150 degrees: of all constants, that is closest to the deposited O of native C termini (1.18 A on average).

    Returns
    -------
    Tensor, shape (..., L, 4, 3)
        N, CA, C, O in Angstrom. Frames of native chains give their atoms back to 0.05 A (N), 0.01 A (C) and 0.06 A (O)
        on average; N, CA and C of ideal residues exactly.
    """
    check_tensor("rotations", rotations, "...", 3, 3)
    check_tensor("translations", translations, "...", 3)
    if translations.shape != rotations.shape[:-1]:
        raise ValueError(
            "frames: rotations of shape (..., L, 3, 3) and translations of shape (..., L, 3) are wanted, "
            f"got {tuple(rotations.shape)} and {tuple(translations.shape)}"
        )
    if chain_breaks is not None and chain_breaks.shape != translations.shape[:-1]:
        raise ValueError(
            f"chain_breaks: shape {tuple(translations.shape[:-1])} is wanted, got {tuple(chain_breaks.shape)}"
        )
    local = torch.tensor(IDEAL_N_CA_C, dtype=rotations.dtype, device=rotations.device)
    heavy = torch.einsum("...ij,aj->...ai", rotations, local) + translations[..., None, :]
    # At a C terminus the next N is unknown.
    last_n = torch.einsum("...ij,j->...i", rotations, _terminal_n(rotations)) + translations
    next_n = torch.cat((heavy[..., 1:, 0, :], last_n[..., -1:, :]), dim=-2)
    if chain_breaks is not None:
        next_n = torch.where(chain_breaks[..., None], last_n, next_n)
    return torch.cat((heavy, place_oxygen(heavy, next_n)[..., None, :]), dim=-2)


def _terminal_n(like: Tensor, psi: float = math.radians(150.0)) -> Tensor:
    """Local position of the next residue's N at dihedral N-CA-C-N = psi."""
    # Seen along CA->C (local x), N of this residue lies at +y and a positive dihedral turns from +y to +z (IUPAC).
    outward = -PEPTIDE.C_N * math.cos(PEPTIDE.CA_C_N)
    sideways = PEPTIDE.C_N * math.sin(PEPTIDE.CA_C_N)
    return like.new_tensor((_CA_C + outward, sideways * math.cos(psi), sideways * math.sin(psi)))
