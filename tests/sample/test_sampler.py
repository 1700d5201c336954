"""Simulation with an oracle that knows the answer, and what does not change a sample."""

from __future__ import annotations

import math

import pytest
import torch

from protgm.lie import so3
from protgm.lie.random import Streams
from protgm.model import NoisyProtein, Prediction, RotationPosterior
from protgm.process import ProteinProcess, centre
from protgm.sample.sampler import Task, sample_frames
from protgm.sample.settings import SamplerSettings
from protgm.sample.steps import guided, step_rotations, step_translations

GENERATORS = ("flow", "jump", "superposition", "diffusion")


class Oracle:
    """Believes in one clean protein whatever it sees: what a perfect network would say if the data were one protein."""

    def __init__(self, rotations: torch.Tensor, translations: torch.Tensor, process: ProteinProcess) -> None:
        self.rotations, self.translations, self.process = rotations, translations, process

    def __call__(self, protein: NoisyProtein, *_: object) -> Prediction:
        shape = protein.time.shape
        return Prediction(
            rotations=self.rotations,
            translations=self.translations,
            posterior=RotationPosterior(
                torch.zeros(*shape, 1), self.rotations[:, :, None], torch.full((*shape, 1), 1e5)
            ),
            rotation_flow=flow_target(protein.rotations, self.rotations, protein.concentration),
            sequence_logits=torch.zeros(*shape, 20),
            confidence=torch.ones(shape),
            intermediate=(),
        )


def flow_target(x: torch.Tensor, z: torch.Tensor, concentration: torch.Tensor) -> torch.Tensor:
    """The conditional velocity over its scale, through a time that gives this concentration."""
    path = ProteinProcess().rotation_path
    time = path.schedule.inverse(concentration)
    return path.velocity(x, z, time) / path.velocity_scale(time)[..., None]


def clean_frames(size: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(size, length, dtype=torch.bool)
    return (
        so3.random_uniform((size, length), generator=generator),
        centre(torch.randn(size, length, 3, generator=generator) * 9, mask),
    )


@pytest.mark.parametrize("generator", GENERATORS)
def test_with_a_known_answer_every_generator_ends_there(generator):
    process = ProteinProcess()
    rotations, translations = clean_frames(2, 40)
    seen: list[NoisyProtein] = []
    oracle = Oracle(rotations, translations, process)

    def watch(protein: NoisyProtein, *rest: object) -> Prediction:
        seen.append(protein)
        return oracle(protein, *rest)

    settings = SamplerSettings(steps=100, generator=generator)
    sample_frames(watch, process, Task.unconditional([40, 40]), settings, torch.Generator().manual_seed(2))
    last = seen[-1]
    kernel = 2 / math.sqrt(float(last.concentration.min()))
    angles = so3.angle(so3.relative(last.rotations, rotations))
    # At the last evaluation the rotations are about as far off as the path's own kernel is wide.
    assert angles.square().mean().sqrt() < 2.5 * kernel
    assert (last.translations - translations).norm(dim=-1).mean() < 0.02 * process.noise_scale * 3


@pytest.mark.parametrize(("generator", "flow_draws"), [*((name, 0) for name in GENERATORS), ("flow", 1)])
def test_rotations_keep_the_law_of_the_path(generator, flow_draws):
    """With the exact posterior of one clean rotation, x_t must follow the path's own angle law at every t."""
    from scipy.stats import kstest

    from protgm.lie import vmf

    process = ProteinProcess()
    size, steps = 8_000, 120
    rotations = torch.eye(3).expand(1, size, 3, 3)
    oracle = Oracle(rotations, torch.zeros(1, size, 3), process)
    settings = SamplerSettings(steps=steps, generator=generator, flow_draws=flow_draws, temperature=1.0)
    seen: dict[int, NoisyProtein] = {}

    def watch(protein: NoisyProtein, *rest: object) -> Prediction:
        seen[len(seen)] = protein
        return oracle(protein, *rest)

    sample_frames(watch, process, Task.unconditional([size]), settings, torch.Generator().manual_seed(3))
    for step in (30, 60, 90):
        protein = seen[step]
        kappa = protein.concentration[0, 0].double()
        angles = so3.angle(protein.rotations[0]).double()
        distance = kstest(angles.numpy(), lambda a, k=kappa: vmf.angle_cdf(torch.as_tensor(a), k).numpy()).statistic
        assert distance < 0.022, (step, distance)  # 8,000 draws of the exact law stay below 0.0193 in 99.5 % of cases


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_translations_keep_the_law_of_the_path(strength):
    """With a known clean position, x_t stays Gaussian about t z with deviation (1 - t) s0, whatever the noise."""
    from scipy.stats import kstest

    process, size = ProteinProcess(), 6_000
    clean = torch.zeros(1, size, 3) + torch.tensor([5.0, -3.0, 0.0])
    clean[:, ::2] *= -1  # centred, as every state is
    oracle = Oracle(torch.eye(3).expand(1, size, 3, 3), clean, process)
    settings = SamplerSettings(steps=40, generator="flow", translation_noise=strength, temperature=1.0)
    seen: list[NoisyProtein] = []

    def watch(protein: NoisyProtein, *_: object) -> Prediction:
        seen.append(protein)
        return oracle(protein)

    sample_frames(watch, process, Task.unconditional([size]), settings, torch.Generator().manual_seed(5))
    for step in (10, 25, 38):
        time = float(seen[step].time[0, 0])
        deviation = (seen[step].translations - time * clean) / ((1 - time) * process.noise_scale)
        assert kstest(deviation.double().flatten().numpy(), "norm").statistic < 0.0129  # 18,000 draws: 99.5 % of cases


def test_the_flow_without_noise_draws_no_random_numbers():
    process = ProteinProcess()
    rotations, translations = clean_frames(1, 12)
    prediction = Oracle(rotations, translations, process)(
        NoisyProtein(
            rotations=so3.random_uniform((1, 12), generator=torch.Generator().manual_seed(0)),
            translations=translations,
            time=torch.full((1, 12), 0.5),
            concentration=process.concentration(torch.full((1, 12), 0.5)),
            sequence=torch.zeros(1, 12, dtype=torch.long),
            secondary=torch.zeros(1, 12, dtype=torch.long),
            residue_index=torch.arange(12)[None],
            chain_index=torch.zeros(1, 12, dtype=torch.long),
            mask=torch.ones(1, 12, dtype=torch.bool),
            hotspot=torch.zeros_like(torch.ones(1, 12, dtype=torch.bool)),
        )
    )
    now, later = torch.full((1, 12), 0.5), torch.full((1, 12), 0.6)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    flow = SamplerSettings(generator="flow", flow_draws=0, translation_noise=0.0)
    step_rotations(process, rotations, prediction, now, later, flow, generator)
    step_translations(process, translations, prediction, now, later, torch.ones_like(now).bool(), flow, generator)
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("candidates", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(small_denoiser, candidates):
    process = ProteinProcess()
    settings = SamplerSettings(steps=8, candidates=candidates)

    def frames(lengths: list[int], seeds: list[int]) -> list[torch.Tensor]:
        prediction = sample_frames(
            small_denoiser, process, Task.unconditional(lengths), settings, Streams(seeds, lengths)
        )
        return [prediction.translations[i, :n] for i, n in enumerate(lengths)]

    together = frames([24, 17, 20], [1, 2, 3])
    alone = [frames([length], [seed])[0] for length, seed in zip([24, 17, 20], [1, 2, 3], strict=True)]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=0.01, rtol=0)


def test_the_candidate_of_highest_confidence_goes_on(small_denoiser):
    """Each row's is found among single runs that begin with the streams of each candidate."""
    process, lengths = ProteinProcess(), [24, 20]
    task = Task.unconditional(lengths)
    settings = SamplerSettings(steps=10, candidates=4, candidates_at=0.35, translation_noise=0.0)
    assert settings.fork() == 4
    calls: list[tuple[NoisyProtein, Prediction]] = []

    def watch(protein: NoisyProtein, *rest: object) -> Prediction:
        prediction = small_denoiser(protein, *rest)
        calls.append((protein, prediction))
        return prediction

    sample_frames(watch, process, task, settings, Streams([1, 2], lengths))
    assert len(calls) == 4 * 4 + 6
    starts = torch.stack([calls[4 * number][0].translations for number in range(4)])
    assert (torch.pdist(starts[:, 0].flatten(1)) > 1).all()
    decisive = [calls[4 * number + 3] for number in range(4)]
    trusted = torch.stack([(p.confidence * task.mask).sum(1) for _, p in decisive]).argmax(0)
    assert trusted.tolist() != [0, 0]
    for row, number in enumerate(trusted.tolist()):
        before, after = decisive[number][0], calls[16][0]
        moved = (after.translations - before.translations)[row].norm(dim=-1)
        others = [(after.translations - decisive[k][0].translations)[row].norm(dim=-1) for k in range(4) if k != number]
        assert moved.mean() < 0.6 * min(other.mean() for other in others)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"generator": "teleport"}, "must be one of flow, jump, superposition, diffusion"),
        ({"flow_draws": -1}, "flow_draws=-1 must be 0"),
        ({"temperature": -1.0}, "must not be negative"),
        ({"steps": 1}, "steps=1 must be at least 2"),
        ({"jump_weight": 1.2}, "between 0 and 1"),
        ({"noise_scale": 0.0}, "must be positive"),
        ({"candidates": 0}, "candidates=0 must be at least 1"),
        ({"candidates_at": 1.0}, r"candidates_at=1\.0 must lie between 0 and 1"),
    ],
)
def test_settings_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        SamplerSettings(**values)


def test_steps_shorten_towards_the_end():
    grid = SamplerSettings(steps=50, grid_power=2.0).grid()
    steps = torch.diff(grid, append=torch.ones(1))
    assert grid[0] == 0
    assert (torch.diff(steps) < 0).all()
    torch.testing.assert_close(SamplerSettings(steps=4).grid(), torch.tensor([0, 0.25, 0.5, 0.75]))


def test_guidance_goes_beyond_the_first_stage_while_it_is_early(small_denoiser):
    task = Task.unconditional([20])
    time = torch.full((1, 20), 0.3)
    time[0, :5] = 0.7
    protein = NoisyProtein(
        rotations=so3.random_uniform((1, 20), generator=torch.Generator().manual_seed(0)),
        translations=torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(1)) * 9,
        time=time,
        concentration=ProteinProcess().concentration(time),
        sequence=torch.full((1, 20), 21),
        secondary=task.secondary,
        residue_index=task.residue_index,
        chain_index=task.chain_index,
        mask=task.mask,
        hotspot=torch.zeros_like(task.mask),
    )
    with torch.no_grad():
        prediction = small_denoiser(protein)
    assert guided(prediction, time, SamplerSettings(guidance=1.0)) is prediction
    aim = guided(prediction, time, SamplerSettings(guidance=2.0, guidance_until=0.5)).translations
    first, last = prediction.intermediate[0][1], prediction.translations
    assert (first - last).norm(dim=-1).min() > 1e-3
    torch.testing.assert_close(aim[:, :5], last[:, :5])
    torch.testing.assert_close(aim[:, 5:], (2 * last - first)[:, 5:], atol=1e-4, rtol=1e-5)
    with pytest.raises(ValueError, match=r"guidance=0\.5 must be at least 1"):
        SamplerSettings(guidance=0.5)
