"""Superposition has three homes: numpy in double precision, tensors, and many small ones at once. They agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from protgm.alignment.fit import features, fit
from protgm.lie.points import kabsch
from protgm.structure.superpose import superposed_rmsd, superposition


def pair(seed: int, noise: float, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(0, 8, (count, 3))
    return a, Rotation.random(rng=rng).apply(a) + rng.normal(0, 20, 3) + rng.normal(0, noise, a.shape)


@pytest.mark.parametrize("noise", [0.0, 0.5, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_three_agree(seed: int, noise: float) -> None:
    a, b = pair(seed, noise)
    rotation, shift = superposition(a, b)
    moved = a - a.mean(0), b - b.mean(0)
    theirs = kabsch(*map(torch.from_numpy, moved)).numpy()
    np.testing.assert_allclose(rotation, theirs, atol=1e-9)
    x, y = (one.astype(np.float32) for one in moved)
    many, _ = fit(features(x, y, np.ones(len(x), dtype=bool)).sum(axis=0))
    np.testing.assert_allclose(rotation, many, atol=2e-3)
    np.testing.assert_allclose(shift, b.mean(0) - rotation @ a.mean(0), atol=1e-9)
    wanted = Rotation.align_vectors(moved[1], moved[0])[0].as_matrix()
    np.testing.assert_allclose(rotation, wanted, atol=1e-9)


def test_no_move_lies_better() -> None:
    a, b = pair(0, 2.0)
    best = superposed_rmsd(a, b)
    rotation, shift = superposition(a, b)
    rng = np.random.default_rng(1)
    for _ in range(20):
        turn = Rotation.from_rotvec(rng.normal(0, 0.02, 3)).as_matrix() @ rotation
        moved = a @ turn.T + shift + rng.normal(0, 0.05, 3)
        assert np.sqrt(np.square(moved - b).sum(-1).mean()) > best
    mirrored = superposed_rmsd(a * [1, 1, -1], b)
    assert mirrored > 2 * best  # a rotation, never a reflection


def test_missing_rows_are_left_out() -> None:
    a, b = pair(2, 0.0)
    a[4], b[7, 1] = np.nan, np.nan
    assert superposed_rmsd(a, b) < 1e-9
    assert np.isnan(superposed_rmsd(a[:2], b[:2]))
