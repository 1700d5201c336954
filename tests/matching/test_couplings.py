"""Couplings against brute force and closed forms; the bridge has the law it claims."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import ks_2samp

from protgm.lie import so3
from protgm.matching import couplings, grids
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import Diffusion, Flow
from protgm.matching.losses import generator_matching_loss
from protgm.matching.predictions import FiniteData, Learned
from protgm.matching.simulate import Euler, simulate
from protgm.matching.so3_paths import AntipodalVMFPath


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_optimal_pairs_are_those_of_brute_force():
    noise, data = torch.randn(2, 6, 2, generator=source(), dtype=torch.float64)
    matched, _ = couplings.optimal(noise, data)
    best = min((noise[list(p)] - data).square().sum() for p in itertools.permutations(range(6)))
    assert torch.allclose((matched - data).square().sum(), best)
    assert torch.equal(matched.sort(0).values, noise.sort(0).values)
    same, _ = couplings.independent(noise, data)
    assert same is noise


def test_kabsch_finds_the_rotation_and_the_cost_its_residual():
    shape = torch.randn(7, 3, generator=source(1), dtype=torch.float64)
    shape = shape - shape.mean(0)
    turn = so3.random_uniform((5,), generator=source(2), dtype=torch.float64)
    turned = shape @ turn.mT
    assert torch.allclose(couplings.kabsch(shape.expand(5, 7, 3), turned), turn)
    others = torch.randn(4, 7, 3, generator=source(3), dtype=torch.float64)
    others = others - others.mean(1, keepdim=True)
    cost = couplings.kabsch_cost(turned, others)
    for i, j in itertools.product(range(5), range(4)):
        moved = turned[i] @ couplings.kabsch(turned[i], others[j]).mT
        assert float(cost[i, j]) == pytest.approx(float((moved - others[j]).square().sum()), rel=1e-9)
    assert couplings.kabsch_cost(turned, shape[None]).abs().max() < 1e-9


def test_optimal_with_alignment_recovers_shuffled_and_turned_copies():
    data = torch.randn(5, 6, 3, generator=source(4), dtype=torch.float64)
    data = data - data.mean(1, keepdim=True)
    turn = so3.random_uniform((5,), generator=source(5), dtype=torch.float64)
    noise = (data @ turn.mT)[torch.tensor([3, 1, 4, 0, 2])]
    matched, _ = couplings.optimal(noise, data, couplings.kabsch_cost)
    assert torch.allclose(matched, data)


def test_sinkhorn_has_its_marginals_and_its_limits():
    noise, data = torch.randn(2, 8, 2, generator=source(6), dtype=torch.float64)
    cost = couplings.squared_cost(noise, data)
    plan = couplings.sinkhorn(cost, 0.5)
    assert torch.allclose(plan.sum(0), torch.full((8,), 0.125).double(), atol=1e-6)
    assert torch.allclose(plan.sum(1), torch.full((8,), 0.125).double(), atol=1e-6)
    assert torch.allclose(couplings.sinkhorn(cost, 1e5), torch.full((8, 8), 1 / 64).double(), atol=1e-4)
    sharp = couplings.sinkhorn(cost, 0.02, iterations=5000)
    matched, _ = couplings.optimal(noise, data)
    assert float((sharp * cost).sum()) == pytest.approx(float((matched - data).square().sum() / 8), rel=0.02)


@pytest.mark.slow
def test_entropic_pairs_follow_the_plan():
    noise, data = torch.randn(2, 4, 2, generator=source(7), dtype=torch.float64)
    plan = couplings.sinkhorn(couplings.squared_cost(noise, data), 1.0)
    counts, generator = torch.zeros(4, 4), source(8)
    for _ in range(400):
        _, partner = couplings.entropic_pairs(noise, data, 1.0, generator=generator)
        chosen = (partner[:, None] == data).all(-1)
        counts += chosen
    assert (counts / 1600 - plan).abs().max() < 0.03


def test_bridge_velocity_and_score_generate_its_law():
    """``d/dt E f = E[grad f . u]`` along the bridge, for f = cos, at a fixed pair."""
    path, t = couplings.SchroedingerBridgePath(0.5), 0.3
    assert path.regularisation == 0.5
    noise, data = torch.tensor([-1.0], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)

    def time(value):
        return torch.full((200_000,), value, dtype=torch.float64)

    pair = path.pair(noise, data).expand(200_000, 2)
    x = path.sample(pair, time(t), generator=source())
    late, early = (path.sample(pair, time(t + d), generator=source()) for d in (1e-4, -1e-4))
    growth = ((late.cos() - early.cos()) / 2e-4).mean()
    assert float(growth) == pytest.approx(float((-x.sin() * path.velocity(x, pair, time(t))).mean()), abs=5e-3)
    stein = (x.cos() + x.sin() * path.score(x, pair, time(t))).mean()  # E[f' + f score] = 0
    assert abs(float(stein)) < 0.01


LEFT = torch.tensor([[-1.0], [-0.2], [0.9]], dtype=torch.float64)
RIGHT = torch.tensor([[-1.5], [0.4], [1.3]], dtype=torch.float64)


@pytest.mark.parametrize("name", ["diffusion", "flow"])
def test_the_bridge_between_finite_sets_runs_and_ends_in_its_law(name):
    """Shares of the data .5/.3/.2 at the end, by the posterior over all nine pairs."""
    path, shares = couplings.SchroedingerBridgePath(0.6), torch.tensor([0.5, 0.3, 0.2]).double()
    pairs = path.pair(LEFT.repeat_interleave(3, 0), RIGHT.repeat(3, 1))
    predict = FiniteData(path, pairs, shares.repeat(3) / 3)
    chosen = torch.multinomial(predict.weights, 20_000, replacement=True, generator=source(1))
    x = path.sample(pairs[chosen], torch.tensor(0.02).double(), generator=source(2))
    generator = Flow(path) if name == "flow" else Diffusion(path)
    x = simulate(generator, predict, x, grids.uniform(150, 0.02, 0.95), source=source(3))
    exact = path.sample(pairs[chosen], torch.tensor(0.95).double(), generator=source(4))
    assert ks_2samp(x[:, 0].numpy(), exact[:, 0].numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("plan", "holds"), [("entropic", True), ("optimal", False)])
@pytest.mark.slow
def test_the_schroedinger_bridge_keeps_its_plan(plan, holds):
    """The marginal diffusion joins the ends by the plan that it was made of exactly when that plan is entropic."""
    path, n = couplings.SchroedingerBridgePath(0.6), 20_000
    cost = couplings.squared_cost(LEFT, RIGHT)
    joint = couplings.sinkhorn(cost, path.regularisation if holds else 0.05, iterations=20_000)
    pairs = path.pair(LEFT.repeat_interleave(3, 0), RIGHT.repeat(3, 1))
    predict = FiniteData(path, pairs, joint.flatten())
    first = torch.multinomial(joint.sum(1), n, replacement=True, generator=source(1))
    start = torch.tensor(0.01).double()
    # From each start the process itself is a mixture of its pairs' bridges.
    partner = torch.multinomial(joint[first], 1, generator=source(2))[:, 0]
    x = path.sample(path.pair(LEFT[first], RIGHT[partner]), start, generator=source(3))
    x = simulate(Diffusion(path), predict, x, grids.uniform(250, 0.01, 0.99), source=source(4))
    last = (x - RIGHT.T).abs().argmin(1)
    found = torch.bincount(3 * first + last, minlength=9).reshape(3, 3) / n
    assert ((found - joint).abs().max() < 0.015) == holds


def learn(loss, outputs, steps=500, seed=0):
    """A small network of (x, t) on the line, trained by ``loss(network)``."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(2, 64), torch.nn.SiLU(), torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, outputs)
    )

    def network(x, t):
        return net(torch.cat((x, t.expand(x.shape[:-1]).unsqueeze(-1)), -1))

    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(network).mean().backward()
        optimiser.step()
        schedule.step()
    return network


@pytest.mark.slow
@pytest.mark.parametrize(("couple", "arrives"), [(couplings.optimal, True), (couplings.independent, False)])
def test_a_flow_trained_on_optimal_pairs_is_straight(couple, arrives):
    """Two points at -1 and 1: one Euler step is all it takes, where independent pairs end in between."""
    path = GaussianPath()

    def loss(network):
        noise, data = couple(torch.randn(256, 1), torch.randn(256, 1).sign())
        return generator_matching_loss(path, network, data, torch.rand(256), noise=noise)

    network = learn(loss, 1)
    x = path.prior((4_000, 1), generator=source(9))
    predict = lambda x, t: Learned(velocity_of=lambda: network(x, t))  # noqa: E731
    x = simulate(Flow(path), predict, x, torch.tensor([0.0, 1.0]), solver=Euler())
    near = float(((x.abs() - 1).abs() < 0.25).float().mean())
    assert near > 0.75 if arrives else near < 0.3
    if arrives:
        assert float((x > 0).float().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_a_schroedinger_bridge_is_learned_and_runs():
    """From a uniform law to two modes, by entropic pairs of batches; both of its generators reach the data."""
    path = couplings.SchroedingerBridgePath(0.5)

    def ends(count, seed=None):
        generator = None if seed is None else source(seed)
        noise = 2 * torch.rand(count, 1, generator=generator) - 1
        modes = torch.randint(2, (count, 1), generator=generator) * 2.0 - 1
        return noise, modes + 0.2 * torch.randn(count, 1, generator=generator)

    def loss(network):
        noise, data = couplings.entropic_pairs(*ends(128), path.regularisation)
        t = 0.02 + 0.96 * torch.rand(128)
        pair = path.pair(noise, data)
        x = path.sample(pair, t)
        flow, noised = network(x, t).chunk(2, -1)
        spread = path.sigma * (t * (1 - t)).sqrt()[:, None]
        error = (noised - spread * path.score(x, pair, t)).square() + (flow - path.velocity(x, pair, t)).square()
        return error.sum(-1)

    network = learn(loss, 2, steps=600, seed=1)

    def predict(x, t):
        flow, noised = network(x, t).chunk(2, -1)
        spread = path.sigma * (t * (1 - t)).sqrt()
        return Learned(velocity_of=lambda: flow, score_of=lambda: noised / spread)

    data = ends(8_000, 10)[1]
    for generator in (Flow(path), Diffusion(path)):
        x = simulate(generator, predict, ends(8_000, 11)[0], grids.uniform(100, 0.02, 0.98), source=source(12))
        assert ks_2samp(x[:, 0].numpy(), data[:, 0].numpy()).statistic < 0.1


def test_proteins_of_one_length_are_matched_and_turned():
    """Entropic pairs with Kabsch at little regularisation are the optimal ones; the order serves other parts too."""
    data = torch.randn(5, 6, 3, generator=source(4), dtype=torch.float64)
    data = data - data.mean(1, keepdim=True)
    turn = so3.random_uniform((5,), generator=source(5), dtype=torch.float64)
    noise = (data @ turn.mT)[torch.tensor([3, 1, 4, 0, 2])]
    matched, partners = couplings.entropic_pairs(noise, data, 0.01, couplings.kabsch_cost, generator=source(6))
    assert torch.allclose(matched, partners)
    order = couplings.assign(noise, data, couplings.kabsch_cost)
    assert torch.equal(order, torch.tensor([3, 1, 4, 0, 2]).argsort())


@pytest.mark.parametrize(
    ("path", "parameterisation", "noise", "message"),
    [
        (GaussianPath(), "score", True, "known for independent noise only; with coupled noise regress clean or vel"),
        (GaussianPath(), "rate", True, "the rate of GaussianPath given the data alone"),
        (couplings.SchroedingerBridgePath(), "velocity", False, "give the noise that belongs to the data"),
        (AntipodalVMFPath(), "velocity", True, "takes no noise of a coupling"),
    ],
)
def test_coupled_noise_is_refused_where_its_target_is_not_known(path, parameterisation, noise, message):
    z = torch.eye(3).expand(4, 3, 3) if isinstance(path, AntipodalVMFPath) else torch.zeros(4, 1)
    with pytest.raises(ValueError, match=message):
        generator_matching_loss(
            path, None, z, torch.rand(4), parameterisation=parameterisation, noise=z if noise else None
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: couplings.optimal(torch.zeros(2, 3), torch.zeros(3, 3)), "one shape"),
        (lambda: couplings.sinkhorn(torch.zeros(2, 2), 0.0), "regularisation must be positive"),
        (lambda: couplings.SchroedingerBridgePath(0.0), "sigma must be positive"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
