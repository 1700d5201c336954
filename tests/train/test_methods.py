"""Training by method and by divergence: what is predicted, what it is trained towards, what may be sampled with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import protgm
from protgm.data import Dataset, collate
from protgm.lie import so3, vmf
from protgm.model import NoisyProtein, Prediction, RotationPosterior
from protgm.model.config import HEADS
from protgm.process import ProteinProcess
from protgm.sample.settings import SamplerSettings
from protgm.structure.frames import Frames
from protgm.testing.proteins import ExactProteins
from protgm.train import TrainConfig, train
from protgm.train.bregman import DivergenceConfig, position_error, posterior_error, token_error
from protgm.train.corrupt import CorruptionConfig, Noised, corrupt
from protgm.train.losses import denoising_losses
from protgm.train.optim import Schedule
from protgm.weights import load_model

_ABLE = {
    "flow": {"flow"},
    "score": {"score"},
    "diffusion": {"flow", "score", "diffusion"},
    "jump": {"flow", "jump", "superposition", "diffusion"},
    "superposition": {"flow", "jump", "superposition", "diffusion"},
}


def run_of(method: str, data: Path, small_config, out: Path, **changes) -> TrainConfig:
    config = TrainConfig(
        data=str(data),
        out=str(out),
        steps=3,
        method=method,
        tokens=256,
        model=small_config,
        precision="fp32",
        sample_lengths=(16,),
        sample_num=1,
        sample_steps=3,
        progress=False,
        schedule=Schedule(warmup_steps=1, decay_share=0.0),
    )
    return replace(config, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("method", HEADS)
def test_weights_know_their_method_and_sample_by_it_alone(method, example_dataset, small_config, tmp_path):
    train(run_of(method, example_dataset, small_config, tmp_path / "run"))
    denoiser, _, _ = load_model(tmp_path / "run")
    assert denoiser.config.method == method
    for head in ("velocity", "score", "posterior"):
        assert (getattr(denoiser, head) is not None) == (head in HEADS[method])
    model = protgm.load(tmp_path / "run")
    made = model.sample(length=40, num=1, refine=False)[0]
    assert made.coords.shape == (40, 4, 3)
    for generator in ("flow", "jump", "superposition", "diffusion", "score"):
        settings = SamplerSettings(steps=2, generator=generator)
        if generator in _ABLE[method]:
            settings.check(denoiser.config)
            assert len(model.sample(length=40, num=1, settings=settings, refine=False)) == 1
        else:
            with pytest.raises(ValueError, match=rf"generator={generator}: .*trained by method={method}"):
                model.sample(length=40, num=1, settings=settings)


def test_noise_beside_a_flow_needs_a_score():
    config = load_model()[0].config
    noisy = SamplerSettings(generator="flow", rotation_noise=0.5)
    noisy.check(config)
    with pytest.raises(ValueError, match=r"generator=flow with rotation_noise=0\.5: .*method=flow"):
        noisy.check(replace(config, method="flow"))


def test_a_run_does_not_go_on_by_another_method(example_dataset, small_config, tmp_path):
    train(run_of("jump", example_dataset, small_config, tmp_path / "run"))
    with pytest.raises(ValueError, match=r"trained with model\.method=jump, now model\.method=flow"):
        train(run_of("flow", example_dataset, small_config, tmp_path / "run"))


@pytest.fixture(scope="module")
def noised(example_dataset) -> Noised:
    batch = collate(sorted(Dataset.open(example_dataset), key=len)[:3])
    return corrupt(batch, ProteinProcess(), CorruptionConfig(motif=0.5), torch.Generator().manual_seed(0))


def test_targets_are_the_tangents_of_one_exact_protein():
    process, generator = ProteinProcess(), torch.Generator().manual_seed(3)
    rotations = so3.random_uniform((1, 9), generator=generator)
    clean = Frames(rotations, torch.zeros(1, 9, 3))
    time = torch.linspace(0.02, 0.97, 9)[None]
    noisy = Frames(process.rotations.sample(rotations, time, generator=generator), torch.zeros(1, 9, 3))
    tokens = torch.full((1, 9), 21)
    protein = NoisyProtein(
        frames=noisy,
        time=torch.zeros(1, 9),
        concentration=process.concentration(time),
        sequence=tokens,
        secondary=torch.full((1, 9), 3),
        residue_index=torch.arange(9)[None],
        chain_index=torch.zeros(1, 9, dtype=torch.long),
        mask=torch.ones(1, 9, dtype=torch.bool),
        hotspot=torch.zeros(1, 9, dtype=torch.bool),
    )
    target = Noised(protein, clean, tokens, time, protein.mask, process)
    exact = ExactProteins(clean, torch.zeros(1, 9, dtype=torch.long), torch.ones(1), process, True, "diffusion")
    found = exact(protein)
    assert torch.allclose(found.velocity, target.velocity(), atol=2e-4)
    assert torch.allclose(found.score, target.score(), atol=2e-4)


def test_tangents_that_are_right_cost_nothing_and_wrong_ones_train_their_heads(noised, small_denoiser):
    prediction = small_denoiser(noised.protein)
    right = replace(prediction, velocity=noised.velocity(), score=noised.score(), posterior=None)
    terms = denoising_losses(right, noised)
    assert float(terms["velocity"]) == float(terms["score"]) == float(terms["posterior"]) == 0
    terms = denoising_losses(replace(right, velocity=0 * right.velocity, score=0 * right.score), noised)
    assert float(terms["velocity"]) > 0.1
    assert float(terms["score"]) > 0.01


def test_position_divergences_are_squared_errors_for_slow_velocities_and_turn_with_space():
    generator = torch.Generator().manual_seed(1)
    noisy, a, b = torch.randn(3, 50, 3, generator=generator, dtype=torch.float64)
    clean, predicted, unit = noisy + 0.05 * a, noisy + 0.05 * b, torch.full((50,), 8.0, dtype=torch.float64)
    squared = ((clean - predicted) / 8).square().sum(-1)
    turn, shift = so3.random_uniform((), generator=generator).double(), torch.tensor([3.0, -40.0, 5.0])
    for kind in ("squared", "cosh", "hyperbola"):
        assert torch.allclose(position_error(kind, clean, predicted, noisy, unit), squared, rtol=2e-2, atol=1e-7)
        far = [noisy + 20 * (a - noisy) / 0.05 for a in (clean, predicted)]
        moved = [a @ turn.mT + shift for a in (*far, noisy)]
        here = position_error(kind, *far, noisy, unit)
        assert torch.allclose(position_error(kind, *moved, unit), here, rtol=1e-3)


@pytest.mark.parametrize("kind", ["kl", "squared"])
def test_posterior_divergences_are_least_at_the_law_itself(kind):
    generator = torch.Generator().manual_seed(2)
    count = 20_000
    where = so3.random_uniform((2,), generator=generator)
    logits, kappa = torch.log(torch.tensor([0.7, 0.3])), torch.tensor([20.0, 5.0])

    def mixture(logits: torch.Tensor, rotations: torch.Tensor, kappa: torch.Tensor) -> RotationPosterior:
        return RotationPosterior(
            logits.expand(1, count, 2), rotations.expand(1, count, 2, 3, 3), kappa.expand(1, count, 2)
        )

    chosen = (torch.rand(count, generator=generator) > 0.7).long()
    clean = where[chosen] @ so3.exp(vmf.sample(kappa[chosen], generator=generator))
    noise = torch.full((1, count), 4.0)

    def cost(*law: torch.Tensor) -> float:
        return float(posterior_error(kind, mixture(*law), clean[None], noise).mean())

    best = cost(logits, where, kappa)
    turned = where @ so3.exp(torch.tensor([0.2, 0.0, 0.1]))
    for other in (
        (logits, where, kappa * 2),
        (logits, where, kappa / 2),
        (logits, turned, kappa),
        (-logits, where, kappa),
    ):
        assert cost(*other) > best


@pytest.mark.parametrize("kind", ["kl", "squared"])
def test_token_divergences_are_least_at_the_law_itself(kind):
    law = torch.softmax(torch.randn(20, generator=torch.Generator().manual_seed(4)), 0)

    def cost(p: torch.Tensor) -> float:
        logits = torch.log(p).expand(1, 20, 20)
        return float((law * token_error(kind, logits, torch.arange(20)[None])[0]).sum())

    for share in (0.1, 0.5):
        assert cost(torch.lerp(law, torch.full((20,), 0.05), share)) > cost(law)


def test_an_unknown_divergence_is_one_line(example_dataset):
    with pytest.raises(ValueError, match=r"divergence\.positions='l1': must be one of squared, cosh, hyperbola"):
        DivergenceConfig(positions="l1")


@pytest.mark.parametrize("kind", [{"positions": "cosh"}, {"rotations": "squared"}, {"tokens": "squared"}])
def test_divergences_train(kind, noised, small_denoiser):
    def terms(divergence: DivergenceConfig | None) -> dict[str, torch.Tensor]:
        prediction: Prediction = small_denoiser(noised.protein)
        return denoising_losses(prediction, noised, divergence=divergence)

    (name,) = kind
    term = {"positions": "translation", "rotations": "posterior", "tokens": "sequence"}[name]
    usual, other = terms(None), terms(DivergenceConfig(**kind))
    assert all(torch.equal(usual[key], other[key]) for key in usual if key != term)
    other[term].backward()
    assert any(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in small_denoiser.parameters())
    small_denoiser.zero_grad()
