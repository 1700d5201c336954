"""Loss terms: zero for a perfect prediction, finite and downhill otherwise, densities that integrate to one."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from protgm.data import Dataset, collate
from protgm.lie import so3
from protgm.model import Prediction, RotationPosterior
from protgm.process import ProteinProcess
from protgm.train.corrupt import CorruptionConfig, Noised, corrupt
from protgm.train.losses import LossWeights, denoising_losses, posterior_log_density, total_loss


@pytest.fixture(scope="module")
def noised(example_dataset) -> Noised:
    batch = collate(sorted(Dataset.open(example_dataset), key=len)[:4])
    return corrupt(batch, ProteinProcess(), CorruptionConfig(breaks=0.5), torch.Generator().manual_seed(0))


def perfect(noised: Noised) -> Prediction:
    shape = noised.protein.time.shape
    return Prediction(
        rotations=noised.rotations,
        translations=noised.translations,
        posterior=RotationPosterior(torch.zeros(*shape, 1), noised.rotations[:, :, None], torch.full((*shape, 1), 1e4)),
        rotation_flow=noised.rotation_flow,
        sequence_logits=torch.nn.functional.one_hot(noised.sequence.clamp(max=19), 20) * 50.0,
        confidence=torch.ones(shape),
        intermediate=((noised.rotations, noised.translations),),
    )


def test_a_perfect_prediction_costs_nothing(noised):
    terms = denoising_losses(perfect(noised), noised)
    assert set(terms) == {f.name for f in fields(LossWeights)}
    for name, value in terms.items():
        # The clash term also counts what natives have; the likelihood has no zero.
        if name not in ("posterior", "clash"):
            assert abs(float(value)) < 0.02, name
    assert terms["clash"] < 0.02


@pytest.mark.parametrize("what", ["translations", "rotations", "rotation_flow", "sequence_logits", "confidence"])
def test_an_error_costs(noised, what):
    good = perfect(noised)
    value = getattr(good, what)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(value.shape if what != "rotations" else value.shape[:-1], generator=generator)
    if what == "rotations":
        wrong = value @ so3.exp(0.5 * noise)
    else:
        wrong = value * 0.5 if what in ("sequence_logits", "confidence") else value + noise
    wrong = -wrong if what == "sequence_logits" else wrong
    bad = denoising_losses(replace(good, **{what: wrong}), noised)
    assert total_loss(bad, LossWeights()) > total_loss(denoising_losses(good, noised), LossWeights()) + 0.02


def test_padding_and_known_residues_cost_nothing(noised):
    good = perfect(noised)
    moved = good.translations + 5.0 * (~noised.protein.mask)[..., None]
    terms = denoising_losses(replace(good, translations=moved), noised)
    for name in ("translation", "rotation", "stages"):
        assert terms[name] == 0
    # Absent residues, those of a gap among them, are nobody's chain neighbours either.
    unmoved = denoising_losses(good, noised)
    assert (noised.protein.mask[:, 1:] & ~noised.protein.mask[:, :-1]).any()
    for name in ("local", "peptide", "distances", "fold", "clash"):
        assert terms[name] == unmoved[name], name


def test_moving_both_proteins_changes_no_loss(noised, small_denoiser):
    turn = so3.random_uniform((1, 1), generator=torch.Generator().manual_seed(3))
    protein = noised.protein

    def place(rotations, translations):
        return turn @ rotations, (turn @ translations[..., None])[..., 0] * noised.protein.mask[..., None]

    rotations, translations = place(protein.rotations, protein.translations)
    clean = place(noised.rotations, noised.translations)
    moved = replace(
        noised,
        protein=replace(protein, rotations=rotations, translations=translations),
        rotations=clean[0],
        translations=clean[1],
    )
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
    density = posterior_log_density(wide, x).exp()
    error = density.std() / count**0.5
    assert abs(density.mean() - 1) < 4 * error
    assert error < 0.02
