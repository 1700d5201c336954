"""Hydrogen bonds and states against pydssp, which they are to equal to the bit."""

import numpy as np
import pytest
from pydssp.pydssp_numpy import assign, get_hbond_map

from protgm.structure import read_structure
from protgm.structure.dssp import hydrogen_bonds, states_of


def damaged(coords, kind, rng):
    """A chain as it is, with noise, with missing atoms, or shrunk so that everything is bonded to everything."""
    coords = np.array(coords, dtype=np.float32)
    if kind == "noisy":
        coords += rng.normal(scale=0.5, size=coords.shape).astype(np.float32)
    elif kind == "gaps":
        coords[rng.random(coords.shape[:2]) < 0.05] = np.nan
    elif kind == "coinciding":
        coords[rng.integers(len(coords), size=20)] = coords[rng.integers(len(coords), size=20)]
    elif kind == "stretched":  # a C=O whose ends are far apart may be bonded from far away
        some = rng.random(len(coords)) < 0.2
        coords[some, 3] += rng.normal(scale=8.0, size=(some.sum(), 3)).astype(np.float32)
    elif kind == "dense":
        coords *= np.float32(0.3)
    return coords


@pytest.mark.parametrize("kind", ["native", "noisy", "gaps", "coinciding", "stretched", "dense"])
def test_as_pydssp(kind, native_files):
    rng = np.random.default_rng(0)
    seen = 0
    for file in native_files[:12]:
        coords = damaged(read_structure(file).coords, kind, rng)
        if not 6 <= len(coords) <= 400:
            continue
        with np.errstate(all="ignore"):
            bonds, (helix, strand) = hydrogen_bonds(coords), states_of(coords)
            weights, (_, helix_wanted, strand_wanted) = get_hbond_map(coords), assign(coords).T
        assert np.array_equal(bonds, weights.T > 0)
        assert np.array_equal(helix, helix_wanted)
        assert np.array_equal(strand, strand_wanted)
        seen += bonds.sum()
    assert seen > 50


@pytest.mark.parametrize("length", [6, 7, 8, 11])
def test_short_chains_of_random_points(length):
    rng = np.random.default_rng(length)
    for _ in range(50):
        coords = rng.normal(scale=3.0, size=(length, 4, 3)).astype(np.float32)
        _, helix, strand = assign(coords).T
        found = states_of(coords)
        assert np.array_equal(found[0], helix)
        assert np.array_equal(found[1], strand)
