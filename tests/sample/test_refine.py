"""Refinement closes chains, parts atoms, and leaves good chains and other proteins alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from protgm.layout import FIXED, Layout
from protgm.lie.so3 import exp
from protgm.metrics import Figures, geometry
from protgm.sample.refine import _hydrogen_energies, refine_frames
from protgm.structure import Backbone, read_structure
from protgm.structure.dssp import hydrogen_bonds
from protgm.structure.frames import Frames

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"


def native(name: str) -> Frames:
    return Frames(*read_structure(EXAMPLES / f"{name}.pdb.gz").frames())


def shaken(frames: Frames, turn: float, shift: float) -> Frames:
    generator = torch.Generator().manual_seed(0)
    rotations = frames.rotations @ exp(torch.randn(*frames.translations.shape, generator=generator) * turn)
    return Frames(rotations, frames.translations + torch.randn(*rotations.shape[:-1], generator=generator) * shift)


def figures(frames: Frames) -> Figures:
    return geometry(Backbone.from_coords(frames.to_atoms().numpy()))


def refine(frames: Frames, layout: Layout | None = None, **options: int) -> Frames:
    layout = layout or Layout.chain(len(frames.translations))
    return refine_frames(frames[None], Layout.batch([layout]), **options)[0]


@pytest.mark.parametrize("name", ["1CSP_A", "2TRX_A"])
@pytest.mark.slow
def test_a_shaken_native_is_mended(name):
    moved = shaken(native(name), 0.1, 0.3)
    before, after = figures(moved), figures(refine(moved))
    assert before.cn_ok < 0.5
    assert after.cn_ok == 1
    assert after.angle_mad < 2
    assert after.trans >= before.trans
    assert after.ca_clashes == 0
    assert after.clashes < before.clashes


@pytest.mark.slow
def test_a_native_hardly_moves():
    frames = native("1LMB_3")
    moved = refine(frames)
    assert (moved.translations - frames.translations).norm(dim=-1).square().mean().sqrt() < 0.3
    before, after = figures(frames), figures(moved)
    assert abs(before.helix - after.helix) < 0.06
    assert after.rama_favoured > before.rama_favoured - 0.05


@pytest.mark.slow
def test_residues_whose_place_is_given_do_not_move():
    start = shaken(native("1CSP_A"), 0.0, 0.4)
    layout = Layout.chain(len(start.translations))
    layout.body[10:30] = FIXED
    moved = refine(start, layout)
    assert torch.equal(moved.translations[10:30], start.translations[10:30])
    torch.testing.assert_close(moved.rotations[10:30], start.rotations[10:30])
    assert (moved.translations - start.translations)[30:].abs().max() > 0.05


@pytest.mark.slow
def test_a_rigid_body_moves_as_one_and_closes_its_junctions():
    start = native("1CSP_A")
    layout = Layout.chain(len(start.translations))
    layout.body[10:30], layout.body[40:45] = 1, 2
    member = (layout.body == 1)[:, None]
    start = Frames(start.rotations, start.translations + member * torch.tensor([0.6, -0.4, 0.3]))
    moved = refine(start, layout)
    for rows in (slice(10, 30), slice(40, 45)):
        before, after = start[rows], moved[rows]
        torch.testing.assert_close(
            torch.cdist(after.translations, after.translations),
            torch.cdist(before.translations, before.translations),
            atol=1e-3, rtol=0,
        )  # fmt: skip
        turn = after.rotations @ before.rotations.mT
        torch.testing.assert_close(turn, turn[:1].expand_as(turn), atol=1e-4, rtol=0)
    assert (moved.translations - start.translations)[10:30].norm(dim=-1).max() > 0.1
    # What is amiss inside a body stays: one bond of the native between ideal frames.
    assert figures(start).cn_ok < 0.97
    assert figures(moved).cn_ok > 0.98


@pytest.mark.slow
def test_a_torn_peptide_does_not_keep_its_nitrogen_on_the_wrong_side():
    """Where residues lie in each other, what a network says of dihedrals is not worth keeping."""
    start, torn = native("1CSP_A"), []
    for seed in range(8):
        source = torch.Generator().manual_seed(seed)
        rotations, places = start.rotations.clone(), start.translations.clone()
        places[31] = torch.lerp(places[31], places[29], 0.6)
        for k in (30, 31):
            rotations[k] = rotations[k] @ exp(1.2 * torch.randn(3, generator=source))
        torn.append(Frames(rotations, places))
    batch = Frames(*(torch.stack([getattr(one, name) for one in torn]) for name in ("rotations", "translations")))
    moved = refine_frames(batch, Layout.unconditional([len(start.translations)] * 8))
    for one in range(8):
        after = figures(moved[one])
        assert after.cn_ok == 1
        assert after.angle_worst < 32


def test_proteins_of_a_batch_and_broken_bonds_do_not_feel_each_other():
    frames = native("1CSP_A")
    far = frames.translations.clone()
    far[30:] += torch.tensor([40.0, 0, 0])  # a chain break: nothing must pull the two halves together
    whole = Layout.chain(len(far))
    broken = replace(whole, residue_index=whole.residue_index + 20 * (whole.residue_index >= 30))
    two = Frames(torch.stack([frames.rotations] * 2), torch.stack((frames.translations, far)))
    both = refine_frames(two, Layout.batch([whole, broken]), steps=60).translations
    alone = refine(frames, steps=60).translations
    torch.testing.assert_close(both[0], alone, atol=1e-3, rtol=0)
    gap = np.linalg.norm((both[1, 30] - both[1, 29]).numpy())
    assert gap > 35


@pytest.mark.parametrize("name", ["1CSP_A", "2TRX_A"])
def test_hydrogen_bonds_are_those_of_dssp(name):
    atoms = native(name).to_atoms()
    bonds = hydrogen_bonds(atoms.numpy().astype(np.float32))
    acceptors, donors = np.nonzero(np.ones_like(bonds))
    apart = (donors > 0) & ((donors < acceptors) | (donors - acceptors >= 3)) & (acceptors < len(bonds) - 1)
    pairs = torch.tensor(np.stack((np.zeros_like(donors), donors, acceptors)))[:, apart]
    energies = _hydrogen_energies(atoms[None], pairs)
    clear = (energies + 0.5).abs() > 0.01
    assert torch.equal((energies < -0.5)[clear], torch.tensor(bonds[acceptors, donors][apart])[clear])
    assert 20 < (energies < -0.5).sum() < len(bonds)


@pytest.mark.slow
def test_strands_of_a_shaken_barrel_hold_together():
    frames = native("1CSP_A")
    torn = shaken(frames, 0.1, 0.2)
    native_share = figures(frames).strand
    assert figures(torn).strand < 0.8 * native_share
    assert figures(refine(torn)).strand > 0.9 * native_share
