"""Secondary structure: known folds, broken chains, missing atoms."""

import numpy as np
import pytest

from protgm.structure import read_structure
from protgm.structure.secondary import assign


@pytest.fixture(scope="module")
def native(native_files):
    """A chain without breaks that has both helices and strands."""
    for file in native_files:
        backbone = read_structure(file)
        states = assign(backbone.coords)
        if not backbone.chain_breaks()[:-1].any() and states.count("H") > 20 and states.count("E") > 10:
            return backbone.coords, states
    pytest.skip("no such native among the sample")


def test_a_helix_and_an_extended_chain(cases):
    assert assign(cases.chain_coords([(-63.0, -42.0, 180.0)] * 14))[2:-2] == "H" * 10
    # A strand without a partner makes no hydrogen bond.
    assert assign(cases.chain_coords([(-120.0, 130.0, 180.0)] * 14)) == "C" * 14


@pytest.mark.parametrize("length", range(8))
def test_short_chains(cases, length):
    coords = cases.chain_coords([(-63.0, -42.0, 180.0)] * 8)[:length]
    states = assign(coords)
    assert len(states) == length
    assert set(states) <= set("HEC")


def test_as_pydssp_on_unbroken_natives(native):
    from pydssp.pydssp_numpy import assign as reference

    coords, states = native
    coil, helix, strand = np.asarray(reference(coords)).T
    assert states == "".join(np.select([coil, helix, strand], ["C", "H", "E"], default="?").tolist())


def test_moving_a_chain_changes_nothing(native):
    coords, states = native
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    assert assign(coords @ turn.T.astype(np.float32) + 100.0) == states


def test_no_helix_goes_across_a_break(cases):
    helix = cases.chain_coords([(-63.0, -42.0, 180.0)] * 24)
    whole = assign(helix)
    apart = np.concatenate((helix[:10], helix[14:]))
    states = assign(apart)
    assert len(states) == 20
    # The helix of 24 with four residues cut out is two helices, each with ends of its own.
    assert whole[9:15] == "H" * 6
    assert states[:10] == assign(helix[:10])
    assert states[10:] == assign(helix[14:])
    marked = np.zeros(24, dtype=bool)
    marked[11] = True
    assert assign(helix, marked) == assign(helix[:12]) + assign(helix[12:])


def test_missing_atoms_make_no_bond(cases):
    helix = cases.chain_coords([(-63.0, -42.0, 180.0)] * 14)
    without = helix.copy()
    without[:, 3] = np.nan
    assert assign(without) == "C" * 14
    some = helix.copy()
    some[6] = np.nan
    states = assign(some)
    assert len(states) == 14
    assert states[6] == "C"
    assert assign(np.full((9, 4, 3), np.nan)) == "C" * 9
    assert assign(np.zeros((9, 4, 3))) == "C" * 9


@pytest.mark.parametrize("shape", [(5, 3, 3), (5, 4), (2, 5, 4, 3)])
def test_shapes_that_are_none(shape):
    with pytest.raises(ValueError, match=r"coords: must have shape \(L, 4, 3\), got"):
        assign(np.zeros(shape))
