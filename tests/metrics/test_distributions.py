"""Distances of distributions: known values, the floor of equal sets, and sensitivity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import jensenshannon

from protgm.metrics.distributions import Space, compare, frechet, jensen_shannon, match_lengths, mmd
from protgm.metrics.features import Features, distance_features, features, stack
from protgm.metrics.torsions import torsions
from protgm.structure import read_structure

NATIVES = Path(__file__).parents[1] / "evaluate" / "natives"


def test_jensen_shannon_in_bits() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.integers(0, 9, 30), rng.integers(0, 9, 30)
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert jensen_shannon(p, 7 * p) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon(np.array([1, 0]), np.array([0, 3])) == pytest.approx(1)
    assert np.isnan(jensen_shannon(np.zeros(3), np.ones(3)))


def test_frechet_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (400, 3)), rng.normal(0, 2, (300, 3)) @ np.diag([1, 2, 0.5]) + [1, 0, 0]
    c, d = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert frechet(x, y) == pytest.approx(expected, rel=1e-6)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x[:, :1], x[:, :1] + 3) == pytest.approx(9)


def test_mmd_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 2))
    kernel = np.exp(-((points[:, None] - points) ** 2).sum(-1))
    x, y = np.arange(5), np.arange(5, 12)
    within = (
        sum(kernel[i, j] for i in x for j in x if i != j) / 20 + sum(kernel[i, j] for i in y for j in y if i != j) / 42
    )
    assert mmd(kernel, x, y) == pytest.approx(within - 2 * np.mean([kernel[i, j] for i in x for j in y]))
    # A point that was drawn twice does not meet itself.
    assert mmd(kernel, np.array([0, 0, 1]), y) == pytest.approx(
        kernel[0, 1] + sum(kernel[i, j] for i in y for j in y if i != j) / 42
        - 2 * kernel[np.ix_([0, 0, 1], y)].mean()
    )  # fmt: skip


def test_space_measures_in_natives_deviations() -> None:
    rng = np.random.default_rng(0)
    natives = rng.normal(size=(500, 4)) * [5, 1, 0.1, 0] + 3
    space = Space.of_natives(natives, components=8)
    there = space(natives)
    assert there.shape == (500, 3)  # what never varies is no component
    assert there.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert there.std(axis=0, ddof=1) == pytest.approx(1)


def test_lengths_are_matched_and_no_native_comes_twice() -> None:
    rng = np.random.default_rng(0)
    natives = np.repeat(np.arange(50, 150), 4)
    chosen = match_lengths(np.array([60, 60, 100]), natives, 9, rng)
    assert len(set(chosen.tolist())) == 9
    assert sorted(natives[chosen].tolist()) == [59, 60, 60, 60, 60, 61, 100, 100, 100] or sorted(
        np.abs(natives[chosen] - np.where(natives[chosen] < 80, 60, 100)).tolist()
    ) == [0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert len(match_lengths(np.array([70]), natives[:5], 9, rng)) == 5


def synthetic(count: int, seed: int, shift: float = 0.0) -> Features:
    rng = np.random.default_rng(seed)
    share = rng.dirichlet([4 + 8 * shift, 3, 3], count)
    law = np.full(576, 0.2)
    law[:100] = 3.0 + 4 * shift
    return Features(
        lengths=np.full(count, 100),
        dihedrals=rng.multinomial(98, law / law.sum(), count).astype(np.float32),
        secondary=(100 * share).astype(np.float32),
        shape=np.concatenate((share[:, :2], rng.normal(1 + shift, 0.3, (count, 3))), axis=1).astype(np.float32),
        distances=rng.normal(shift, 1, (count, 78)).astype(np.float32),
    )


def test_equal_sets_lie_on_the_floor_and_others_above() -> None:
    natives = synthetic(160, 0)
    equal = compare(synthetic(60, 1), natives, draws=60)
    other = compare(synthetic(60, 2, shift=1.0), natives, draws=60)
    assert set(equal) == {"dihedrals_js", "secondary_js", "shape_mmd", "distances_mmd", "distances_frechet"}
    for name, distance in equal.items():
        assert distance.value <= distance.floor_high * 1.3 + 0.01, name
        assert distance.low <= distance.value <= distance.high, name
        assert other[name].value > 1.2 * distance.floor_high, name
        assert other[name].low > distance.value, name
    assert compare(synthetic(60, 1), natives, draws=20) == compare(synthetic(60, 1), natives, draws=20)


def test_features_of_a_native() -> None:
    b = read_structure(NATIVES / "1CC8_A.pdb.gz")
    length, dihedrals, states, shape, distances = features(b)
    angles = torsions(b)
    assert length == 72
    assert dihedrals.sum() == (np.isfinite(angles.phi) & np.isfinite(angles.psi)).sum()
    i = 30
    cell = [int((angle + 180) // 15) for angle in (angles.phi[i], angles.psi[i])]
    assert dihedrals.reshape(24, 24)[cell[0], cell[1]] >= 1
    assert states.sum() == 72
    assert shape[0] == pytest.approx(states[0] / 72)
    assert distances.reshape(6, 13).sum(axis=1) == pytest.approx(1)
    # CA of i and i + 2 are 5 to 7.5 A apart in any protein.
    assert distances.reshape(6, 13)[0, 1:4].sum() == pytest.approx(1)
    assert len(stack([features(b)] * 3)) == 3
    with pytest.raises(ValueError, match="at least one"):
        stack([])


def test_distance_features_of_short_and_holed_chains() -> None:
    assert distance_features(np.zeros((2, 3))).sum() == 0
    x = read_structure(NATIVES / "1EJG_A.pdb.gz").coords[:, 1].copy()
    x[5] = np.nan
    assert np.isfinite(distance_features(x)).all()
    assert distance_features(x).reshape(6, 13).sum(axis=1) == pytest.approx(1)
