"""Noising follows the process: laws at the ends of time, known residues, labels, targets."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from protgm.data import Dataset, collate
from protgm.data.batches import Batch
from protgm.lie import so3, vmf
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE
from protgm.process import ProteinProcess
from protgm.structure.frames import centre, kabsch
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
    noise = (protein.frames.translations - time * noised.frames.translations) / (1 - time)
    # The noise is what is left: centred, of the prior's scale.
    assert centre(noise, batch.mask).sub(noise * batch.mask[..., None]).abs().max() < 0.02
    scale = noise[batch.mask].std()
    assert 8.5 < scale < 11.5
    assert protein.frames.translations[~batch.mask].abs().max() == 0


def test_noise_is_superposed_on_the_protein(batch):
    noised = draw(batch, motif=0.0)
    time = noised.protein.time[..., None]
    noise = (noised.protein.frames.translations - time * noised.frames.translations) / (1 - time)
    noise = noise * batch.mask[..., None]
    further = kabsch(noise, noised.frames.translations, batch.mask)
    torch.testing.assert_close(further, torch.eye(3).expand_as(further), atol=2e-3, rtol=0)


def test_kabsch_gives_the_proper_rotation_that_was_applied():
    points = torch.randn(4, 30, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(4, 30, dtype=torch.bool)
    turn = so3.random_uniform((4,), generator=torch.Generator().manual_seed(1))
    found = kabsch(points, torch.einsum("bij,blj->bli", turn, points), mask)
    torch.testing.assert_close(found, turn, atol=1e-4, rtol=0)
    # Even for a mirror image the answer is a rotation.
    assert torch.linalg.det(kabsch(points, -points, mask)).min() > 0.99


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
    torch.testing.assert_close(noised.protein.frames.rotations[known], batch.frames.rotations[known])
    torch.testing.assert_close(noised.protein.frames.translations[known], batch.frames.translations[known])


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
    assert noised.frames.translations.sum(1).abs().max() < 1e-2
    assert noised.frames.translations[~protein.mask].abs().max() == 0
    assert torch.equal(noised.moving, protein.mask)
    whole = draw(batch, breaks=0.0, motif=0.0)
    assert torch.equal(whole.protein.mask, batch.mask)
    assert torch.equal(whole.protein.chain_index, batch.chain_index)


def test_rotations_follow_the_paths_own_law(batch):
    """Their angle to the clean rotation, brought to a uniform number by the kernel's own law at each residue's time."""
    ranks = []
    for seed in range(10):
        noised = draw(batch, seed, motif=0.0)
        protein, moving = noised.protein, noised.moving
        torch.testing.assert_close(protein.concentration, ProteinProcess().concentration(noised.rotation_time))
        angles = so3.angle(so3.relative(protein.frames.rotations, noised.frames.rotations))[moving].double()
        kappa = protein.concentration[moving].double()
        ranks += [vmf.angle_cdf(a, k) for k in kappa.unique() for a in [angles[kappa == k]]]
    together = torch.cat(ranks)
    assert len(together) > 3_000
    assert kstest(together.numpy(), "uniform").statistic < 1.73 / len(together) ** 0.5  # 99.5 % of cases


def test_noise_lies_about_what_is_known_and_is_not_turned_then(batch):
    """Where a motif says how the protein lies, noise is drawn about it; it is neither centred nor superposed."""
    deviations = []
    for seed in range(20):
        noised = draw(batch, seed, motif=1.0, structure=0.0)
        protein, moving = noised.protein, noised.moving
        known = protein.mask & ~moving
        clean = noised.frames.translations
        middle = (clean * known[..., None]).sum(1, keepdim=True) / known.sum(1).view(-1, 1, 1)
        time = protein.time[..., None]
        noise = (protein.frames.translations - time * clean) / (1 - time) - middle
        sure = moving & known.any(1, keepdim=True) & (protein.time < 0.95)
        deviations.append(noise[sure].flatten())
    together = torch.cat(deviations).double() / ProteinProcess().positions.scale
    assert kstest(together.numpy(), "norm").statistic < 1.73 / len(together) ** 0.5


def test_the_same_generator_gives_the_same_noise(batch):
    one, two, other = draw(batch, seed=1), draw(batch, seed=1), draw(batch, seed=2)
    assert torch.equal(one.protein.frames.rotations, two.protein.frames.rotations)
    assert not torch.equal(one.protein.frames.rotations, other.protein.frames.rotations)
