"""Refinement closes chains, parts atoms, and leaves good chains and other proteins alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from protgm.evaluate.geometry import Geometry, geometry
from protgm.lie.so3 import exp
from protgm.sample.refine import _hydrogen_energies, refine_frames
from protgm.structure import Backbone, read_structure
from protgm.structure.dssp import hydrogen_bonds
from protgm.structure.geometry import atoms_from_frames

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"


def native(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return read_structure(EXAMPLES / f"{name}.pdb.gz").frames()


def figures(rotations: torch.Tensor, translations: torch.Tensor) -> Geometry:
    return geometry(Backbone.from_coords(atoms_from_frames(rotations, translations).numpy()))


def refine(rotations: torch.Tensor, translations: torch.Tensor, **options: object):
    length = len(translations)
    moved = refine_frames(
        rotations[None],
        translations[None],
        torch.ones(1, length, dtype=torch.bool),
        torch.arange(length)[None],
        torch.zeros(1, length, dtype=torch.long),
        **options,
    )
    return moved[0][0], moved[1][0]


@pytest.mark.parametrize("name", ["1CSP_A", "2TRX_A"])
def test_a_shaken_native_is_mended(name):
    rotations, translations = native(name)
    generator = torch.Generator().manual_seed(0)
    rotations = rotations @ exp(torch.randn(*translations.shape, generator=generator) * 0.1)
    translations = translations + torch.randn(*translations.shape, generator=generator) * 0.3
    before, after = figures(rotations, translations), figures(*refine(rotations, translations))
    assert before.cn_ok < 0.5
    assert after.cn_ok == 1
    assert after.angle_mad < 2
    assert after.trans >= before.trans
    assert after.ca_clashes == 0
    assert after.clashes < before.clashes


def test_a_native_hardly_moves():
    rotations, translations = native("1LMB_3")
    turned, moved = refine(rotations, translations)
    assert (moved - translations).norm(dim=-1).square().mean().sqrt() < 0.3
    before, after = figures(rotations, translations), figures(turned, moved)
    assert abs(before.helix - after.helix) < 0.06
    assert after.rama_favoured > before.rama_favoured - 0.05


def test_residues_that_must_not_move_do_not():
    rotations, translations = native("1CSP_A")
    moving = torch.ones(1, len(translations), dtype=torch.bool)
    moving[0, 10:30] = False
    shaken = translations + torch.randn(translations.shape, generator=torch.Generator().manual_seed(0)) * 0.4
    turned, moved = refine(rotations, shaken, moving=moving)
    assert torch.equal(moved[10:30], shaken[10:30])
    torch.testing.assert_close(turned[10:30], rotations[10:30])
    assert (moved - shaken)[30:].abs().max() > 0.05


def test_proteins_of_a_batch_and_broken_bonds_do_not_feel_each_other():
    rotations, translations = native("1CSP_A")
    far = translations.clone()
    far[30:] += torch.tensor([40.0, 0, 0])  # a chain break: nothing must pull the two halves together
    index = torch.arange(len(translations)).repeat(2, 1)
    index[1, 30:] += 20
    mask, chain = torch.ones_like(index, dtype=torch.bool), torch.zeros_like(index)
    both = refine_frames(rotations.repeat(2, 1, 1, 1), torch.stack((translations, far)), mask, index, chain, steps=60)
    alone = refine(rotations, translations, steps=60)
    torch.testing.assert_close(both[1][0], alone[1], atol=1e-3, rtol=0)
    gap = np.linalg.norm((both[1][1, 30] - both[1][1, 29]).numpy())
    assert gap > 35


@pytest.mark.parametrize("name", ["1CSP_A", "2TRX_A"])
def test_hydrogen_bonds_are_those_of_dssp(name):
    atoms = atoms_from_frames(*native(name))
    bonds = hydrogen_bonds(atoms.numpy().astype(np.float32))
    acceptors, donors = np.nonzero(np.ones_like(bonds))
    apart = (donors > 0) & ((donors < acceptors) | (donors - acceptors >= 3)) & (acceptors < len(bonds) - 1)
    pairs = torch.tensor(np.stack((np.zeros_like(donors), donors, acceptors)))[:, apart]
    energies = _hydrogen_energies(atoms[None], pairs)
    clear = (energies + 0.5).abs() > 0.01
    assert torch.equal((energies < -0.5)[clear], torch.tensor(bonds[acceptors, donors][apart])[clear])
    assert 20 < (energies < -0.5).sum() < len(bonds)


def test_strands_of_a_shaken_barrel_hold_together():
    rotations, translations = native("1CSP_A")
    before, generator = figures(rotations, translations), torch.Generator().manual_seed(0)
    rotations = rotations @ exp(torch.randn(*translations.shape, generator=generator) * 0.1)
    shaken = rotations, translations + torch.randn(*translations.shape, generator=generator) * 0.2
    native_share, torn = before.strand, figures(*shaken).strand
    mended = figures(*refine(*shaken)).strand
    assert torn < 0.8 * native_share
    assert mended > 0.9 * native_share
