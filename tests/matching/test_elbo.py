"""Bounds on likelihoods: tight where theory says so, never above the truth, and equal to brute-force quadrature."""

from __future__ import annotations

import math

import pytest
import torch

from protgm.lie import angle_law, so3
from protgm.matching import grids
from protgm.matching.ctmc import MaskingPath, UniformPath, draw_tokens
from protgm.matching.elbo import jump_divergence, jump_elbo, token_elbo
from protgm.matching.euclidean import GaussianPath
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.predictions import FiniteData
from protgm.matching.so3_heat import HeatKernelPath
from protgm.matching.so3_paths import AntipodalVMFPath

SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
LINE = torch.tensor([[-2.0], [0.5], [2.0]], dtype=torch.float64)
TURNS = so3.exp(torch.tensor([[0.0, 0.0, 0.0], [1.6, 0.0, 0.0], [0.0, 2.0, 1.0]], dtype=torch.float64))


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact_logits(path, shares):
    """The posterior of a single token, as a network of (x, kappa) would give it."""

    def network(x, kappa):
        predict = FiniteData(path, torch.arange(len(shares)), shares)
        return predict.posterior(x, kappa.expand(x.shape)).movedim(0, -1).clamp_min(1e-30).log()

    return network


@pytest.mark.parametrize("path", [MaskingPath(3), UniformPath(3)], ids=["masking", "uniform"])
def test_token_bound_of_the_exact_posterior(path):
    """One token: tight on the masking path; below the truth, by a gap that no network closes, on the uniform one."""
    z = draw_tokens(SHARES.expand(6_000, 3), generator=source())[:, None]
    bound = token_elbo(path, exact_logits(path, SHARES), z, draws=32, generator=source(1)).value
    found = torch.stack([bound[z[:, 0] == k].mean() for k in range(3)])
    error = float(bound.std()) / math.sqrt(len(z) * float(SHARES.min()))
    if isinstance(path, MaskingPath):
        assert (found - SHARES.log()).abs().max() < 4 * error
    else:
        assert (found < SHARES.log() + 4 * error).all()
        assert float((found * SHARES).sum()) > float((SHARES * SHARES.log()).sum()) - 0.5
        wrong = token_elbo(path, lambda x, k: torch.zeros(*x.shape, 3), z, draws=32, generator=source(1)).value
        assert wrong.mean() < bound.mean()


@pytest.mark.parametrize("path", [MaskingPath(3), UniformPath(3)], ids=["masking", "uniform"])
def test_the_stated_error_is_the_spread_of_repeated_estimates(path):
    """The mean square of the stated errors against the variance over 400 estimates, which scatters by 7 %."""
    z = torch.tensor([[0, 2, 1, 0]])
    found, stated = token_elbo(path, exact_logits(path, SHARES), z.expand(400, 4), draws=8, generator=source(6))
    assert float(stated.square().mean().sqrt()) == pytest.approx(float(found.std()), rel=0.25)
    with pytest.raises(ValueError, match="even number"):
        token_elbo(path, exact_logits(path, SHARES), z, draws=7)


PATHS = [
    (GaussianPath(), LINE, grids.log_remaining(60, 0, 0.9)),
    (AntipodalVMFPath(QuadraticKappa()), TURNS, grids.log_kappa(QuadraticKappa(), 60, 0.9)),
    (HeatKernelPath(), TURNS, grids.uniform(30, 0, 0.6)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "points", "times"), PATHS, ids=["line", "vmf", "heat"])
def test_jump_bound_is_below_the_truth_and_best_for_the_exact_posterior(path, points, times):
    predict, count = FiniteData(path, points, SHARES), 800
    index = draw_tokens(SHARES.expand(count, 3), generator=source(1))
    end = times[-1]
    x = path.sample(points[index], end, generator=source(2))
    log_p = torch.stack([path.log_density(x, z, end) for z in points])
    truth = torch.logsumexp(log_p + SHARES.log()[:, None], 0).mean()
    bound = jump_elbo(path, predict.posterior, points, index, times, source=source(2))
    error = float(bound.std()) / math.sqrt(count)
    assert bound.isfinite().all()
    assert bound.mean() < truth + 3 * error
    assert bound.mean() > truth - 0.6

    def vague(x, t):
        return 0.7 * predict.posterior(x, t) + 0.3 * SHARES.reshape(3, *(1,) * (x.dim() - path.space.event_dim))

    assert jump_elbo(path, vague, points, index, times, source=source(2)).mean() < bound.mean() - 2 * error


@pytest.mark.parametrize(("path", "points", "times"), PATHS, ids=["line", "vmf", "heat"])
def test_a_posterior_that_knows_costs_nothing(path, points, times):
    index = torch.tensor([0, 1, 2]).repeat(20)
    known = torch.nn.functional.one_hot(index, 3).T.double()
    z, end = points[index], times[-1]
    x = path.sample(z, end, generator=source(3))
    bound = jump_elbo(path, lambda x, t: known, points, index, times, source=source(3))
    assert torch.allclose(bound, path.log_density(x, z, end), atol=1e-6)


def test_divergence_on_the_line_is_that_of_quadrature():
    path, t = GaussianPath(), torch.tensor(0.4, dtype=torch.float64)
    x, weights = torch.tensor([-1.7], dtype=torch.float64), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    assert path.jump_rate(x, LINE[1], t) > 0
    y = torch.linspace(-8, 8, 80_001, dtype=torch.float64)[:, None]
    measures = torch.stack([path.jump_rate(x, z, t) * path.destination_log_density(y, z, t).exp()[:, 0] for z in LINE])
    own, everyone = measures[1], (weights[:, None] * measures).sum(0)
    term = torch.where(own > 0, own * (own / everyone.clamp_min(1e-300)).clamp_min(1e-300).log(), 0.0)
    exact = torch.trapezoid(term - own + everyone, y[:, 0])
    n = 40_000
    found = jump_divergence(
        path, x.expand(n, 1), t, LINE, weights[:, None].expand(3, n), torch.ones(n).long(), source=source(4)
    )
    assert abs(float(found.mean() - exact)) < 4 * float(found.std()) / math.sqrt(n)


@pytest.mark.parametrize("name", ["line", "vmf", "heat"])
def test_destination_densities_integrate_to_one_and_are_those_of_the_draws(name):
    if name == "line":
        path, t = GaussianPath(), torch.tensor(0.4, dtype=torch.float64)
        y = torch.linspace(-8, 8, 80_001, dtype=torch.float64)[:, None]
        density = path.destination_log_density(y, LINE[2], t).exp()[:, 0]
        landed = path.sample_jump(y, LINE[2].expand_as(y), t, generator=source(5))[:, 0]
        y = y[:, 0]
    else:
        path = AntipodalVMFPath(QuadraticKappa()) if name == "vmf" else HeatKernelPath()
        t = torch.tensor(0.4, dtype=torch.float64)
        y = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
        turned = so3.exp(torch.nn.functional.pad(y[:, None], (0, 2)))
        haar = 2 / math.pi * torch.sin(y / 2).square()
        density = path.destination_log_density(turned, torch.eye(3).double().expand_as(turned), t).exp() * haar
        landed = so3.angle(path.sample_jump(turned, torch.eye(3).double().expand_as(turned), t, generator=source(5)))
    assert float(torch.trapezoid(density, y)) == pytest.approx(1, abs=1e-3)
    assert float(torch.trapezoid(density * y, y)) == pytest.approx(float(landed.mean()), abs=0.02)


def test_mass_is_the_integral_of_any_density():
    top = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = angle_law.mass(lambda w, k: k * w, torch.tensor([2.0, 3.0], dtype=torch.float64), top)
    assert torch.allclose(found, torch.tensor([1.0, 6.0], dtype=torch.float64))
