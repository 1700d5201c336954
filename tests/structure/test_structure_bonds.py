"""Which residues are bonded: one definition, by atoms where they are there and by CA where they are not."""

import numpy as np
import pytest

from protgm.metrics.torsions import links
from protgm.structure import Backbone
from protgm.structure.bonds import MAX_C_N, MAX_STEP, are_bonded, bonds, chain_breaks


def test_breaks(cases):
    coords = cases.helix(6)
    coords[3:] += 3.0
    assert chain_breaks(coords).tolist() == [False, False, True, False, False, True]
    assert bonds(coords).tolist() == [True, True, False, True, True]
    assert bonds(coords, list("AABBBB")).tolist() == [True, False, False, True, True]
    assert chain_breaks(np.empty((0, 4, 3))).tolist() == []
    assert chain_breaks(coords[:1]).tolist() == [True]


@pytest.mark.parametrize("atom", [0, 2])
def test_a_missing_atom_is_no_break(cases, atom):
    coords = cases.helix(6)
    coords[2, atom] = np.nan
    assert bonds(coords).all()
    coords[2, 1] = np.nan
    assert bonds(coords).sum() == 3 + 1


@pytest.mark.parametrize(("apart", "bonded"), [(-0.01, True), (0.01, False)])
def test_limits(cases, apart, bonded):
    before, behind = np.zeros((4, 3)), np.zeros((4, 3))
    behind[0] = (MAX_C_N + apart, 0.0, 0.0)
    behind[1] = (50.0, 0.0, 0.0)
    assert are_bonded(before, behind) == bonded
    before[2] = np.nan
    behind[1] = (0.0, MAX_STEP + apart, 0.0)
    assert are_bonded(before, behind) == bonded
    behind[1] = np.inf
    assert not are_bonded(before, behind)


def test_all_who_ask_get_one_answer(cases, native_files):
    from protgm.structure import read_structure

    backbones = [read_structure(file) for file in native_files[:5]]
    holes = cases.helix(8).astype(np.float32)
    holes[[2, 5], 0] = np.nan
    holes[6:, :, 0] += 1.0
    backbones.append(Backbone.from_coords(holes))
    for backbone in backbones:
        answer = ~backbone.chain_breaks()[:-1]
        np.testing.assert_array_equal(bonds(backbone.coords, backbone.chain_ids), answer)
        np.testing.assert_array_equal(links(backbone)[1], answer)
