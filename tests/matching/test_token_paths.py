"""Token paths of any source, schedule and distance: their laws, their jumps and their posteriors."""

from __future__ import annotations

import math

import pytest
import torch

from protgm.matching import grids
from protgm.matching.clocks import PowerClock
from protgm.matching.ctmc import MaskingPath, UniformPath
from protgm.matching.generators import Balance, Jump
from protgm.matching.predictions import FiniteData
from protgm.matching.simulate import Euler, simulate
from protgm.matching.token_paths import DistancePath, KineticClock, SourcePath
from protgm.testing import assert_satisfies_kfe

LAW = torch.tensor([0.4, 0.3, 0.2, 0.1])
SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])
ALONG = (torch.arange(4)[:, None] - torch.arange(4)).abs().double()
PATHS = {
    "source": SourcePath(LAW, 4),
    "source and mask": SourcePath(torch.tensor([0.1, 0.1, 0.0, 0.1, 0.7]), 4, PowerClock(2.0)),
    "kinetic": SourcePath(LAW, 4, KineticClock(LAW)),
    "distance": DistancePath(ALONG),
}


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
def test_jumps_and_balance_satisfy_the_forward_equation(path):
    for generator in (Jump(path), Jump(path) + 2.0 * Balance(path)):
        assert_satisfies_kfe(generator, torch.tensor(2), (0.2, 0.6), refuse=0.05)


@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
def test_rates_are_those_of_the_forward_equation(path):
    """``dp(y)/dt = sum_x p(x) Q(x, y) - p(y) sum_y' Q(y, y')`` to rounding, for every z; draws follow p."""
    states, t = torch.arange(path.space.states), torch.tensor(0.4, dtype=torch.float64)
    for z in range(4):
        clean = torch.full_like(states, z)
        p = path.probability(states, clean, t)
        one_hot = torch.nn.functional.one_hot(clean, 4).double()
        rates = path.rates(states, one_hot, t)
        assert (rates >= 0).all()
        change = p @ rates - p * rates.sum(-1)
        assert torch.allclose(change, path.probability_derivative(states, clean, t), atol=1e-7)
        step = torch.tensor(1e-6, dtype=torch.float64)
        assert torch.allclose(path.hazard(states, clean, t, step) / step, rates.sum(-1), rtol=1e-4, atol=1e-6)
        drawn = torch.bincount(path.sample(torch.full((20_000,), z), t, generator=source(z)), minlength=len(p)) / 20_000
        assert (drawn - p).abs().max() < 4 * 0.5 / math.sqrt(20_000)
        assert torch.allclose(
            path.probability(states, clean, torch.ones(()).double()), (states == z).double(), atol=1e-6
        )


@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
@pytest.mark.parametrize("strength", [0.0, 2.0])
@pytest.mark.slow
def test_the_exact_posterior_leads_to_the_data(path, strength):
    """Total variation of the marginal at t = .8 by chance: .004 on average."""
    predict, end, count = FiniteData(path, torch.arange(4), SHARES), 0.8, 20_000
    generator = Jump(path) + strength * Balance(path)
    x = path.prior((count,), generator=source(1))
    x = simulate(generator, predict, x, grids.uniform(120, 0, end), source=source(2))
    states = torch.arange(path.space.states)[:, None]
    exact = (SHARES * path.probability(states, torch.arange(4), torch.tensor(end))).sum(-1)
    found = torch.bincount(x, minlength=len(exact)) / count
    assert float(0.5 * (found - exact).abs().sum()) < 0.012


def test_masks_and_uniform_noise_are_special_cases():
    mask, uniform = torch.tensor([0.0, 0, 0, 0, 1]), torch.ones(4)
    t, h, z = torch.tensor(0.3), torch.tensor(0.2), torch.tensor([2])
    for path, other in ((SourcePath(mask, 4), MaskingPath(4)), (SourcePath(uniform, 4), UniformPath(4))):
        assert path.space == other.space
        x = torch.arange(path.space.states)
        for name in ("probability", "probability_derivative"):
            assert torch.allclose(getattr(path, name)(x, z, t), getattr(other, name)(x, z, t))
        reached = path.probability(x, z, t) > 0  # elsewhere a rate has no meaning
        assert torch.allclose(path.hazard(x, z, t, h)[reached], other.hazard(x, z, t, h)[reached])


def test_the_kinetic_schedule_is_a_great_circle():
    """Square roots of ``p_t`` turn at constant speed; a mask's clock is ``sin^2(pi t / 2)``."""
    path, z, states = PATHS["kinetic"], torch.tensor([1]), torch.arange(4)
    times = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    roots = torch.stack([path.probability(states, z, t).sqrt() for t in times])
    turns = torch.arccos((roots[1:] * roots[:-1]).sum(-1))
    assert torch.allclose(turns, turns.mean().expand_as(turns), rtol=1e-6)
    clock = KineticClock(torch.tensor([0.0, 0.0, 1.0]))
    assert torch.allclose(clock.at_token(times, torch.tensor(0)), torch.sin(math.pi / 2 * times).square())


def test_a_corrector_repairs_what_large_steps_of_a_learned_posterior_leave():
    """Two letters that always agree, three Euler steps: letters that change together are drawn apart.

    The predictor knows each letter's posterior given both, as a network would. Afterwards corrector steps at a late
    time, remasking and repair, bring the share of pairs that agree from .8 to .95.
    """
    path, pairs = MaskingPath(2), torch.tensor([[0, 0], [1, 1]])
    joint = FiniteData(path, pairs, torch.ones(2))

    class Marginals:
        def __init__(self, weights):
            self.weights = weights

        def draw(self, *, generator=None):
            u = torch.rand(2, self.weights.shape[1], generator=generator)
            return (u < self.weights[1]).long().T

    def predict(x, t):
        return Marginals(joint.posterior(x, t))

    x = path.prior((20_000, 2), generator=source(3))
    x = simulate(Jump(path), predict, x, torch.tensor([0.0, 0.3, 0.6, 0.8]), solver=Euler(), source=source(4))
    whole = (x < 2).all(1)
    before = float((x[whole, 0] == x[whole, 1]).float().mean())
    balance, t = Balance(path), torch.tensor(0.8)
    for i in range(40):
        prediction, h = predict(x, t), torch.tensor(0.05)
        hazard, z, land = balance.jump(prediction, x, t, h, source(5 + i))
        moves = torch.rand(x.shape, generator=source(500 + i)) < -torch.expm1(-hazard)
        x = torch.where(moves, land(x, z, t), x)
    whole = (x < 2).all(1)
    after = float((x[whole, 0] == x[whole, 1]).float().mean())
    assert before < 0.9
    assert after > before + 0.05
    assert float((x < 2).float().mean()) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SourcePath(torch.ones(3), 4), r"shape \(4,\) or, with a mask, \(5,\)"),
        (lambda: SourcePath(torch.tensor([1.0, -1.0]), 2), "must not be negative"),
        (lambda: DistancePath(torch.zeros(2, 3)), "square matrix"),
        (lambda: DistancePath(torch.ones(2, 2)), "0 on the diagonal"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
