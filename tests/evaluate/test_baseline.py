"""Natives beside every number: pairs, families left out, sequences; sets of unequal size are compared fairly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protgm.data.natives import Natives
from protgm.design import Design
from protgm.evaluate import Gate
from protgm.evaluate.baseline import align_natives, design_natives, match_natives
from protgm.evaluate.judge import judge, reference_figures
from protgm.metrics.novelty import nearest_natives
from protgm.metrics.similarity import clusters_among, tm_score
from protgm.structure import Backbone, read_structure

NATIVES = Path(__file__).parent / "natives"


def native(name: str) -> Backbone:
    return read_structure(NATIVES / f"{name}.pdb.gz")


def noisy(b: Backbone, seed: int) -> Backbone:
    noise = np.random.default_rng(seed).normal(0, 0.02, b.coords.shape).astype(np.float32)
    return replace(b, coords=b.coords + noise, name=f"{b.name}-{seed}")


@pytest.fixture(scope="module")
def library() -> Natives:
    """Two copies of each of three natives, the copies of one family."""
    names = ("1EJG_A", "1CC8_A", "1NB0_A")
    backbones = [noisy(native(name), seed) for name in names for seed in (0, 1)]
    return Natives(backbones, "here", ["a", "a", "b", "b", "c", "c"])


def test_families_say_who_is_related(library: Natives) -> None:
    assert library.relatives(3).tolist() == [2, 3]
    assert Natives(library.backbones, "here").relatives(3).tolist() == [3]


@pytest.mark.slow
def test_barred_natives_are_not_compared_with(library: Natives) -> None:
    every = [b.coords[:, 1] for b in library]
    (own,) = nearest_natives([every[2]], every, candidates=2)
    assert own.row == 2
    (twin,) = nearest_natives([every[2]], every, candidates=2, barred=[np.array([2])])
    assert twin.row == 3
    (other,) = nearest_natives([every[2]], every, candidates=2, barred=[np.array([2, 3])])
    assert other.row not in (2, 3)
    assert other.tm == pytest.approx(max(tm_score(every[2], every[k])[0] for k in (0, 1, 4, 5)))
    # Where all are looked at, all are: also of the one that is barred from none.
    pair = nearest_natives([every[2], every[5]], every, candidates=2, barred=[np.array([0, 1, 2, 3]), np.zeros(0, int)])
    assert [found.row for found in pair] == [4 + int(pair[0].row == 5), 5]
    assert nearest_natives([every[2]], every, candidates=2, barred=[np.arange(6)]) == [None]


@pytest.mark.slow
def test_natives_are_aligned_with_other_families(library: Natives) -> None:
    samples = judge([native("1CC8_A")], Gate())
    matched = match_natives(samples, library, 6, Gate())
    found = align_natives(matched, library, candidates=5)
    assert found["clusters"] == {"mean": 3.0, "of": 6.0}
    assert 0 < found["pair_tm"]["p5"] < found["pair_tm"]["mean"] < found["pair_tm"]["p95"]
    known = [row["native_tm"] for row in matched.judged.rows]
    assert max(known) < 0.6
    alone = match_natives(samples, Natives(library.backbones, "here"), 6, Gate())
    align_natives(alone, Natives(library.backbones, "here"), candidates=5)
    assert min(row["native_tm"] for row in alone.judged.rows) > 0.95


def test_natives_get_likelihoods_where_they_say_what_their_residues_are(library: Natives) -> None:
    class Fixed:
        def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0) -> list[Design]:
            return [Design("A" * len(backbone), 2.0 + k) for k in range(num_seqs)]

        def score(self, backbone: Backbone, sequence: str) -> float:
            return 3.0

    samples = judge([native("1CC8_A")], Gate())
    bare = [replace(b, sequence="G" * len(b)) if k < 2 else b for k, b in enumerate(library)]
    matched = match_natives(samples, Natives(bare, "here"), 6, Gate())
    design_natives(matched, Fixed(), 2, count=6)
    assert [row["mpnn_nll"] for row in matched.judged.rows] == [2.0] * 6
    assert [row.get("native_nll") for row in matched.judged.rows] == [None, None, 3.0, 3.0, 3.0, 3.0]
    figures = reference_figures(matched.judged.rows)
    assert figures["native_nll"]["mean"] == 3.0
    assert figures["mpnn_nll"]["mean"] == 2.0


def test_sets_of_unequal_size_are_compared_by_draws() -> None:
    tm = np.kron(np.eye(3), np.ones((4, 4)))  # three clusters of four
    assert clusters_among(tm, 12) == 3
    assert clusters_among(tm, 1) == 1
    assert 1.5 < clusters_among(tm, 2, draws=200) < 1.9  # 1 + 8 / 11
    assert clusters_among(tm, 13) is None
