"""Token paths: exact marginals, correctors, rate losses and the ELBO."""

from __future__ import annotations

import math

import pytest
import torch

from protgm.matching import grids
from protgm.matching.clocks import LinearClock, PowerClock
from protgm.matching.ctmc import MaskingPath, UniformPath, draw_tokens
from protgm.matching.elbo import token_elbo
from protgm.matching.generators import Balance, Jump
from protgm.matching.losses import token_rate_loss
from protgm.matching.predictions import FiniteData
from protgm.matching.simulate import Euler, simulate
from protgm.matching.spaces import Categorical

SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def total_variation(path, strength: float, samples: int, steps: int) -> float:
    """Of the law simulated to t = 0.9 from the exact one."""
    predict, end = FiniteData(path, torch.arange(4), SHARES), 0.9
    generator = Jump(path) + strength * Balance(path)
    prior = path.prior((samples,), generator=source())
    x = simulate(generator, predict, prior, grids.log_remaining(steps, 0, end), source=source(1))
    t = torch.tensor(end)
    exact = torch.stack(
        [(SHARES * path.probability(torch.full((4,), s), torch.arange(4), t)).sum() for s in range(path.space.states)]
    )
    assert float(exact.sum()) == pytest.approx(1)
    found = torch.bincount(x, minlength=path.space.states) / len(x)
    return float(0.5 * (found - exact).abs().sum())


@pytest.mark.parametrize("clock", [LinearClock(), PowerClock(2.0)], ids=str)
@pytest.mark.parametrize("kind", [MaskingPath, UniformPath])
@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_total_variation_is_that_of_chance(kind, clock, strength):
    """Draws of the exact law are .004 away from it on average at 2e4 samples."""
    assert total_variation(kind(4, clock), strength, 20_000, 40) < 0.01


@pytest.mark.long
@pytest.mark.parametrize("clock", [LinearClock(), PowerClock(2.0)], ids=str)
@pytest.mark.parametrize("kind", [MaskingPath, UniformPath])
@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_total_variation_is_within_half_a_percent(kind, clock, strength):
    """1e5 samples, 500 steps per unit time."""
    assert total_variation(kind(4, clock), strength, 100_000, 450) <= 0.005


@pytest.mark.parametrize("path", [MaskingPath(4), UniformPath(4)], ids=["masking", "uniform"])
def test_rates_are_those_of_the_forward_equation(path):
    """``dp/dt = sum_x p(x) Q(y; x)`` with the rate matrix that `rates` gives, exactly, for every clean token."""
    t, states = torch.tensor(0.37, dtype=torch.float64), torch.arange(path.space.states)
    for z in range(4):
        onehot = torch.nn.functional.one_hot(torch.tensor(z), 4).double().expand(len(states), 4)
        matrix = path.rates(states, onehot, t)
        assert torch.equal(matrix.diagonal(), torch.zeros(len(states), dtype=torch.float64))
        assert (matrix >= 0).all()
        p, clean = path.probability(states, torch.tensor(z), t), torch.full_like(states, z)
        change = p @ matrix - p * matrix.sum(-1)
        assert torch.allclose(change, path.probability_derivative(states, clean, t), atol=1e-12)


@pytest.mark.parametrize("path", [MaskingPath(4), UniformPath(4)], ids=["masking", "uniform"])
def test_the_end_of_time_is_reached_clean(path):
    predict = FiniteData(path, torch.arange(4), SHARES)
    x = simulate(
        Jump(path),
        predict,
        path.prior((20_000,), generator=source()),
        grids.uniform(40),
        solver=Euler(),
        source=source(1),
    )
    assert (x < 4).all()
    assert (torch.bincount(x, minlength=4) / len(x) - SHARES).abs().max() < 0.015


@pytest.mark.parametrize("path", [MaskingPath(4), UniformPath(4)], ids=["masking", "uniform"])
def test_the_rate_loss_is_least_at_the_posterior_and_bregman(path):
    """The slow obvious sum over all y, and its minimiser over the logits at the exact posterior."""
    t, n = torch.tensor(0.6, dtype=torch.float64), 4000
    z = draw_tokens(SHARES.expand(n, 4), generator=source())
    x = path.sample(z, t, generator=source(1))
    logits = torch.randn(n, 4, generator=source(2), dtype=torch.float64)
    p, rate = torch.softmax(logits, -1), 1 / (1 - t)
    active = (x == path.size) if isinstance(path, MaskingPath) else torch.ones_like(x, dtype=torch.bool)
    slow = torch.zeros(n, dtype=torch.float64)
    for y in range(4):
        predicted = rate * p[:, y] * active
        true = rate * (z == y) * active
        term = (
            predicted
            - true
            + torch.xlogy(true, true)
            - torch.where(true > 0, true * predicted.clamp_min(1e-300).log(), 0)
        )
        slow = slow + torch.where(x == y, 0.0, term)
    assert torch.allclose(token_rate_loss(path, logits, x, z, t), slow)
    exact = FiniteData(path, torch.arange(4), SHARES.double()).posterior(x, t).movedim(0, -1).clamp_min(1e-30).log()
    best = token_rate_loss(path, exact, x, z, t).mean()
    for trial in range(5):
        other = exact + 0.3 * torch.randn(4, generator=source(trial), dtype=torch.float64)
        assert token_rate_loss(path, other, x, z, t).mean() > best


def test_elbo_of_the_exact_posterior_is_the_log_likelihood():
    """Two dependent tokens with a known joint.

    The bound is tight where the posterior of each token is exact and one is masked at a time.
    """
    joint = torch.tensor([[0.4, 0.1], [0.05, 0.45]], dtype=torch.float64)

    def network(x, kappa):
        table = torch.empty(*x.shape, 2, dtype=torch.float64)
        for position in range(2):
            other = x[..., 1 - position]
            conditional = joint if position == 1 else joint.T
            rows = torch.cat((conditional, conditional.sum(0, keepdim=True)))
            table[..., position, :] = rows[other].log()
        return table

    z = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat_interleave(500, 0)
    bound = token_elbo(MaskingPath(2), network, z, draws=64, generator=source(3)).value.reshape(4, -1)
    error = bound.std(1) / math.sqrt(500)
    assert ((bound.mean(1) - joint.flatten().log()).abs() < 5 * error + 0.01).all()


def test_draws_follow_the_probabilities():
    found = torch.bincount(draw_tokens(SHARES.expand(50_000, 4), generator=source()), minlength=4) / 50_000
    assert (found - SHARES).abs().max() < 0.008


def test_spaces_of_tokens():
    assert Categorical(5, mask=True).states == 6
    assert Categorical(5).uniform((1000,), generator=source()).max() == 4
    with pytest.raises(ValueError, match="at least 2 tokens"):
        Categorical(1)
    with pytest.raises(ValueError, match="power"):
        PowerClock(0.5)
