"""Designs keep what the manifest says is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from protgm.design import ProteinMPNN
from protgm.design.kept import Kept, kept_in, kept_of
from protgm.structure import Backbone, read_structure

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"


@pytest.fixture(scope="module")
def native() -> Backbone:
    return read_structure(EXAMPLES / "1SHG_A.pdb.gz")


def test_given_types_stay_and_the_others_are_found(native):
    fixed = np.zeros(len(native), dtype=bool)
    fixed[10:30] = True
    made = ProteinMPNN().design(native, 2, seed=0, kept=Kept(fixed))
    for one in made:
        assert one.sequence[10:30] == native.sequence[10:30]
        assert one.sequence[30:] != native.sequence[30:]


def test_copies_of_a_unit_share_a_sequence(native):
    size = 20
    unit = native.select(slice(0, size))
    coords = np.concatenate((unit.coords, unit.coords * np.float32([-1, -1, 1]) + np.float32([30, 0, 0])))
    dimer = Backbone(
        coords=coords,
        sequence=unit.sequence * 2,
        chain_ids=("A",) * size + ("B",) * size,
        residue_numbers=np.tile(np.arange(1, size + 1), 2),
        insertion_codes=("",) * 2 * size,
    )
    kept = kept_of(dimer, {"types": ["A3", "B3"], "copies": 2})
    (made,) = ProteinMPNN().design(dimer, 1, seed=0, kept=kept)
    assert made.sequence[:size] == made.sequence[size:]
    assert made.sequence[2] == unit.sequence[2]


def test_facts_are_read_from_the_manifest_and_held_against_the_structure(native, tmp_path):
    row = {"name": native.name, "keep": {"types": [f"A{native.residue_numbers[4]}"], "chains": []}}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    facts = kept_in(tmp_path)
    kept = kept_of(native, facts[native.name])
    assert kept is not None
    assert kept.fixed.nonzero()[0].tolist() == [4]
    assert kept_of(native, None) is None
    assert kept_of(native, {"chains": ["A"]}).fixed.all()
    with pytest.raises(ValueError, match="has no residue B7, which its manifest says is kept"):
        kept_of(native, {"types": ["B7"]})
    with pytest.raises(ValueError, match="are not 4 like units"):
        kept_of(native, {"copies": 4})
