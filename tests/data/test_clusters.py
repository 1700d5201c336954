"""Clusters of similar sequences, and splits that never cut one."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from protgm.data.clusters import cluster_sequences, split_of
from protgm.structure import read_structure

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def random_sequence(rng: np.random.Generator, length: int = 120) -> str:
    return "".join(rng.choice(LETTERS, length))


def mutated(sequence: str, identity: float, rng: np.random.Generator) -> str:
    letters = np.array(list(sequence))
    change = rng.random(len(letters)) > identity
    letters[change] = rng.choice(LETTERS, change.sum())
    return "".join(letters)


def test_kin_together_strangers_apart():
    rng = np.random.default_rng(0)
    founders = [random_sequence(rng) for _ in range(30)]
    sequences = [mutated(founder, 0.9, rng) for founder in founders for _ in range(4)]
    labels = np.array(cluster_sequences(sequences)).reshape(30, 4)
    assert all(len(set(family)) == 1 for family in labels)
    assert len(set(labels[:, 0])) == 30


def test_order_of_the_files_does_not_matter():
    rng = np.random.default_rng(1)
    sequences = [mutated(f, 0.9, rng) for f in [random_sequence(rng) for _ in range(20)] for _ in range(3)]
    order = rng.permutation(len(sequences))
    straight = cluster_sequences(sequences)
    shuffled = cluster_sequences([sequences[i] for i in order])
    assert [straight[i] for i in order] == shuffled


def test_a_fragment_joins_its_whole():
    rng = np.random.default_rng(2)
    whole = random_sequence(rng, 200)
    labels = cluster_sequences([whole[60:130], whole, random_sequence(rng, 90)])
    assert labels[0] == labels[1] != labels[2]


def test_known_labels_stay_and_draw_their_kin():
    rng = np.random.default_rng(3)
    a, b, stranger = (random_sequence(rng) for _ in range(3))
    labels = cluster_sequences([mutated(a, 0.8, rng), a, b, stranger, a], [None, "17", "18", None, None])
    assert labels[:3] == ["17", "17", "18"]
    assert labels[4] == "17"
    assert labels[3].startswith("k")


def test_the_same_sequence_with_two_known_labels_keeps_both():
    assert cluster_sequences(["ACDEFGHIKL"] * 2, ["1", "2"]) == ["1", "2"]


@pytest.mark.parametrize("sequence", ["", "AC", "XXXXXXXX", "axz-*", "\u00e9\u00e9\u00e9\u00e9\u00e9"])
def test_sequences_without_a_single_k_mer(sequence):
    labels = cluster_sequences([sequence, sequence, "ACDEFGHIKLMNPQRSTVWY"])
    assert labels[0] == labels[1] != labels[2]


def test_nothing_to_cluster():
    assert cluster_sequences([]) == []


def test_splits_by_share_and_for_good():
    names = [f"k{i}" for i in range(20_000)]
    splits = [split_of(name, 0.1, 0.05) for name in names]
    assert splits == [split_of(name, 0.1, 0.05) for name in names]
    shares = {split: splits.count(split) / len(splits) for split in ("train", "val", "test")}
    assert shares["val"] == pytest.approx(0.1, abs=0.01)
    assert shares["test"] == pytest.approx(0.05, abs=0.01)
    assert shares["train"] == pytest.approx(0.85, abs=0.01)


def test_a_larger_share_only_adds():
    names = [f"k{i}" for i in range(3000)]
    small = {name for name in names if split_of(name, 0.05, 0.0) == "val"}
    large = {name for name in names if split_of(name, 0.2, 0.0) == "val"}
    assert small < large


@pytest.mark.slow
def test_against_alignment_clusters_of_natives(shared):
    """What we join is kin at 30 % identity by alignment, and whoever shares a third of the 4-mers is joined."""
    with open(shared / "pdb" / "manifest.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "chain"][:450]
    sequences = [read_structure(shared / "pdb" / row["file"]).sequence for row in rows]
    ours, theirs = np.array(cluster_sequences(sequences)), np.array([row["cluster30"] for row in rows])
    upper = np.triu_indices(len(rows), 1)
    together, kin = (ours[:, None] == ours)[upper], (theirs[:, None] == theirs)[upper]
    assert kin.sum() > 100
    assert (together & kin).sum() / together.sum() > 0.9
    words = [{sequence[i : i + 4] for i in range(len(sequence) - 3)} for sequence in sequences]
    pairs = [(words[i], words[j]) for i, j in zip(*upper, strict=True)]
    close = np.array([len(a & b) > 0.33 * min(len(a), len(b)) for a, b in pairs])
    assert close.sum() > 20
    assert (together & close).sum() / close.sum() > 0.9
