"""TM-scores against tmtools, clusters by hand, and the nearest native behind the prefilter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from tmtools import tm_align

from protgm.metrics.novelty import nearest_natives
from protgm.metrics.prefilter import POINTS, describe, prefilter, smooth
from protgm.metrics.similarity import clusters, tm_matrix, tm_pairs, tm_score
from protgm.structure import read_structure

NATIVES = Path(__file__).parents[1] / "evaluate" / "natives"


def ca(name: str) -> NDArray[np.float32]:
    return read_structure(NATIVES / f"{name}.pdb.gz").coords[:, 1]


def turned(x: NDArray[np.float32], seed: int = 0, noise: float = 0.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    moved = Rotation.random(rng=rng).apply(x) + rng.normal(0, 50, 3) + rng.normal(0, noise or 1e-9, x.shape)
    return moved.astype(np.float32)


def test_score_is_tm_aligns() -> None:
    a, b = ca("1CC8_A"), ca("1NB0_A")
    direct = tm_align(a.astype(float), b.astype(float), "A" * len(a), "A" * len(b))
    assert tm_score(a, b)[:2] == pytest.approx((direct.tm_norm_chain1, direct.tm_norm_chain2), abs=0.01)
    assert tm_score(a, turned(a)) == pytest.approx((1, 1, 0), abs=5e-3)


def test_missing_residues_are_left_out() -> None:
    a = ca("1CC8_A")
    holed = a.copy()
    holed[[3, 40]] = np.nan
    assert tm_score(holed, a) == tm_score(np.delete(a, [3, 40], axis=0), a)
    assert tm_score(holed, a)[:2] == pytest.approx((1, 70 / 72), abs=1e-3)
    assert np.isnan(tm_score(a[:4], a)).all()


def test_matrix_is_normalised_by_the_row() -> None:
    chains = [ca("1EJG_A"), ca("1CC8_A"), turned(ca("1EJG_A"), noise=0.3)]
    told = []
    matrix = tm_matrix(chains, advance=told.append)
    assert sum(told) == 3
    assert np.diag(matrix) == pytest.approx(1)
    for i, j in ((0, 1), (1, 0), (0, 2), (2, 1)):
        assert matrix[i, j] == pytest.approx(tm_score(chains[i], chains[j])[0], abs=1e-6)
    assert matrix[0, 2] > 0.8
    assert clusters(matrix).tolist() == [0, 1, 0]


def test_many_pairs_go_through_several_processes() -> None:
    a = ca("1EJG_A")[:12]
    pairs = [(a, turned(a, seed)) for seed in range(300)]
    scores = tm_pairs(pairs, workers=2)
    assert scores.shape == (300, 3)
    assert scores[7] == pytest.approx(tm_score(*pairs[7]), abs=5e-3)


def test_clusters_by_hand() -> None:
    # 0-1 and 1-2 are alike, 0-2 are not: complete linkage joins the likest pair only. 3 is alone, 4-5-6 all alike.
    tm = np.eye(7)
    for i, j, value in ((0, 1, 0.8), (1, 2, 0.7), (0, 2, 0.3), (4, 5, 0.6), (4, 6, 0.55), (5, 6, 0.9)):
        tm[i, j] = tm[j, i] = value
    assert clusters(tm).tolist() == [1, 1, 2, 3, 0, 0, 0]
    # The two normalisations are averaged: 0.9 and 0.2 are alike, 0.9 and 0.05 are not.
    tm = np.eye(3)
    tm[0, 1], tm[1, 0], tm[0, 2], tm[2, 0] = 0.9, 0.2, 0.9, 0.05
    assert clusters(tm).tolist() == [0, 0, 1]
    assert clusters(np.eye(1)).tolist() == [0]
    assert clusters(np.eye(0)).tolist() == []
    with_gap = np.eye(2)
    with_gap[0, 1] = with_gap[1, 0] = np.nan
    assert clusters(with_gap).tolist() == [0, 1]


def test_description_does_not_change_with_the_view_and_hardly_with_length() -> None:
    a = ca("1NB0_A")
    one = describe(smooth(a), 0, len(a))
    assert one.shape == (1, POINTS * (POINTS - 1) // 2 - POINTS + 1)
    assert describe(smooth(turned(a)), 0, len(a)) == pytest.approx(one, abs=1e-2)
    without = np.delete(a, [30, 70, 110], axis=0)
    other = describe(smooth(ca("1CC8_A")), 0, 72)
    assert np.abs(describe(smooth(without), 0, len(without)) - one).mean() < 1.0 < np.abs(other - one).mean()


@pytest.fixture(scope="module")
def library() -> list[NDArray[np.float32]]:
    """Random compact chains, and three natives among them."""
    rng = np.random.default_rng(0)
    chains = []
    for length in rng.integers(40, 160, 60):
        step = np.cumsum(rng.normal(0, 1, (length, 3)), axis=0)
        direction = np.diff(step - 0.05 * np.cumsum(step, axis=0) / np.arange(1, length + 1)[:, None], axis=0)
        steps = 3.8 * direction / np.linalg.norm(direction, axis=1, keepdims=True)
        chains.append(np.concatenate((np.zeros((1, 3)), np.cumsum(steps, axis=0))).astype(np.float32))
    for row, name in ((20, "1EJG_A"), (37, "1CC8_A"), (50, "1NB0_A")):
        chains[row] = ca(name)
    return chains


def test_prefilter_finds_noisy_cut_and_extended_copies(library: list) -> None:
    a, b = ca("1CC8_A"), ca("1NB0_A")
    tail = b[-1] + 3.8 * np.arange(1, 13)[:, None] * np.float32([1, 0, 0])
    samples = [
        turned(a, 1, noise=0.8),
        turned(b, 2, noise=0.8)[20:100],  # a part of a longer native
        turned(np.concatenate((b[8:], tail)), 3),  # other ends
        turned(np.delete(b, np.r_[50:54, 90:93], axis=0), 4),  # deletions
    ]
    assert [rows[0] for rows in prefilter(samples, library, 5)] == [37, 50, 50, 50]
    assert all(len(rows) == 5 for rows in prefilter(samples, library, 5))


@pytest.mark.slow
def test_prefilter_agrees_with_exhaustive_search_for_the_nearest(library: list) -> None:
    samples = [turned(ca("1EJG_A"), 5, noise=1.0), turned(ca("1NB0_A")[30:90], 6, noise=0.5)]
    every = nearest_natives(samples, library, candidates=len(library))
    quick = nearest_natives(samples, library, candidates=10)
    assert quick == every
    assert [found.row for found in quick] == [20, 50]


def test_what_is_too_short_has_no_nearest(library: list) -> None:
    found = nearest_natives([library[20][:6], turned(library[20])], [library[0][:5], *library[15:25]], candidates=3)
    assert found[0] is None
    assert found[1].row == 6
    assert found[1].tm == pytest.approx(1, abs=1e-4)
    assert nearest_natives([library[0]], []) == [None]
