"""Bregman divergences, conditional against marginal gradients, conversions that round-trip."""

from __future__ import annotations

import itertools

import pytest
import torch

from protgm.lie import so3
from protgm.matching.bregman import Convex, Cosh, GeneralisedKL, Hyperbola, Logistic, RadialCosh, SquaredError
from protgm.matching.ctmc import MaskingPath, UniformPath
from protgm.matching.euclidean import GaussianPath
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.losses import conditional_target, convert, generator_matching_loss, token_rate_loss
from protgm.matching.predictions import FiniteData
from protgm.matching.schedules import CondOT, Cosine, Polynomial, VarianceExploding, VariancePreserving
from protgm.matching.so3_paths import AntipodalVMFPath

SCHEDULES = [CondOT(), Polynomial(2.0), Cosine(), VariancePreserving(), VarianceExploding()]
KINDS = ("velocity", "score", "noise", "clean")
DIVERGENCES = [
    SquaredError(),
    GeneralisedKL(),
    Cosh(0.7),
    RadialCosh(0.7),
    Hyperbola(0.7),
    Logistic(),
    Convex(lambda x: (x**4).sum(-1)),
]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(("given", "wanted"), list(itertools.permutations(KINDS, 2)))
def test_conversions_round_trip(schedule, given, wanted):
    path = GaussianPath(schedule, scale=1.5)
    x, z = torch.randn(2, 200, 3, generator=source(), dtype=torch.float64)
    t = 0.05 + 0.9 * torch.rand(200, generator=source(1), dtype=torch.float64)
    target = conditional_target(path, x, z, t, given)
    there = convert(path, target, x, t, given, wanted)
    assert torch.allclose(there, conditional_target(path, x, z, t, wanted), rtol=1e-6, atol=1e-6)
    assert torch.allclose(convert(path, there, x, t, wanted, given), target, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_schedules_have_the_derivatives_they_state(schedule):
    t = torch.linspace(0.02, 0.97, 50, dtype=torch.float64, requires_grad=True)
    for value, derivative in ((schedule.alpha, schedule.alpha_derivative), (schedule.sigma, schedule.sigma_derivative)):
        (slope,) = torch.autograd.grad((value(t) + 0 * t).sum(), t)
        assert torch.allclose(derivative(t), slope, rtol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_gaussian_densities_agree_with_autograd(schedule):
    path = GaussianPath(schedule, scale=0.8)
    x, z = torch.randn(2, 50, 2, generator=source(2), dtype=torch.float64)
    x.requires_grad_()
    t = (0.1 + 0.8 * torch.rand(50, generator=source(3), dtype=torch.float64)).requires_grad_()
    by_x, by_t = torch.autograd.grad(path.log_density(x, z, t).sum(), (x, t))
    assert torch.allclose(path.score(x, z, t), by_x, rtol=1e-6)
    assert torch.allclose(path.log_density_derivative(x, z, t).sum(-1), by_t, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda d: type(d).__name__)
def test_divergences_are_those_of_their_potential(divergence):
    potentials = {
        SquaredError: lambda x: x.square().sum(-1),
        GeneralisedKL: lambda x: (torch.xlogy(x, x) - x).sum(-1),
        Cosh: lambda x: torch.cosh(x / 0.7).sum(-1),
        RadialCosh: lambda x: 2 * 0.49 * torch.cosh(x.norm(dim=-1) / 0.7),
        Hyperbola: lambda x: 2 * 0.49 * torch.sqrt(1 + x.square().sum(-1) / 0.49),
        Logistic: lambda x: (torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).sum(-1),
        Convex: lambda x: (x**4).sum(-1),
    }
    a, b = 0.05 + 0.9 * torch.rand(2, 30, 4, generator=source(4), dtype=torch.float64)
    b.requires_grad_()
    slow = Convex(potentials[type(divergence)])
    assert torch.allclose(divergence(a, b), slow(a, b))
    assert (divergence(a, b) >= 0).all()
    assert torch.allclose(divergence(a, a), torch.zeros(30, dtype=torch.float64), atol=1e-12)
    (fast_gradient,) = torch.autograd.grad(divergence(a, b).sum(), b)
    (slow_gradient,) = torch.autograd.grad(slow(a, b).sum(), b)
    assert torch.allclose(fast_gradient, slow_gradient)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda d: type(d).__name__)
def test_conditional_and_marginal_losses_have_one_gradient(divergence):
    """Holderrieth et al. 2024, proposition 2, with the posterior mean taken exactly over three data points."""
    points = torch.tensor([[0.2, 0.5], [0.8, 0.3], [0.5, 0.9]], dtype=torch.float64)
    path, shares = GaussianPath(), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    t = torch.full((300,), 0.5, dtype=torch.float64)
    x = path.sample(points[torch.arange(300) % 3], t, generator=source(5))
    posterior = FiniteData(path, points, shares).posterior(x, t)
    theta = torch.randn(2, 2, generator=source(6), dtype=torch.float64, requires_grad=True)
    prediction = torch.sigmoid(x @ theta)  # clean data inside (0, 1), where every potential lives
    conditional = sum((posterior[k] * divergence(points[k].expand_as(x), prediction)).sum() for k in range(3))
    marginal = divergence((posterior[..., None] * points[:, None]).sum(0), prediction).sum()
    gradients = [torch.autograd.grad(loss, theta, retain_graph=True)[0] for loss in (conditional, marginal)]
    assert torch.allclose(*gradients, rtol=1e-9)


def test_a_divergence_that_is_not_bregman_has_another_gradient():
    points, share = torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([0.7, 0.3], dtype=torch.float64)
    b = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)
    conditional = (share * (points - b).abs().sum(-1)).sum()
    marginal = ((share[:, None] * points).sum(0) - b).abs().sum()
    assert not torch.allclose(torch.autograd.grad(conditional, b)[0], torch.autograd.grad(marginal, b)[0])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_conversions_round_trip_in_single_precision(schedule):
    """Where both predictions determine each other well: to 1e-5 of the largest value."""
    path = GaussianPath(schedule)
    x, z = torch.randn(2, 500, 3, generator=source())
    t = 0.3 + 0.4 * torch.rand(500, generator=source(1))
    for given, wanted in itertools.permutations(KINDS, 2):
        target = conditional_target(path, x, z, t, given)
        back = convert(path, convert(path, target, x, t, given, wanted), x, t, wanted, given)
        assert (back - target).abs().max() < 1e-5 * (1 + target.abs().max()), (given, wanted)


def tokens_and_posterior(path):
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    x = torch.arange(path.space.states).repeat(3)
    t = torch.full((len(x),), 0.4, dtype=torch.float64)
    return x, t, FiniteData(path, torch.arange(3), shares).posterior(x, t[0])


@pytest.mark.parametrize("divergence", [GeneralisedKL(), SquaredError(), Cosh(2.0)], ids=lambda d: type(d).__name__)
@pytest.mark.parametrize("path", [MaskingPath(3), UniformPath(3)], ids=["masking", "uniform"])
def test_rates_have_one_gradient_whichever_loss(path, divergence):
    """Conditional against marginal loss of a rate matrix, the sum over z weighted by the posterior."""
    x, t, posterior = tokens_and_posterior(path)
    theta = torch.randn(path.space.states, path.space.states, generator=source(7), dtype=torch.float64).requires_grad_()
    predicted = theta.exp()[x]
    targets = torch.stack([conditional_target(path, x, torch.full_like(x, z), t, "rate") for z in range(3)])
    conditional = sum((posterior[z] * divergence(targets[z], predicted)).sum() for z in range(3))
    marginal = divergence((posterior[..., None] * targets).sum(0), predicted).sum()
    gradients = [torch.autograd.grad(loss, theta, retain_graph=True)[0] for loss in (conditional, marginal)]
    assert torch.allclose(*gradients, rtol=1e-9)


@pytest.mark.parametrize("path", [MaskingPath(3), UniformPath(3)], ids=["masking", "uniform"])
def test_the_rate_loss_of_a_network_is_the_token_loss_of_its_posterior(path):
    z, t = torch.tensor([0, 1, 2]).repeat(50), torch.full((150,), 0.4, dtype=torch.float64)
    logits = torch.randn(path.space.states, 3, generator=source(8), dtype=torch.float64)
    found = generator_matching_loss(
        path, lambda x, s: path.rates(x, logits[x].softmax(-1), s), z, t, parameterisation="rate", generator=source(9)
    )
    x = path.sample(z, t, generator=source(9))
    assert torch.allclose(found, token_rate_loss(path, logits[x], x, z, t), atol=1e-9)


def test_jump_rates_are_targets_too():
    line, turns = GaussianPath(), AntipodalVMFPath(QuadraticKappa())
    x, z = torch.randn(2, 20, 3, generator=source(10))
    t = torch.full((20,), 0.4)
    assert torch.equal(conditional_target(line, x, z, t, "rate"), line.jump_rate(x, z, t))
    a, b = so3.random_uniform((2, 20), generator=source(11))
    assert torch.equal(conditional_target(turns, a, b, t, "rate"), turns.jump_rate(a, b, t)[:, None])
    loss = generator_matching_loss(line, lambda x, s: torch.ones_like(x), z, t, parameterisation="rate")
    assert loss.shape == (20,)
    assert (loss >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_vanishes_for_a_network_that_knows(kind):
    path, z = GaussianPath(), torch.tensor([[0.4, -0.2]], dtype=torch.float64).expand(20, 2)
    t = torch.linspace(0.1, 0.9, 20, dtype=torch.float64)
    loss = generator_matching_loss(
        path, lambda x, s: conditional_target(path, x, z, s, kind), z, t, parameterisation=kind, generator=source()
    )
    assert loss.shape == (20,)
    assert (loss == 0).all()
    assert (generator_matching_loss(path, lambda x, s: x, z, t, generator=source()) > 0).all()


def test_rotations_have_velocities_but_no_noise():
    path, z = AntipodalVMFPath(), so3.random_uniform((4,), generator=source())
    assert generator_matching_loss(path, lambda x, t: torch.zeros(4, 3), z, torch.full((4,), 0.1)).shape == (4,)
    with pytest.raises(ValueError, match="has no target 'noise'"):
        conditional_target(path, z, z, torch.zeros(4), "noise")
    with pytest.raises(ValueError, match="unknown prediction"):
        convert(GaussianPath(), torch.zeros(1), torch.zeros(1), torch.zeros(()), "speed", "score")
