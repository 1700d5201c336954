"""The structure object."""

import numpy as np
import pytest
import torch

from protgm.structure import Backbone, read_structure
from protgm.structure.geometry import frames_from_atoms


@pytest.fixture
def backbone(cases):
    coords = cases.helix(8).astype(np.float32)
    return Backbone(
        coords=coords,
        sequence="ACDEFGHI",
        chain_ids=tuple("AAAAABBB"),
        residue_numbers=np.array([1, 2, 3, 4, 5, 1, 2, 3]),
        insertion_codes=("",) * 8,
        name="it",
        metadata={"seed": 1},
        confidence=np.linspace(0, 1, 8, dtype=np.float32),
    )


def test_lengths_must_agree(backbone):
    from dataclasses import replace

    with pytest.raises(ValueError, match=r"it: coords must have shape \(3, 4, 3\) for a sequence of 3 residues"):
        replace(backbone, sequence="AAA")
    with pytest.raises(ValueError, match="it: chain_ids has 2 entries for 8 residues"):
        replace(backbone, chain_ids=("A", "B"))
    with pytest.raises(ValueError, match="it: confidence has 1 entries for 8 residues"):
        replace(backbone, confidence=np.ones(1))


def test_from_coords(cases):
    made = Backbone.from_coords(cases.helix(5), chain_id="X", confidence=np.ones(5), metadata={"seed": 3})
    assert len(made) == 5
    assert made.sequence == "GGGGG"
    assert made.chain_ids == ("X",) * 5
    assert made.residue_numbers.tolist() == [1, 2, 3, 4, 5]
    assert made.coords.dtype == made.confidence.dtype == np.float32
    assert made.metadata == {"seed": 3}
    assert len(Backbone.from_coords(np.empty((0, 4, 3)))) == 0


@pytest.mark.parametrize("index", [slice(2, 7, 2), np.array([2, 4, 6]), np.isin(np.arange(8), [2, 4, 6])])
def test_select(backbone, index):
    part = backbone.select(index)
    assert part.sequence == "DFH"
    assert part.chain_ids == ("A", "A", "B")
    assert part.residue_numbers.tolist() == [3, 5, 2]
    np.testing.assert_array_equal(part.coords, backbone.coords[[2, 4, 6]])
    np.testing.assert_array_equal(part.confidence, backbone.confidence[[2, 4, 6]])
    assert part.metadata == {"seed": 1}


def test_select_in_another_order(backbone):
    assert backbone.select(np.array([7, 0])).sequence == "IA"
    assert len(backbone.select(np.zeros(8, dtype=bool))) == 0


def test_chain_breaks(backbone):
    assert backbone.chain_breaks().tolist() == [False] * 4 + [True] + [False] * 2 + [True]
    coords = backbone.coords.copy()
    coords[2:, :, 0] += 5.0
    coords[6, 0] = np.nan  # judged by its CA then
    from dataclasses import replace

    assert replace(backbone, coords=coords).chain_breaks().nonzero()[0].tolist() == [1, 4, 7]
    assert Backbone.from_coords(np.empty((0, 4, 3))).chain_breaks().tolist() == []


def test_complete_and_frames(backbone):
    coords = backbone.coords.copy()
    coords[3, 2] = np.nan
    coords[5, 3] = np.nan
    from dataclasses import replace

    holes = replace(backbone, coords=coords)
    assert holes.complete.nonzero()[0].tolist() == [0, 1, 2, 4, 5, 6, 7]
    rotations, translations = holes.frames()
    expected = frames_from_atoms(torch.from_numpy(coords))
    torch.testing.assert_close((rotations, translations), expected, equal_nan=True)
    assert torch.isfinite(rotations).all(dim=(1, 2)).tolist() == holes.complete.tolist()


@pytest.mark.parametrize(
    "index", ["A", None, 3, 1.5, [1.5], [8], [-9], np.array([True]), [[0, 1]], "", {}, (1, 2)], ids=repr
)
def test_what_selects_no_residues_is_named(backbone, index):
    with pytest.raises(ValueError, match="index="):
        backbone.select(index)


def test_it_is_shown_in_one_line(backbone):
    assert repr(backbone) == "<Backbone it: 8 residues, chains A, B>"


def test_residues_that_are_not_there_have_no_label(backbone):
    assert backbone.label(-1) == backbone.labels[-1]
    for i in (8, -9, "A", 1.0, None, True):
        with pytest.raises(ValueError, match=r"\bi="):
            backbone.label(i)


@pytest.mark.parametrize(
    "arguments", [{"model": "1"}, {"model": 0.5}, {"model": None}, {"max_bytes": "1 MB"}, {"max_bytes": -1}]
)
def test_numbers_of_reading_that_are_none(cases, tmp_path, arguments):
    path = tmp_path / "a.pdb"
    path.write_bytes(cases.pdb_bytes(cases.atoms_of(cases.helix())))
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}="):
        read_structure(path, **arguments)
