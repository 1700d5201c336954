"""Simulation with a network that knows the answer: where it ends, and the laws that it keeps on the way."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import ks_2samp, kstest

from protgm.layout import Layout
from protgm.lie import so3, vmf
from protgm.model import MASK_TOKEN, NoisyProtein, Prediction, RotationPosterior
from protgm.process import ProteinProcess, State, superposed
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import SamplerSettings
from protgm.sample.steps import take_step
from protgm.structure.frames import Frames, centre

GENERATORS = ("flow", "jump", "superposition", "diffusion")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Oracle:
    """Believes in one clean protein whatever it sees: what a perfect network would say if the data were one protein.

    With ``turned`` the protein lies as what is seen does: the mean over all its rotated copies, where noise is
    superposed on the data.
    """

    def __init__(self, clean: Frames, *, turned: bool = False) -> None:
        self.clean, self.turned = clean, turned
        self.sequence = torch.zeros(clean.shape, dtype=torch.long)
        self.seen: list[NoisyProtein] = []

    def __call__(self, protein: NoisyProtein, *_: object) -> Prediction:
        self.seen.append(protein)
        shape, clean = protein.time.shape, self.clean
        if self.turned:
            places = superposed(clean.translations, protein.frames.translations, protein.mask)
            clean = Frames(clean.rotations, places)
        return Prediction(
            frames=clean,
            posterior=RotationPosterior(
                torch.zeros(*shape, 1), clean.rotations[:, :, None], torch.full((*shape, 1), 1e5)
            ),
            sequence_logits=torch.nn.functional.one_hot(self.sequence, 20) * 50.0,
            confidence=torch.ones(shape),
            intermediate=(),
        )


def clean_frames(size: int, length: int) -> Frames:
    generator = seeded(1)
    rotations = so3.random_uniform((size, length), generator=generator)
    places = torch.randn(size, length, 3, generator=generator) * 9
    return Frames(rotations, centre(places, torch.ones(size, length, dtype=torch.bool)))


def random_walk(length: int) -> torch.Tensor:
    """CA atoms that lie as wide as a native's of this length, centred, shape (L, 3)."""
    places = torch.randn(length, 3, generator=seeded(0)).cumsum(0)
    places = places - places.mean(0)
    return places * (2.2 * length**0.38) / places.square().sum(-1).mean().sqrt()


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.slow
def test_with_a_known_answer_every_generator_ends_there(generator):
    process, clean = ProteinProcess(), clean_frames(2, 40)
    oracle = Oracle(clean)
    settings = SamplerSettings(steps=100, generator=generator)
    made = sample_frames(oracle, process, Layout.unconditional([40, 40]), settings, seeded(2))
    assert torch.equal(made.frames.translations, clean.translations)
    last = oracle.seen[-1]
    kernel = 2 / math.sqrt(float(last.concentration.min()))
    angles = so3.angle(so3.relative(last.frames.rotations, clean.rotations))
    # At the last evaluation the rotations are about as far off as the path's own kernel is wide.
    assert angles.square().mean().sqrt() < 2.5 * kernel
    shift = (last.frames.translations - clean.translations).norm(dim=-1)
    assert shift.mean() < 0.02 * process.positions.scale * 3


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.slow
def test_rotations_keep_the_law_of_the_path(generator):
    """With the exact posterior of one clean rotation, x_t must follow the path's own angle law at every t."""
    process, size = ProteinProcess(), 8_000
    oracle = Oracle(Frames.identity(1, size))
    settings = SamplerSettings(steps=120, generator=generator, temperature=1.0)
    sample_frames(oracle, process, Layout.unconditional([size]), settings, seeded(3))
    for step in (30, 60, 90):
        protein = oracle.seen[step]
        kappa = protein.concentration[0, 0].double()
        angles = so3.angle(protein.frames.rotations[0]).double()
        distance = kstest(angles.numpy(), lambda a, k=kappa: vmf.angle_cdf(torch.as_tensor(a), k).numpy()).statistic
        assert distance < 0.022, (step, distance)  # 8,000 draws of the exact law stay below 0.0193 in 99.5 % of cases


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("anchor", [0.0, 4.0])
@pytest.mark.slow
def test_translations_of_an_oriented_protein_keep_the_gaussian_law(strength, anchor):
    """x_t stays Gaussian about t z + (1 - t) anchor with deviation (1 - t) s0, whatever the noise."""
    process, size = ProteinProcess(), 6_000
    clean = torch.tensor([5.0, -3.0, 0.0]).expand(1, size, 3)
    layout = Layout.unconditional([size])
    layout = replace(layout, oriented=torch.tensor([True]), anchor=layout.anchor + anchor)
    oracle = Oracle(Frames(Frames.identity(1, size).rotations, clean))
    settings = SamplerSettings(steps=40, generator="flow", translation_noise=strength, temperature=1.0)
    sample_frames(oracle, process, layout, settings, seeded(5))
    for step in (0, 10, 25, 38):
        time = float(oracle.seen[step].time[0, 0])
        mean = time * clean + (1 - time) * anchor
        deviation = (oracle.seen[step].frames.translations - mean) / ((1 - time) * process.positions.scale)
        assert kstest(deviation.double().flatten().numpy(), "norm").statistic < 0.0129  # 18,000 draws: 99.5 % of cases


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.slow
def test_translations_of_a_free_protein_keep_the_law_of_the_turned_path(strength):
    """As training shows it: noise superposed on the protein. Sizes of x_t, and how well the protein lies in it."""
    process, length, count = ProteinProcess(), 24, 1_000
    clean = Frames(Frames.identity(count, length).rotations, random_walk(length).expand(count, length, 3))
    layout = Layout.unconditional([length] * count)
    oracle = Oracle(clean, turned=True)
    settings = SamplerSettings(steps=40, generator="flow", translation_noise=strength, temperature=1.0)
    sample_frames(oracle, process, layout, settings, seeded(3))

    def figures(places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert places.mean(1).abs().max() < 1e-3
        turned = superposed(clean.translations, places, layout.mask)
        return places.square().sum(-1).mean(-1).sqrt(), (turned * places).sum(-1).mean(-1)

    for step in (10, 20, 30):
        time = torch.full((count, length), step / 40)
        shown = process.noised(
            replace(layout, frames=clean), time, process.noise(layout, seeded(100 + step)), time, seeded(step)
        )
        seen = figures(oracle.seen[step].frames.translations)
        for name, mine, theirs in zip(("size", "overlap"), seen, figures(shown.translations), strict=True):
            distance = ks_2samp(mine.numpy(), theirs.numpy()).statistic
            assert distance < 1.73 * (2 / count) ** 0.5, (name, step, distance)  # 99.5 % of cases


def test_noise_that_is_not_turned_has_another_law():
    """The test above has the power to tell: a free protein's path and an oriented one's differ."""
    process, length, count = ProteinProcess(), 40, 2_000
    clean = Frames(Frames.identity(count, length).rotations, random_walk(length).expand(count, length, 3))
    free = replace(Layout.unconditional([length] * count), frames=clean)
    oriented = replace(free, oriented=torch.ones(count, dtype=torch.bool))
    time = torch.full((count, length), 0.5)
    noise = process.noise(free, seeded(0))
    sizes = [
        process.noised(layout, time, noise, time, seeded(0)).translations.square().sum(-1).mean(-1).sqrt().numpy()
        for layout in (free, oriented)
    ]
    assert ks_2samp(*sizes).statistic > 0.3


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.slow
def test_residue_types_keep_the_law_of_the_path(strength):
    """A share t of them is there at time t, whatever is masked again; those that are, are the right ones."""
    process, size = ProteinProcess(), 4_000
    oracle = Oracle(Frames.identity(1, size))
    oracle.sequence = torch.randint(20, (1, size), generator=seeded(7))
    settings = SamplerSettings(steps=100, generator="flow", cogenerate=True, sequence_noise=strength)
    made = sample_frames(oracle, process, Layout.unconditional([size]), settings, seeded(8))
    for step in (25, 50, 75):
        tokens = oracle.seen[step].sequence
        there = tokens != MASK_TOKEN
        share = step / 100
        assert abs(float(there.float().mean()) - share) < 2.8 * (share * (1 - share) / size) ** 0.5 + 0.004
        assert torch.equal(tokens[there], oracle.sequence[there])
    assert torch.equal(made.sequence, oracle.sequence)


def test_without_noise_translations_are_determined():
    """Neither the random numbers of a step nor the temperature matter to them; both do with noise."""
    process, layout = ProteinProcess(), Layout.unconditional([12])
    half = torch.full((1, 12), 0.5)
    state = State(clean_frames(1, 12), layout.sequence, half, half, half)
    prediction = Oracle(clean_frames(1, 12).map(lambda x: x.roll(1, 1)))(_shown(state, layout, process))

    def step(seed: int, **settings: float) -> torch.Tensor:
        chosen = SamplerSettings(generator="flow", **settings)
        return take_step(process, layout, state, prediction, half + 0.1, chosen, seeded(seed)).frames.translations

    plain = step(0, translation_noise=0.0)
    assert torch.equal(plain, step(1, translation_noise=0.0, temperature=0.1))
    assert (step(0, translation_noise=0.5) - step(1, translation_noise=0.5)).abs().max() > 0.1
    assert (step(0, translation_noise=0.5) - step(0, translation_noise=0.5, temperature=0.1)).abs().max() > 0.1


def _shown(state: State, layout: Layout, process: ProteinProcess) -> NoisyProtein:
    return NoisyProtein(
        frames=state.frames,
        time=state.time,
        concentration=process.concentration(state.rotation_time),
        sequence=state.sequence,
        secondary=layout.secondary,
        residue_index=layout.residue_index,
        chain_index=layout.chain_index,
        mask=layout.mask,
        hotspot=layout.hotspot,
    )


def partly_known() -> tuple[Layout, torch.Tensor]:
    """Two proteins of which a stretch, and everything but a stretch, is known, 80 Angstrom from the origin."""
    layout = Layout.unconditional([30, 22])
    known = torch.zeros(2, 30, dtype=torch.bool)
    known[0, 8:19] = True
    known[1, :7] = known[1, 12:22] = True
    frames = clean_frames(2, 30)
    frames = Frames(frames.rotations, frames.translations + 80.0)
    time = known.float()
    return replace(layout, frames=frames, time=time, oriented=torch.ones(2, dtype=torch.bool)).anchored(), known


def test_a_walk_about_known_residues_begins_about_them():
    """Noise lies about its anchor beside residues that are known from the start, as training shows it."""
    layout = Layout.unconditional([2_000])
    known = torch.arange(2_000)[None] < 5
    frames = Frames(layout.frames.rotations, layout.frames.translations + 80.0)
    layout = replace(layout, frames=frames, time=known.float(), oriented=torch.tensor([True])).anchored()
    begun = ProteinProcess().begin(layout, seeded(2)).frames.translations
    assert torch.equal(begun[known], frames.translations[known])
    assert (begun[~known].mean(0) - 80.0).abs().max() < 1.0  # 4 standard errors
    assert begun[~known].std() == pytest.approx(10.0, rel=0.05)


@pytest.mark.parametrize("generator", GENERATORS)
def test_known_residues_do_not_move_at_all(small_denoiser, generator):
    """To the bit, in every state and in the result, under every generator; and nothing is NaN."""
    layout, known = partly_known()
    seen: list[Frames] = []
    made = sample_frames(
        small_denoiser,
        ProteinProcess(),
        layout,
        SamplerSettings(steps=12, generator=generator, rotation_noise=0.5, cogenerate=True, sequence_noise=0.5),
        seeded(4),
        on_step=lambda number, state, prediction: seen.extend((state.frames, prediction.frames)),
    )
    assert len(seen) == 24
    for frames in (*seen, made.frames):
        assert frames.rotations.isfinite().all()
        assert frames.translations.isfinite().all()
    for frames in (*seen[::2], made.frames):
        assert torch.equal(frames.rotations[known], layout.frames.rotations[known])
        assert torch.equal(frames.translations[known], layout.frames.translations[known])
    moving = layout.mask & ~known
    shift = (seen[-2].translations - seen[0].translations)[moving].norm(dim=-1)
    assert shift.min() > 0.1


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.slow
def test_residues_that_start_on_the_way_wait_for_the_others(generator):
    """They stay where they are until the time comes that they are at, and keep the law of the path from there on."""
    process, size = ProteinProcess(), 6_000
    clean = Frames(Frames.identity(1, size).rotations, torch.tensor([5.0, -3.0, 0.0]).expand(1, size, 3))
    layout = Layout.unconditional([size])
    time = torch.zeros(1, size)
    time[:, ::2] = 0.6
    layout = replace(layout, frames=clean, time=time, oriented=torch.tensor([True]))
    oracle = Oracle(clean)
    settings = SamplerSettings(steps=40, generator=generator, temperature=1.0)
    sample_frames(oracle, process, layout, settings, seeded(6))
    first, waited, moved = oracle.seen[0], oracle.seen[24], oracle.seen[30]
    assert torch.equal(first.frames.translations[:, ::2], waited.frames.translations[:, ::2])
    assert torch.equal(first.frames.rotations[:, ::2], waited.frames.rotations[:, ::2])
    assert (moved.time == moved.time[0, 0]).all()
    for some in (slice(0, None, 2), slice(1, None, 2)):
        mean = moved.time[0, 0] * clean.translations[:, some]
        deviation = (moved.frames.translations[:, some] - mean) / (0.25 * process.positions.scale)
        # 9,000 draws: 99.5 % of cases
        assert kstest(deviation.double().flatten().numpy(), "norm").statistic < 0.0182
