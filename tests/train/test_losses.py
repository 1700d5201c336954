"""Loss terms: zero for a perfect prediction, finite and downhill otherwise, densities that integrate to one."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from protgm.data import Dataset, collate
from protgm.lie import so3
from protgm.model import Prediction, RotationPosterior
from protgm.process import ProteinProcess
from protgm.structure.frames import Frames
from protgm.train.corrupt import CorruptionConfig, Noised, corrupt
from protgm.train.losses import LossWeights, denoising_losses, total_loss


@pytest.fixture(scope="module")
def noised(example_dataset) -> Noised:
    batch = collate(sorted(Dataset.open(example_dataset), key=len)[:4])
    return corrupt(batch, ProteinProcess(), CorruptionConfig(breaks=0.5), torch.Generator().manual_seed(0))


def perfect(noised: Noised) -> Prediction:
    shape = noised.protein.time.shape
    return Prediction(
        frames=noised.frames,
        posterior=RotationPosterior(
            torch.zeros(*shape, 1), noised.frames.rotations[:, :, None], torch.full((*shape, 1), 1e4)
        ),
        sequence_logits=torch.nn.functional.one_hot(noised.sequence.clamp(max=19), 20) * 50.0,
        confidence=torch.ones(shape),
        intermediate=(noised.frames,),
    )


def test_a_perfect_prediction_costs_nothing(noised):
    terms = denoising_losses(perfect(noised), noised)
    assert set(terms) == {f.name for f in fields(LossWeights)}
    for name, value in terms.items():
        # The clash term also counts what natives have; the likelihood has no zero.
        if name not in ("posterior", "clash"):
            assert abs(float(value)) < 0.02, name
    assert terms["clash"] < 0.02


def wrong(good: Prediction, what: str) -> Prediction:
    generator = torch.Generator().manual_seed(0)
    frames = good.frames
    if what == "translations":
        shift = torch.randn(frames.translations.shape, generator=generator)
        return replace(good, frames=Frames(frames.rotations, frames.translations + shift))
    if what == "rotations":
        turn = so3.exp(0.5 * torch.randn(frames.translations.shape, generator=generator))
        return replace(good, frames=Frames(frames.rotations @ turn, frames.translations))
    if what == "posterior":
        turn = so3.exp(0.5 * torch.randn(frames.translations.shape, generator=generator))[:, :, None]
        return replace(good, posterior=replace(good.posterior, rotations=good.posterior.rotations @ turn))
    if what == "intermediate":
        return replace(good, intermediate=(wrong(good, "translations").frames,))
    return replace(good, **{what: getattr(good, what) * (-0.5 if what == "sequence_logits" else 0.5)})


@pytest.mark.parametrize(
    "what", ["translations", "rotations", "posterior", "intermediate", "sequence_logits", "confidence"]
)
def test_an_error_costs(noised, what):
    good = perfect(noised)
    bad = denoising_losses(wrong(good, what), noised)
    assert total_loss(bad, LossWeights()) > total_loss(denoising_losses(good, noised), LossWeights()) + 0.02


def test_padding_and_known_residues_cost_nothing(noised):
    good = perfect(noised)
    moved = good.frames.translations + 5.0 * (~noised.protein.mask)[..., None]
    terms = denoising_losses(replace(good, frames=Frames(good.frames.rotations, moved)), noised)
    for name in ("translation", "rotation", "stages"):
        assert terms[name] == 0
    # Absent residues, those of a gap among them, are nobody's chain neighbours either.
    unmoved = denoising_losses(good, noised)
    assert (noised.protein.mask[:, 1:] & ~noised.protein.mask[:, :-1]).any()
    for name in ("local", "peptide", "distances", "fold", "clash"):
        assert terms[name] == unmoved[name], name


def test_moving_both_proteins_changes_no_loss(noised, small_denoiser):
    turn = so3.random_uniform((1, 1), generator=torch.Generator().manual_seed(3))

    def place(frames: Frames) -> Frames:
        return frames.moved(turn, torch.zeros(3))

    protein = replace(noised.protein, frames=place(noised.protein.frames))
    moved = replace(noised, protein=protein, frames=place(noised.frames))
    with torch.no_grad():
        one = denoising_losses(small_denoiser(noised.protein), noised)
        two = denoising_losses(small_denoiser(moved.protein), moved)
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-3, rtol=2e-3)


def test_the_posterior_integrates_to_one():
    count = 200_000
    generator = torch.Generator().manual_seed(0)
    locations = so3.random_uniform((1, 1, 3), generator=generator)
    posterior = RotationPosterior(torch.tensor([[[0.3, -1.0, 0.5]]]), locations, torch.tensor([[[0.5, 8.0, 60.0]]]))
    x = so3.random_uniform((1, count), generator=generator)
    wide = RotationPosterior(
        posterior.logits.expand(1, count, 3),
        locations.expand(1, count, 3, 3, 3),
        posterior.concentration.expand(1, count, 3),
    )
    density = wide.log_density(x).exp()
    error = density.std() / count**0.5
    assert abs(density.mean() - 1) < 4 * error
    assert error < 0.02
