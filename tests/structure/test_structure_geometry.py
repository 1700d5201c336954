"""Frames, atoms and the carbonyl oxygen."""

import math

import numpy as np
import pytest
import torch

from protgm.structure import read_structure
from protgm.structure.geometry import IDEAL_N_CA_C, PEPTIDE, atoms_from_frames, frames_from_atoms, place_oxygen
from protgm.structure.torsions import dihedral

DTYPES = [torch.float32, torch.float64]


def random_frames(shape, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(*shape, 3, 3, generator=generator, dtype=torch.float64))
    q = q * torch.linalg.det(q)[..., None, None]
    return q.to(dtype), (10 * torch.randn(*shape, 3, generator=generator, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 5), (3, 1, 4), (0,), (2, 0)])
def test_frames_to_atoms_and_back(dtype, shape):
    rotations, translations = random_frames(shape, dtype)
    atoms = atoms_from_frames(rotations, translations)
    assert atoms.shape == (*shape, 4, 3)
    assert atoms.dtype == dtype
    back, origin = frames_from_atoms(atoms)
    tolerance = 3e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(back, rotations, atol=tolerance, rtol=0)
    torch.testing.assert_close(origin, translations, atol=0, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_frames_are_right_handed_with_n_in_the_upper_half_plane(cases, dtype):
    coords = torch.from_numpy(cases.chain_coords([(-63, -42, 180)] * 9)).to(dtype)
    rotations, origins = frames_from_atoms(coords)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(9, dtype=dtype))
    local = torch.einsum("lji,laj->lai", rotations, coords - origins[:, None])
    ideal = torch.tensor(IDEAL_N_CA_C, dtype=dtype).expand(9, 3, 3)
    torch.testing.assert_close(local[:, :3], ideal, atol=1e-5, rtol=0)


def test_side_chains_of_l_amino_acids_point_to_negative_z(raw_files):
    """CB of every L residue lies on one side of the plane N, CA, C: that is what fixes the sign of the z axis."""
    lines = next(f for f in raw_files if "1CC8" in f.name).read_text().splitlines()
    at = {}
    for line in lines:
        if line.startswith("ATOM") and line[16] in " A":
            at[line[12:16].strip(), line[21:27]] = [float(line[i : i + 8]) for i in (30, 38, 46)]
    residues = sorted({key[1] for key in at if key[0] == "CB"})
    coords = torch.tensor([[at[name, key] for name in ("N", "CA", "C", "CB")] for key in residues], dtype=torch.float64)
    rotations, origins = frames_from_atoms(coords)
    local = torch.einsum("lji,lj->li", rotations, coords[:, 3] - origins)
    assert len(local) > 60
    assert (local[:, 2] < -1.0).all()
    ideal = torch.tensor([-0.5, -0.77, -1.2], dtype=torch.float64)
    torch.testing.assert_close(local.mean(0), ideal, atol=0.1, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rotating_the_atoms_rotates_the_frames(cases, dtype):
    coords = torch.from_numpy(cases.chain_coords([(-120, 130, 178)] * 5)).to(dtype)
    turn, shift = random_frames((1,), dtype, seed=3)
    moved = coords @ turn[0].T + shift
    rotations, origins = frames_from_atoms(coords)
    moved_rotations, moved_origins = frames_from_atoms(moved)
    torch.testing.assert_close(moved_rotations, turn @ rotations, atol=2e-5, rtol=0)
    torch.testing.assert_close(moved_origins, origins @ turn[0].T + shift, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(
        place_oxygen(moved[:-1], moved[1:, 0]),
        place_oxygen(coords[:-1], coords[1:, 0]) @ turn[0].T + shift,
        atol=2e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_oxygen_of_an_ideal_peptide(cases, dtype):
    coords = torch.from_numpy(cases.chain_coords([(-63, -42, 180), (-120, 130, 180), (60, 40, 175), (-70, 150, 180)]))
    coords = coords.to(dtype)
    oxygen = place_oxygen(coords[:-1], coords[1:, 0])
    torch.testing.assert_close(oxygen, coords[:-1, 3], atol=1e-5, rtol=0)
    # In the plane of CA, C and N, and on the side of C away from both.
    torsion = dihedral(oxygen, coords[:-1, 2], coords[:-1, 1], coords[1:, 0])
    assert torsion.shape == (3,)
    c_o = oxygen - coords[:-1, 2]
    torch.testing.assert_close(c_o.norm(dim=-1), torch.full((3,), PEPTIDE.C_O, dtype=dtype))
    assert ((c_o * (coords[1:, 0] - coords[:-1, 2])).sum(-1) < 0).all()
    assert ((c_o * (coords[:-1, 1] - coords[:-1, 2])).sum(-1) < 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_oxygens_at_ends_and_breaks_have_a_strandlike_psi(dtype):
    rotations, translations = random_frames((2, 5), dtype, seed=1)
    breaks = torch.zeros(2, 5, dtype=torch.bool)
    breaks[1, 2] = True
    atoms = atoms_from_frames(rotations, translations, breaks)
    # The O stands across from the next N: its dihedral is psi + 180 degrees.
    torsion = dihedral(*atoms.unbind(-2))
    expected = torch.tensor(math.radians(150.0 - 180.0), dtype=dtype)
    for place in ((0, 4), (1, 4), (1, 2)):
        torch.testing.assert_close(torsion[place], expected, atol=1e-4, rtol=0)
    unbroken = atoms_from_frames(rotations, translations)
    same = (atoms == unbroken).all(-1).all(-1)
    assert (~same).nonzero().tolist() == [[1, 2]]


def test_gradients(cases):
    coords = torch.from_numpy(cases.chain_coords([(-63, -42, 180)] * 3)).requires_grad_()
    assert torch.autograd.gradcheck(frames_from_atoms, (coords,))
    assert torch.autograd.gradcheck(lambda x: place_oxygen(x[:-1], x[1:, 0]), (coords,))
    rotations, translations = random_frames((3,), torch.float64)
    inputs = (rotations.requires_grad_(), translations.requires_grad_())
    assert torch.autograd.gradcheck(atoms_from_frames, inputs)


def test_coinciding_atoms_give_finite_numbers():
    coords = torch.zeros(2, 3, 3, requires_grad=True)
    rotations, _ = frames_from_atoms(coords)
    assert torch.isfinite(rotations).all()
    rotations.sum().backward()
    assert torch.isfinite(coords.grad).all()


def test_natives_oxygen_and_frames(native_files):
    """Deposited O close to the placed one, atoms of ideal residues at the frames close to the native atoms (means)."""
    placed, rebuilt = [], []
    for file in native_files:
        backbone = read_structure(file)
        coords = torch.from_numpy(backbone.coords.astype(np.float64))
        breaks = backbone.chain_breaks()
        bonded = ~torch.from_numpy(breaks)[:-1]
        oxygen = place_oxygen(coords[:-1], coords[1:, 0])
        placed.append((oxygen - coords[:-1, 3]).norm(dim=-1)[bonded])
        again = atoms_from_frames(*frames_from_atoms(coords), torch.from_numpy(breaks))
        rebuilt.append((again - coords).norm(dim=-1)[:-1][bonded])
    placed, rebuilt = torch.cat(placed), torch.cat(rebuilt)
    assert placed.nanmean() < 0.1
    assert (rebuilt.nanmean(0) < 0.12).all()
