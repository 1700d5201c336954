"""Dihedrals against chains that were built from them, and against Biopython."""

import math

import numpy as np
import pytest
import torch
from Bio.PDB.vectors import Vector, calc_dihedral

from protgm.structure import read_structure
from protgm.structure.torsions import dihedral, phi_psi_omega

DTYPES = [torch.float32, torch.float64]


def apart(a, b):
    """Largest difference of angles, radian."""
    return torch.remainder(a - b + math.pi, 2 * math.pi).sub(math.pi).abs().max()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_chain_gives_back_the_torsions_it_was_built_from(cases, dtype):
    rng = np.random.default_rng(0)
    built = rng.uniform(-180, 180, (12, 3))
    built[:, 2] = rng.choice([180.0, 0.0, 175.0, -170.0], 12)
    coords = torch.from_numpy(cases.chain_coords(built)).to(dtype)
    angles = phi_psi_omega(coords)
    assert angles.shape == (12, 3)
    assert angles.dtype == dtype
    expected = torch.from_numpy(np.radians(built)).to(dtype)
    # From the second decimal on, float32 coordinates of some 30 A matter.
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    assert apart(angles[1:, 0], expected[1:, 0]) < tolerance
    assert apart(angles[:-1, 1:], expected[:-1, 1:]) < tolerance
    assert torch.isnan(angles[0, 0])
    assert torch.isnan(angles[-1, 1:]).all()


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("length", [0, 1, 4])
def test_batches(cases, shape, length):
    chain = torch.from_numpy(cases.chain_coords([(-63.0, -42.0, 180.0)] * 4)[:length])
    angles = phi_psi_omega(chain.expand(*shape, length, 4, 3))
    assert angles.shape == (*shape, length, 3)
    torch.testing.assert_close(angles, phi_psi_omega(chain).expand_as(angles), equal_nan=True)


def test_breaks_and_missing_atoms(cases):
    coords = torch.from_numpy(cases.chain_coords([(-63.0, -42.0, 180.0)] * 6))
    coords[4, 0] = torch.nan
    breaks = torch.tensor([False, True, False, False, False, False])
    nan = torch.isnan(phi_psi_omega(coords, breaks))
    assert nan.T.tolist() == [
        [True, False, True, False, True, False],
        [False, True, False, True, True, True],
        [False, True, False, True, False, True],
    ]


def test_signs_by_hand():
    p, q, r = torch.tensor([0.0, 1.0, 0.0]), torch.zeros(3), torch.tensor([1.0, 0.0, 0.0])
    for degrees in (0.0, 30.0, 90.0, -90.0, 179.0):
        turn = math.radians(degrees)
        s = torch.tensor([1.0, math.cos(turn), math.sin(turn)])
        assert dihedral(p, q, r, s).item() == pytest.approx(turn, abs=1e-6)


def test_gradient():
    points = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(dihedral, [p.requires_grad_() for p in points])


def test_natives_against_biopython(native_files):
    compared = 0
    for file in native_files[:3]:
        coords = read_structure(file).coords.astype(np.float64)
        angles = phi_psi_omega(torch.from_numpy(coords))
        atoms = [[Vector(xyz) for xyz in residue] for residue in coords]
        for i in range(1, len(coords) - 1):
            (n, ca, c, _), before, after = atoms[i], atoms[i - 1], atoms[i + 1]
            expected = [
                calc_dihedral(before[2], n, ca, c),
                calc_dihedral(n, ca, c, after[0]),
                calc_dihedral(ca, c, after[0], after[1]),
            ]
            assert apart(angles[i], torch.tensor(expected, dtype=torch.float64)) < 1e-6
            compared += 1
    assert compared > 100
