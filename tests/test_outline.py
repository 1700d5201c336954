"""Outlines: how training shows them, and how a sampler makes one and fills it in."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from protgm.data import Dataset, collate
from protgm.data.batches import Batch
from protgm.lie import so3
from protgm.lie.random import Streams
from protgm.model import NoisyProtein, Prediction, RotationPosterior
from protgm.outline import HEAD_START, STRIDE, outline_mask, thin
from protgm.process import ProteinProcess, centre
from protgm.sample.sampler import Task, sample_frames
from protgm.sample.settings import SamplerSettings
from protgm.train import TrainConfig
from protgm.train.corrupt import CorruptionConfig, corrupt
from protgm.train.trainer import Trainer


@pytest.fixture(scope="module")
def batch(example_dataset) -> Batch:
    return collate(sorted(Dataset.open(example_dataset), key=len)[:5])


def test_the_outlines_of_a_batch_have_every_residue_once(batch):
    thinned = thin(batch)
    assert len(thinned) == STRIDE * len(batch)
    assert thinned.padded_length * STRIDE == batch.padded_length
    for row in range(len(thinned)):
        protein, place = divmod(row, STRIDE)
        there = thinned.mask[row]
        for name in ("mask", "rotations", "sequence", "secondary", "residue_index", "chain_index"):
            torch.testing.assert_close(getattr(thinned, name)[row], getattr(batch, name)[protein, place::STRIDE])
        expected = batch.translations[protein, place::STRIDE][there]
        torch.testing.assert_close(thinned.translations[row][there], expected - expected.mean(0), atol=1e-4, rtol=0)
        assert thinned.names[row] == batch.names[protein]


def test_phases_share_out_a_chain(batch):
    parts = torch.stack([outline_mask(batch.mask, phase) for phase in range(STRIDE)])
    assert torch.equal(parts.sum(0), batch.mask.long())
    each = torch.arange(len(batch))[:, None] % STRIDE
    assert torch.equal(outline_mask(batch.mask, each)[3], outline_mask(batch.mask, 3)[3])


def test_an_outline_to_fill_in_runs_ahead_of_its_protein(batch):
    noised = corrupt(
        batch, ProteinProcess(), CorruptionConfig(motif=0.0, joint_time=0.0, fill=1.0), torch.Generator().manual_seed(1)
    )
    for times in (noised.protein.time, noised.rotation_time):
        for row, mask in zip(times, batch.mask, strict=True):
            base = row[mask].min()
            ahead = (row > base + 1e-6) & mask
            phase = int(ahead.nonzero()[0])
            assert torch.equal(ahead[None], outline_mask(mask[None], phase))
            begin = (row[ahead][0] - base) / (1 - base)  # lerp(begin, 1, base), undone
            assert 0.7 - 1e-4 <= begin <= 1
    # Every residue lies on the path at its own time.
    time = noised.protein.time[..., None]
    rest = (noised.protein.translations - time * noised.translations)[batch.mask] / (1 - time)[batch.mask]
    assert 8.5 < rest.std() < 11.5


def test_a_step_on_outlines_learns_and_counts_proteins(example_dataset, small_config, tmp_path):
    config = TrainConfig(
        data=str(example_dataset),
        out=str(tmp_path / "run"),
        steps=1,
        tokens=256,
        max_length=128,
        model=small_config,
        precision="fp32",
        corruption=CorruptionConfig(outline=1.0),
    )
    trainer = Trainer(config)
    batch = trainer.sampler.batch(0, 0)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    terms = trainer.step(batch, 1e-3)
    assert all(bool(torch.isfinite(value)) for value in terms.values())
    assert float(terms["peptide"]) == 0  # no two residues of an outline are bonded
    assert trainer.counters["samples"] == len(batch)
    assert any(not torch.equal(before[name], p) for name, p in trainer.model.named_parameters())


class Oracle:
    """Knows one protein, and says where the residues that it is shown are in it."""

    def __init__(self, rotations: torch.Tensor, translations: torch.Tensor) -> None:
        self.rotations, self.translations = rotations, translations
        self.seen: list[NoisyProtein] = []

    def __call__(self, protein: NoisyProtein, *_: object) -> Prediction:
        self.seen.append(protein)
        rotations, translations = self.rotations[protein.residue_index], self.translations[protein.residue_index]
        path = ProteinProcess().rotation_path
        time = path.schedule.inverse(protein.concentration)
        shape = protein.time.shape
        return Prediction(
            rotations=rotations,
            translations=translations,
            posterior=RotationPosterior(torch.zeros(*shape, 1), rotations[:, :, None], torch.full((*shape, 1), 1e5)),
            rotation_flow=path.velocity(protein.rotations, rotations, time) / path.velocity_scale(time)[..., None],
            sequence_logits=torch.zeros(*shape, 20),
            confidence=torch.ones(shape),
            intermediate=(),
        )


@pytest.mark.parametrize("generator", ["flow", "superposition"])
def test_the_outline_is_made_first_and_the_rest_around_it(generator):
    source = torch.Generator().manual_seed(0)
    rotations = so3.random_uniform((30,), generator=source)
    translations = torch.randn(30, 3, generator=source) * 9
    translations = centre(translations[None], torch.ones(1, 30, dtype=torch.bool))[0]
    oracle = Oracle(rotations, translations)
    settings = SamplerSettings(steps=40, outline_steps=30, generator=generator)
    sample_frames(oracle, ProteinProcess(), Task.unconditional([30, 30]), settings, Streams([1, 2], [30, 30]))
    first, second = oracle.seen[:30], oracle.seen[30:]
    assert len(second) == 40
    assert torch.equal(first[0].residue_index[0], torch.arange(1, 30, STRIDE))
    assert (first[0].time == 0).all()
    # The outline enters nearly clean and in its place, the others as noise.
    start, outline = second[0], torch.arange(30) % STRIDE == 1
    assert torch.equal(start.time[0], HEAD_START * outline)
    off = (start.translations[0] - HEAD_START * translations)[outline]
    assert off.std() < 2 * (1 - HEAD_START) * 10
    assert start.translations[0][~outline].std() > 6
    # Both end at the protein.
    assert (second[-1].translations - translations).norm(dim=-1).mean() < 0.6
    assert so3.angle(so3.relative(second[-1].rotations, rotations)).mean() < 0.3


def test_a_sample_by_outline_does_not_depend_on_its_batch(small_denoiser):
    settings = SamplerSettings(steps=3, outline_steps=3)

    def made(lengths: list[int], seeds: list[int]) -> Prediction:
        source = Streams(seeds, lengths)
        return sample_frames(small_denoiser, ProteinProcess(), Task.unconditional(lengths), settings, source)

    together, alone = made([37, 22], [5, 6]), made([22], [6])
    torch.testing.assert_close(together.translations[1, :22], alone.translations[0], atol=1e-2, rtol=0)
    torch.testing.assert_close(together.rotations[1, :22], alone.rotations[0], atol=1e-2, rtol=0)


def test_an_outline_of_one_step_is_refused():
    with pytest.raises(ValueError, match="outline_steps=1 must be 0"):
        replace(SamplerSettings(), outline_steps=1)
