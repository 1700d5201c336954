"""The jump's bound and the flow's density of orientations, against exact laws and brute force."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch

import protgm
from protgm.layout import Layout
from protgm.lie import so3, vmf
from protgm.matching import grids
from protgm.matching.likelihood import Hutchinson
from protgm.model import RotationPosterior
from protgm.process import ProteinProcess
from protgm.sample.generate import BackboneModel
from protgm.score import backbone_orientations
from protgm.score.bound import mixture_jump_divergence
from protgm.score.orientations import orientation_bound, orientation_log_likelihood
from protgm.structure.frames import Frames
from protgm.testing.proteins import ExactProteins, small_proteins

SHARES = torch.tensor([0.6, 0.4])


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact(count: int, length: int, batch: int, time: float, method: str = "jump"):
    """A data law of so many oriented proteins; a batch drawn from it, clean but for its positions, and the noise."""
    process = ProteinProcess()
    frames, sequences = small_proteins(length, 2)
    frames, shares = (
        Frames(frames.rotations[:count], frames.translations[:count]),
        SHARES[:count] / SHARES[:count].sum(),
    )
    law = ExactProteins(frames, sequences[:count], shares, process, True, method)
    chosen = torch.multinomial(shares, batch, replacement=True, generator=source(5))
    layout = replace(Layout.unconditional([length] * batch), oriented=torch.ones(batch, dtype=torch.bool))
    layout = replace(layout, frames=frames[chosen])
    times = torch.full(layout.mask.shape, time)
    noisy = process.noised(layout, times, process.noise(layout, source(1)), times, source(2))
    return law, layout, noisy


def truth(law: ExactProteins, noisy: Frames, time: float, *, orientations: bool) -> torch.Tensor:
    """Log density of the noisy frames, or of their positions alone, up to the same constant."""
    logs = []
    for share, rotations, places in zip(law.weights, law.frames.rotations, law.frames.translations, strict=True):
        sigma = (1 - time) * law.process.positions.scale
        log_p = torch.log(share) - 0.5 * ((noisy.translations - time * places) / sigma).square().sum((-1, -2))
        if orientations:
            log_p = log_p + law.process.rotations.log_density(noisy.rotations, rotations, torch.tensor(time)).sum(-1)
        logs.append(log_p)
    return torch.logsumexp(torch.stack(logs), 0)


def test_a_posterior_that_knows_costs_nothing():
    time = 0.8
    law, layout, noisy = exact(1, 5, 64, time)
    places = Frames(layout.frames.rotations, noisy.translations)
    times = grids.log_kappa(law.process.rotations.schedule, 12, time)
    found = orientation_bound(law, law.process, layout, places, times, draws=8, source=source(3))
    rotations = law.process.rotations.sample(
        layout.frames.rotations, torch.full(layout.mask.shape, time), generator=source(3)
    )
    exactly = truth(law, Frames(rotations, noisy.translations), time, orientations=True)
    exactly = exactly - truth(law, noisy, time, orientations=False)
    # The predicted kernel is a fifth of a degree wide: it tells where a landing is near the end of its law.
    assert abs(float((found - exactly).mean())) < 0.03
    assert float((found - exactly).abs().median()) < 0.03


@pytest.mark.slow
def test_the_bound_is_below_the_law_and_near_it():
    """Positions at t = .15 leave open which of two proteins it is."""
    time, batch = 0.15, 200
    law, layout, noisy = exact(2, 4, batch, time)
    places = Frames(layout.frames.rotations, noisy.translations)
    times = grids.log_kappa(law.process.rotations.schedule, 12, time)
    bound = orientation_bound(law, law.process, layout, places, times, draws=16, source=source(3))
    wanted = truth(law, noisy, time, orientations=True) - truth(law, noisy, time, orientations=False)
    error = float((bound.std() + wanted.std()) / math.sqrt(batch))
    assert wanted.mean() - 0.6 < bound.mean() < wanted.mean() + 3 * error

    def vague(protein):
        """As if positions said nothing."""
        return law(replace(protein, time=torch.zeros_like(protein.time)))

    worse = orientation_bound(vague, law.process, layout, places, times, draws=16, source=source(3))
    assert worse.mean() < bound.mean() + error


@pytest.mark.slow
def test_the_flow_has_the_density_of_the_law():
    time, batch = 0.7, 6
    law, layout, noisy = exact(1, 4, batch, time, "flow")
    found = torch.stack([
        orientation_log_likelihood(
            law, law.process, layout, noisy, grids.log_kappa(law.process.rotations.schedule, 40, time),
            divergence=Hutchinson(4, reverse=True), source=source(seed),
        )
        for seed in range(3)
    ])  # fmt: skip
    wanted = truth(law, noisy, time, orientations=True) - truth(law, noisy, time, orientations=False)
    assert ((found.mean(0) - wanted).abs() < 5 * found.std(0) / 3**0.5 + 0.2).all()


@pytest.mark.slow
@pytest.mark.parametrize("time", [0.2, 0.6, 0.9])
def test_the_divergence_of_a_mixture_is_that_of_brute_force(time):
    path, draws = ProteinProcess().rotations, 20_000
    z = so3.random_uniform((), generator=source(0)).double()
    t = torch.tensor([[time]], dtype=torch.float64)
    kappa = path.schedule.kappa(t)
    # A quarter beyond the angle at which jumps begin.
    angles = torch.linspace(0.01, torch.pi, 1_000, dtype=torch.float64)
    beyond = (1.25 * angles[vmf.density_rate(angles, kappa.squeeze()) < 0][0]).clamp(max=3.0)
    x = z @ so3.exp(torch.nn.functional.pad(beyond[None], (0, 2)))
    assert path.jump_rate(x, z, t) > 0
    near = z @ so3.exp(torch.tensor([0.1, 0.2, 0.0]).double() / torch.sqrt(1 + kappa.squeeze() / 8))
    posterior = RotationPosterior(
        torch.tensor([[[0.5, -0.5]]]).double(),
        torch.stack((near, z @ so3.exp(torch.tensor([0.0, 0.0, 1.0]).double())))[None, None],
        torch.stack((2 + 2 * kappa[0, 0], 5 + kappa[0, 0]))[None, None],
    )
    clean = posterior.draw(source(1), (draws,))
    rates = path.jump_rate(x, clean, t)
    found, wanted = [], []
    for seed in range(60):
        landed = path.sample_jump(x[None, None], z[None, None], t, generator=source(seed))
        intensity = (rates * path.destination_log_density(landed, clean, t).exp()).mean(0)
        own = path.jump_rate(x, z, t) * path.destination_log_density(landed, z, t).exp()
        wanted.append(rates.mean(0) - path.jump_rate(x, z, t) * (1 - torch.log(own / intensity)))
        found.append(
            mixture_jump_divergence(path, x[None, None], z[None, None], t, posterior, draws=1_000, source=source(seed))
        )
    # The same landing in both: the first draw of the stream.
    found, wanted = torch.cat(found).flatten(), torch.cat(wanted).flatten()
    assert wanted.isfinite().all()
    scale = float(path.jump_rate(x, z, t)) + float(rates.mean())
    assert ((found - wanted).abs() < 0.25 * scale).all()
    assert abs(float((found - wanted).mean())) < 0.04 * scale


@pytest.mark.slow
def test_a_backbone_is_scored_by_both(small_denoiser):
    small_model = BackboneModel(small_denoiser, ProteinProcess(), {}, "small", torch.device("cpu"))
    backbone = small_model.sample(length=24, num=1, settings=protgm.SamplerSettings(steps=3))[0]
    network = copy.deepcopy(small_denoiser).requires_grad_(False)
    for by in ("jump", "flow"):
        one = backbone_orientations(network, small_model.process, backbone, by=by, steps=2, until=0.8)
        assert math.isfinite(one.nats)
        assert one.residues == 24
    with pytest.raises(ValueError, match="must be jump or flow"):
        backbone_orientations(network, small_model.process, backbone, by="score")
    with pytest.raises(ValueError, match="between 0 and 1"):
        backbone_orientations(network, small_model.process, backbone, until=1)
