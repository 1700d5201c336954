"""Backbone dihedrals as tensors: any batch shape, float32 or float64, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

from protgm.checks import check_tensor

__all__ = ["dihedral", "phi_psi_omega"]


def dihedral(p: Tensor, q: Tensor, r: Tensor, s: Tensor) -> Tensor:
    """Dihedral angle of four points about the axis q-r (IUPAC 1970: clockwise is positive, cis is 0).

    Parameters
    ----------
    p, q, r, s : Tensor, shape (..., 3)
        They broadcast against each other.

    Returns
    -------
    Tensor, shape (...)
        Radian, in [-pi, pi]. Where three of the points lie on one line the angle is not defined, and 0 or any other.

    Raises
    ------
    ValueError
        If one of them is no tensor of floats of that shape.
    """
    for name, point in (("p", p), ("q", q), ("r", r), ("s", s)):
        check_tensor(name, point, "...", 3)
    a, b, c = q - p, r - q, s - r
    n, m = torch.linalg.cross(a, b), torch.linalg.cross(b, c)
    # atan2 of both sides, and not arccos of one: exact near 0 and pi in float32 as well (Blondel & Karplus 1996).
    y = torch.linalg.vector_norm(b, dim=-1) * (a * m).sum(-1)
    return torch.atan2(y, (n * m).sum(-1))


def phi_psi_omega(coords: Tensor, chain_breaks: Tensor | None = None) -> Tensor:
    """Backbone dihedrals of every residue.

    Parameters
    ----------
    coords : Tensor, shape (..., L, >=3, 3)
        N, CA, C of each residue; further atoms are ignored.
    chain_breaks : Tensor of bool, shape (..., L), optional
        True where residue i is not bonded to i + 1; the last residue need not be marked.

    Returns
    -------
    Tensor, shape (..., L, 3)
        Radian, in [-pi, pi]. Phi (C[i-1], N, CA, C), psi (N, CA, C, N[i+1]) and omega (CA, C, N[i+1], CA[i+1]: of the
        peptide *behind* residue i). NaN where there is no such neighbour or an atom is missing.

    Raises
    ------
    ValueError
        If it is no tensor of floats of that shape.
    """
    check_tensor("coords", coords, "...", "L", ">=3", 3)
    if not coords.shape[-3]:
        return coords[..., 0, :]
    # Along the chain of atoms N CA C N CA C ... every four in a row span psi, omega and phi in turn.
    chain = coords[..., :3, :].flatten(-3, -2)
    turns = dihedral(chain[..., :-3, :], chain[..., 1:-2, :], chain[..., 2:-1, :], chain[..., 3:, :])
    turns = turns.unflatten(-1, (-1, 3)) if turns.shape[-1] else turns.new_empty((*turns.shape[:-1], 0, 3))
    if chain_breaks is not None:
        turns = turns.masked_fill(chain_breaks[..., :-1, None], torch.nan)
    psi, omega, phi = turns.unbind(-1)
    none = coords.new_full((*coords.shape[:-3], 1), torch.nan)
    return torch.stack((torch.cat((none, phi), -1), torch.cat((psi, none), -1), torch.cat((omega, none), -1)), dim=-1)
