"""Batches: padding, frames, one sample per cluster and epoch, balance over ranks, exact resume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from protgm.data import Batch, Dataset, EpochSampler, collate
from protgm.data.batches import Batch as BatchOfModule
from protgm.data.schema import UNKNOWN


@pytest.fixture(scope="module")
def families(make_dataset) -> Dataset:
    """120 clusters of 1 to 5 chains, 30 to 159 residues."""
    rng = np.random.default_rng(0)
    clusters = [f"c{i}" for i in range(120) for _ in range(rng.integers(1, 6))]
    return make_dataset(rng.integers(30, 160, len(clusters)).tolist(), clusters)


def equal(a: Batch, b: Batch) -> bool:
    tensors = ("mask", "sequence", "secondary", "residue_index", "chain_index")
    frames = [(getattr(a.frames, name), getattr(b.frames, name)) for name in ("rotations", "translations")]
    same = a.names == b.names and all(torch.equal(*pair) for pair in frames)
    return same and all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)


def test_one_name_for_one_class():
    assert Batch is BatchOfModule


def test_frames_are_those_of_the_residues_and_padding_is_neutral(prepared):
    dataset = Dataset.open(prepared)
    examples = [dataset[i] for i in range(4)]
    batch = collate(examples)
    assert len(batch) == 4
    assert batch.padded_length == -(-max(map(len, examples)) // 16) * 16
    for i, example in enumerate(examples):
        length = len(example)
        mask = batch.mask[i]
        assert mask[:length].numpy().tolist() == example.complete.tolist()
        assert not mask[length:].any()
        ca = torch.from_numpy(example.coords[:, 1].copy())[mask[:length]]
        assert torch.allclose(batch.frames.translations[i][mask], ca - ca.mean(0), atol=1e-4)
        # Back in the residue's own frame, N, CA and C lie in one plane with C along the first axis.
        bond = torch.from_numpy(example.coords[:, 2] - example.coords[:, 1])[mask[:length]]
        local = torch.einsum("lji,lj->li", batch.frames.rotations[i][mask], bond)
        assert torch.allclose(local.abs().max(0).values[1:], torch.zeros(2), atol=1e-4)
        assert batch.sequence[i, :length].tolist() == example.sequence.tolist()
        assert batch.secondary[i, :length].tolist() == example.secondary.tolist()
        assert batch.residue_index[i, :length].tolist() == example.residue_index.tolist()
    out = ~batch.mask
    assert torch.equal(batch.frames.rotations[out], torch.eye(3).expand(int(out.sum()), 3, 3))
    assert (batch.frames.translations[out] == 0).all()
    past = torch.arange(batch.padded_length) >= torch.tensor([len(example) for example in examples])[:, None]
    assert (batch.sequence[past] == UNKNOWN).all()
    assert (batch.secondary[past] == 2).all()
    assert (batch.residue_index[past] == 0).all()
    eye = batch.frames.rotations @ batch.frames.rotations.transpose(-1, -2)
    assert torch.allclose(eye, torch.eye(3).expand_as(eye), atol=1e-5)
    assert torch.allclose(torch.linalg.det(batch.frames.rotations), torch.ones(batch.mask.shape), atol=1e-5)


def test_residues_with_missing_atoms_are_masked_not_nan(prepared):
    example = Dataset.open(prepared)[0]
    coords = example.coords.copy()
    coords[3, 0] = np.nan
    coords[7] = np.nan
    lacking = replace(example, coords=coords, complete=np.isfinite(coords[:, :3]).all(axis=(1, 2)))
    batch = collate([lacking])
    assert not batch.mask[0, [3, 7]].any()
    assert batch.mask.sum() == len(example) - 2
    assert torch.isfinite(batch.frames.rotations).all()
    assert torch.isfinite(batch.frames.translations).all()
    assert torch.allclose(batch.frames.translations[0].sum(0), torch.zeros(3), atol=1e-2)


def test_padding_to_a_given_length(prepared):
    example = Dataset.open(prepared)[0]
    assert collate([example], padded_length=200).padded_length == 200
    with pytest.raises(ValueError, match=f"{example.name}: {len(example)} residues do not fit a batch padded to 10"):
        collate([example], padded_length=10)


def test_batches_of_nothing(prepared):
    with pytest.raises(ValueError, match="at least one example"):
        collate([])
    example = Dataset.open(prepared)[0]
    empty = replace(example, complete=np.zeros(len(example), dtype=bool))
    with pytest.raises(ValueError, match=f"{example.name}: no residue has all of N, CA and C"):
        collate([empty])


def test_to_changes_the_floats_only(prepared):
    batch = collate([Dataset.open(prepared)[0]]).to("cpu", torch.float64)
    assert batch.frames.rotations.dtype == batch.frames.translations.dtype == torch.float64
    assert batch.sequence.dtype == torch.int64
    assert batch.mask.dtype == torch.bool


def drawn(sampler: EpochSampler, epoch: int) -> list[int]:
    return [int(i) for _, indices in sampler.plan(epoch) for i in indices.reshape(-1)]


def test_one_sample_of_every_cluster_per_epoch(families):
    sampler = EpochSampler(families, tokens=640)
    assert sampler.clusters == 120
    for epoch in range(3):
        clusters = [families.clusters[i] for i in drawn(sampler, epoch)]
        assert sorted(clusters) == sorted(set(families.clusters))


def test_every_member_gets_its_turn(families):
    sampler = EpochSampler(families, tokens=640)
    counts = np.bincount([i for epoch in range(200) for i in drawn(sampler, epoch)], minlength=len(families))
    sizes = {cluster: families.clusters.count(cluster) for cluster in families.clusters}
    expected = np.array([200 / sizes[cluster] for cluster in families.clusters])
    # Binomial counts: five standard deviations.
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected) + 1e-9).all()


@pytest.mark.parametrize("tokens", [1, 200, 640, 5000])
def test_token_budget(families, tokens):
    for size, indices in EpochSampler(families, tokens=tokens).plan(0):
        assert size % 16 == 0
        assert indices.shape[1] * size <= tokens or indices.shape[1] == 1
        lengths = families.lengths[indices]
        assert lengths.max() <= size < lengths.max() + 16


def test_lengths_are_kept_to(families):
    sampler = EpochSampler(families, tokens=640, min_length=50, max_length=100)
    lengths = families.lengths[drawn(sampler, 0)]
    assert lengths.min() >= 50
    assert lengths.max() <= 100
    inside = (families.lengths >= 50) & (families.lengths <= 100)
    assert sampler.clusters == len({families.clusters[i] for i in np.flatnonzero(inside)})


def test_padding_is_little(families):
    batches = list(EpochSampler(families, tokens=640).epoch(0))
    tokens = sum(batch.mask.numel() for batch in batches)
    used = sum(int(batch.mask.sum()) for batch in batches)
    assert 1 - used / tokens < 0.15


def test_the_same_seed_and_epoch_give_the_same_batches(families):
    one, two = EpochSampler(families, tokens=640, seed=5), EpochSampler(families, tokens=640, seed=5)
    list(two.epoch(0))  # what was drawn before does not matter
    assert all(equal(a, b) for a, b in zip(one.epoch(3), two.epoch(3), strict=True))
    other = EpochSampler(families, tokens=640, seed=6)
    assert drawn(one, 3) != drawn(other, 3)
    assert drawn(one, 3) != drawn(one, 4)


def test_lengths_come_in_random_order(families):
    sizes = [size for size, _ in EpochSampler(families, tokens=640).plan(0)]
    assert sizes != sorted(sizes)
    assert sizes != sorted(sizes, reverse=True)


@pytest.mark.parametrize("start", [0, 1, 7])
def test_resume_at_a_step_gives_the_rest_of_the_epoch(families, start):
    whole = list(EpochSampler(families, tokens=640, seed=1).epoch(2))
    rest = list(EpochSampler(families, tokens=640, seed=1).epoch(2, start))
    assert len(rest) == len(whole) - start
    assert all(equal(a, b) for a, b in zip(whole[start:], rest, strict=True))


def test_an_epoch_resumed_at_its_end_is_empty(families):
    sampler = EpochSampler(families, tokens=640)
    assert list(sampler.epoch(0, sampler.steps(0))) == []


@pytest.mark.parametrize("world", [2, 3, 8])
def test_ranks_share_every_step_evenly(families, world):
    ranks = [EpochSampler(families, tokens=640, rank=rank, world_size=world) for rank in range(world)]
    plans = [rank.plan(1) for rank in ranks]
    assert len({rank.steps(1) for rank in ranks}) == 1
    for step, (size, indices) in enumerate(plans[0]):
        assert indices.shape[0] == world
        assert all(np.array_equal(plan[step][1], indices) for plan in plans)
        assert indices.shape[1] * size <= 640 or indices.shape[1] == 1
    step = ranks[0].steps(1) // 2
    shapes = {tuple(rank.batch(1, step).mask.shape) for rank in ranks}
    assert len(shapes) == 1
    names = [name for rank in ranks for name in rank.batch(1, step).names]
    assert len(set(names)) == len(names)
    # What does not fill a last step evenly waits: less than one example per rank.
    assert 120 - len(drawn(ranks[0], 1)) < world
    clusters = [families.clusters[i] for i in drawn(ranks[0], 1)]
    assert len(set(clusters)) == len(clusters)


def test_two_ranks_see_what_one_with_twice_the_tokens_sees(families):
    one = EpochSampler(families, tokens=1280, seed=3)
    two = EpochSampler(families, tokens=640, seed=3, world_size=2)
    missing = set(drawn(one, 0)) - set(drawn(two, 0))
    assert len(missing) <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokens": 0}, "tokens must be at least 1, got 0"),
        ({"multiple": 0}, "multiple must be at least 1"),
        ({"world_size": 0}, "world_size must be at least 1"),
        ({"rank": 2, "world_size": 2}, "rank must be from 0 to 1, got 2"),
        ({"seed": -1}, "seed must not be negative"),
        ({"min_length": 1000}, "0 clusters have an entry of 1000 to 1000000 residues, 1 at least"),
        ({"world_size": 121}, "120 clusters have an entry of .* 121 at least"),
    ],
)
def test_settings_out_of_range(families, settings, message):
    with pytest.raises(ValueError, match=message):
        EpochSampler(families, **{"tokens": 640, **settings})
