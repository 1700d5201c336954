"""Noising follows the process: laws at the ends of time, known residues, labels, targets."""

from __future__ import annotations

import pytest
import torch

from protgm.data import Dataset, collate
from protgm.data.batches import Batch
from protgm.lie import so3
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE
from protgm.process import ProteinProcess, align, centre
from protgm.train.corrupt import CorruptionConfig, corrupt


@pytest.fixture(scope="module")
def batch(example_dataset) -> Batch:
    return collate(sorted(Dataset.open(example_dataset), key=len)[:6])


def draw(batch: Batch, seed: int = 0, **config: float):
    generator = torch.Generator().manual_seed(seed)
    return corrupt(batch, ProteinProcess(), CorruptionConfig(**{"breaks": 0.0, **config}), generator)


def test_points_lie_on_the_path(batch):
    noised = draw(batch, motif=0.0)
    protein = noised.protein
    time = protein.time[..., None]
    noise = (protein.translations - time * noised.translations) / (1 - time)
    # The noise is what is left: centred, of the prior's scale.
    assert centre(noise, batch.mask).sub(noise * batch.mask[..., None]).abs().max() < 0.02
    scale = noise[batch.mask].std()
    assert 8.5 < scale < 11.5
    assert protein.translations[~batch.mask].abs().max() == 0


def test_noise_is_superposed_on_the_protein(batch):
    noised = draw(batch, motif=0.0)
    time = noised.protein.time[..., None]
    noise = (noised.protein.translations - time * noised.translations) / (1 - time) * batch.mask[..., None]
    further = align(noise, noised.translations, batch.mask)
    torch.testing.assert_close(further, torch.eye(3).expand_as(further), atol=2e-3, rtol=0)


def test_kabsch_gives_the_proper_rotation_that_was_applied():
    points = torch.randn(4, 30, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(4, 30, dtype=torch.bool)
    turn = so3.random_uniform((4,), generator=torch.Generator().manual_seed(1))
    found = align(points, torch.einsum("bij,blj->bli", turn, points), mask)
    torch.testing.assert_close(found, turn, atol=1e-4, rtol=0)
    # Even for a mirror image the answer is a rotation.
    assert torch.linalg.det(align(points, -points, mask)).min() > 0.99


def test_times_are_joint_or_independent_as_asked(batch):
    for share in (0.0, 1.0):
        noised = draw(batch, joint_time=share, motif=0.0)
        same = (noised.protein.time == noised.rotation_time).all(1)
        assert bool(same.all()) == bool(share)
        assert (noised.protein.time == noised.protein.time[:, :1]).all()


def test_known_residues_are_clean_and_marked(batch):
    noised = draw(batch, motif=1.0)
    known = (noised.protein.time == 1) & batch.mask
    assert 0.02 < known.float().mean() < 0.6
    assert torch.equal(noised.moving, batch.mask & ~known)
    torch.testing.assert_close(noised.protein.rotations[known], batch.rotations[known])
    torch.testing.assert_close(noised.protein.translations[known], batch.translations[known])


def test_labels_and_sequence_are_shown_as_often_as_asked(batch):
    hidden = draw(batch, secondary_structure=0.0, sequence=0.0).protein
    assert (hidden.secondary == UNKNOWN_STRUCTURE).all()
    assert (hidden.sequence == MASK_TOKEN).all()
    shown = draw(batch, secondary_structure=1.0, sequence=1.0).protein
    given = shown.secondary != UNKNOWN_STRUCTURE
    assert torch.equal(shown.secondary[given], batch.secondary[given])
    assert given[batch.mask].float().mean() > 0.4
    given = shown.sequence != MASK_TOKEN
    assert torch.equal(shown.sequence[given], batch.sequence[given])
    assert 0.1 < given[batch.mask].float().mean() < 0.9


def test_gaps_are_absent_and_part_one_chain_or_two(batch):
    noised = draw(batch, breaks=1.0, motif=0.0)
    protein, chains = noised.protein, set()
    for i, (before, after) in enumerate(zip(batch.mask, protein.mask, strict=True)):
        gone = (before & ~after).nonzero().flatten()
        length = int(before.sum())
        # One stretch inside the protein, with residues on both sides of it.
        assert 3 <= len(gone) <= 4 + length // 10
        assert gone.diff().eq(1).all()
        assert gone[0] >= length // 5
        assert gone[-1] < length - 3
        first, last = protein.chain_index[i, 0], protein.chain_index[i, length - 1]
        chains.add(bool(first == last))
        assert (protein.chain_index[i, : gone[0]] == first).all()
        assert (protein.chain_index[i, gone[-1] + 1 : length] == last).all()
    assert chains == {True, False}
    assert torch.equal(protein.residue_index, batch.residue_index)
    assert noised.translations.sum(1).abs().max() < 1e-2
    assert noised.translations[~protein.mask].abs().max() == 0
    assert torch.equal(noised.moving, protein.mask)
    whole = draw(batch, breaks=0.0, motif=0.0)
    assert torch.equal(whole.protein.mask, batch.mask)
    assert torch.equal(whole.protein.chain_index, batch.chain_index)


def test_the_flow_target_points_to_the_clean_rotation(batch):
    narrow = 0
    for seed in range(10):
        noised = draw(batch, seed, motif=0.0)
        toward = so3.log(so3.relative(noised.protein.rotations, noised.rotations))
        late = (noised.protein.concentration > 200) & batch.mask
        # For a narrow kernel the velocity over its scale is the logarithm itself.
        torch.testing.assert_close(noised.rotation_flow[late], toward[late], atol=0.02, rtol=0.02)
        assert torch.isfinite(noised.rotation_flow).all()
        narrow += int(late.sum())
    assert narrow > 100


def test_the_same_generator_gives_the_same_noise(batch):
    one, two, other = draw(batch, seed=1), draw(batch, seed=1), draw(batch, seed=2)
    assert torch.equal(one.protein.rotations, two.protein.rotations)
    assert not torch.equal(one.protein.rotations, other.protein.rotations)
