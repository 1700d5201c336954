"""Solvers of higher order, those of a library, and gradients through solver and likelihood."""

from __future__ import annotations

import math
import sys

import pytest
import torch

from protgm.lie import so3
from protgm.matching import grids
from protgm.matching.ctmc import MaskingPath
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import Diffusion, Flow, Jump
from protgm.matching.geodesic import GeodesicPath
from protgm.matching.held import HeldPosterior
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.likelihood import Exact, Hutchinson, log_likelihood, normal_log_density
from protgm.matching.ode import AdaptiveODE
from protgm.matching.predictions import FiniteData, FiniteProduct, Known, Learned
from protgm.matching.product import ProductGenerator, ProductPath
from protgm.matching.schedules import CondOT, Cosine, Polynomial
from protgm.matching.simulate import Fixed, simulate
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.solvers import Midpoint, RungeKutta4
from protgm.matching.spaces import Euclidean, ProductSpace, Rotations, Torus

TURNS = so3.exp(torch.tensor([[0.0, 0.0, 0.0], [1.6, 0.0, 0.0]], dtype=torch.float64))
MODES = torch.tensor([[-1.0, 0.5], [1.0, 0.0]], dtype=torch.float64)
SHARES = torch.tensor([0.3, 0.7], dtype=torch.float64)
LINE, TURN = GaussianPath(), AntipodalVMFPath(QuadraticKappa())


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.slow
def test_runge_kutta_converges_at_fourth_order_on_a_flat_space():
    path = GaussianPath(Cosine())
    predict, x = FiniteData(path, MODES, SHARES), path.prior((50, 2), generator=source(), dtype=torch.float64)

    def end(steps, solver):
        return simulate(Flow(path), predict, x, grids.uniform(steps, 0, 0.7), solver=solver)

    exact = end(400, RungeKutta4())
    errors = [float((end(n, RungeKutta4()) - exact).abs().max()) for n in (12, 24)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.4)
    assert errors[1] < 0.05 * float((end(48, Midpoint()) - exact).abs().max())  # as many calls of the predictor


@pytest.mark.slow
def test_runge_kutta_keeps_second_order_on_rotations_and_stops_before_one():
    predict = FiniteData(TURN, TURNS, SHARES)
    x = TURN.prior((50,), generator=source(1), dtype=torch.float64)

    def end(steps):
        return simulate(Flow(TURN), predict, x, grids.uniform(steps, 0.05, 0.6), solver=RungeKutta4())

    exact = end(200)
    errors = [float(so3.angle(so3.relative(end(n), exact)).max()) for n in (20, 40)]
    assert math.log2(errors[0] / errors[1]) > 1.8
    z = torch.tensor([[1.2, 0.3]], dtype=torch.float64)
    last = simulate(Flow(LINE), Known(LINE, z), x[:1, 0, :2], grids.uniform(4), solver=RungeKutta4())
    assert torch.allclose(last, z)


@pytest.mark.parametrize("name", ["plane", "rotations", "torus", "product"])
@pytest.mark.slow
def test_an_adaptive_solver_of_a_library_agrees_with_many_small_steps(name):
    torus = GeodesicPath(Torus(), Torus().uniform)
    predicts = {
        "plane": (Flow(LINE), FiniteData(LINE, MODES, SHARES)),
        "rotations": (Flow(TURN), FiniteData(TURN, TURNS, SHARES)),
        "torus": (Flow(torus), Known(torus, torch.tensor([3.0, -3.0], dtype=torch.float64).expand(20, 2))),
        "product": (
            ProductGenerator(Flow(LINE), Flow(TURN)),
            FiniteProduct(ProductPath((LINE, TURN)), (MODES, TURNS), SHARES),
        ),
    }
    generator, predict = predicts[name]
    flat = LINE.prior((20, 2), generator=source(2), dtype=torch.float64)
    turned = TURN.prior((20,), generator=source(3), dtype=torch.float64)
    x = {"plane": flat, "rotations": turned, "torus": Torus().wrap(3 * flat), "product": (flat, turned)}[name]
    times = torch.tensor([0.05, 0.4, 0.8], dtype=torch.float64)
    found = simulate(generator, predict, x, times, solver=AdaptiveODE(1e-6, 1e-7))
    fine = simulate(generator, predict, x, grids.log_remaining(300, 0.05, 0.8))
    rows = zip(found, fine, strict=True) if isinstance(found, tuple) else [(found, fine)]
    for a, b in rows:
        gap = Torus().wrap(a - b) if name == "torus" else a - b
        assert gap.abs().max() < 2e-4


@pytest.mark.parametrize(
    ("generator", "times", "message"),
    [
        (0.5 * Flow(LINE) + 0.5 * Jump(LINE), torch.tensor([0.0, 0.5]), "Jump is random"),
        (1.0 * Diffusion(LINE), torch.tensor([0.0, 0.5]), "Diffusion is random"),
        (1.0 * Flow(LINE), torch.tensor([[0.0] * 3, [0.5] * 3]), "one time for the whole batch"),
        (Jump(MaskingPath(3)), torch.tensor([0.0, 0.5]), "Jump is random"),
    ],
)
def test_what_is_no_ode_is_refused(generator, times, message):
    x = torch.zeros(3).long() if isinstance(generator, Jump) else torch.zeros(3, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        simulate(generator, FiniteData(LINE, MODES, SHARES), x, Fixed(times), solver=AdaptiveODE())


def test_a_missing_library_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(ValueError, match="pip install torchdiffeq"):
        simulate(
            Flow(LINE), FiniteData(LINE, MODES, SHARES), torch.zeros(3, 2).double(), torch.tensor([0.0, 0.5]),
            solver=AdaptiveODE(),
        )  # fmt: skip


def learned(scale):
    """A velocity with one parameter: that of one clean point, scaled."""
    z = torch.tensor([1.2, 0.3], dtype=torch.float64)
    return lambda x, t: Learned(velocity_of=lambda: scale * LINE.velocity(x, z, t))


@pytest.mark.parametrize(
    "solver", [Midpoint(), RungeKutta4(), AdaptiveODE(1e-9, 1e-10)], ids=lambda s: type(s).__name__
)
def test_gradients_pass_through_the_solver(solver):
    """By the start and by a parameter, against central differences."""
    times = torch.tensor([0.0, 0.5]) if isinstance(solver, AdaptiveODE) else grids.uniform(12, 0, 0.5)

    def end(x, scale):
        return simulate(Flow(LINE), learned(scale), x, times, solver=solver, gradients=True).square().sum()

    x = torch.tensor([[-0.7, 0.2]], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    by_x, by_scale = torch.autograd.grad(end(x, scale), (x, scale))
    with torch.no_grad():
        step = 1e-5 * torch.eye(2, dtype=torch.float64)
        differences = [(end(x + e, scale) - end(x - e, scale)) / 2e-5 for e in step]
        assert torch.allclose(by_x[0], torch.stack(differences), rtol=1e-5)
        assert float(by_scale) == pytest.approx(float((end(x, scale + 1e-5) - end(x, scale - 1e-5)) / 2e-5), rel=1e-5)
    assert not simulate(Flow(LINE), learned(scale), x, times, solver=solver).requires_grad


def test_gradients_pass_through_jumps_where_they_land():
    z = torch.full((500, 1), 1.0, dtype=torch.float64, requires_grad=True)
    x = LINE.prior((500, 1), generator=source(4), dtype=torch.float64)
    out = simulate(Jump(LINE), Known(LINE, z), x, grids.uniform(20, 0, 0.8), source=source(5), gradients=True)
    (slope,) = torch.autograd.grad(out.sum(), z)
    jumped = (out != x)[:, 0]
    assert (slope[~jumped] == 0).all()
    assert (slope[jumped] != 0).float().mean() > 0.95


@pytest.mark.parametrize("divergence", [Exact(), Hutchinson(2)], ids=["exact", "hutchinson"])
def test_likelihood_has_gradients_by_points_and_parameters(divergence):
    x0 = torch.tensor([[0.4, -0.2], [0.1, 0.9]], dtype=torch.float64)

    def value(x, scale):
        return log_likelihood(
            Euclidean(), lambda y, t: learned(scale)(y, t).velocity(), x, grids.uniform(20, 0, 0.5),
            normal_log_density, divergence=divergence, source=source(6), gradients=True,
        ).sum()  # fmt: skip

    x, scale = x0.clone().requires_grad_(), torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    by_x, by_scale = torch.autograd.grad(value(x, scale), (x, scale))
    e = torch.zeros_like(x0)
    e[1, 0], scale = 1e-5, scale.detach()
    assert float(by_x[1, 0]) == pytest.approx(float((value(x0 + e, scale) - value(x0 - e, scale)) / 2e-5), rel=1e-5)
    change = (value(x0, scale + 1e-5) - value(x0, scale - 1e-5)) / 2e-5
    assert float(by_scale) == pytest.approx(float(change), rel=1e-5)


@pytest.mark.parametrize(("divergence", "tolerance"), [(Exact(), 0.05), (Hutchinson(4), 2.0)], ids=["exact", "signs"])
@pytest.mark.slow
def test_likelihood_on_a_product_of_points_and_rotations(divergence, tolerance):
    """Two data points, each a position with its rotation: the joint density of both components."""
    paths, end = ProductPath((LINE, TURN)), torch.tensor(0.5, dtype=torch.float64)
    predict = FiniteProduct(paths, (MODES, TURNS), SHARES)
    chosen = torch.arange(6) % 2
    x = paths.sample((MODES[chosen], TURNS[chosen]), end, generator=source(7))

    def marginal(point, t):
        parts = zip(SHARES, MODES, TURNS, strict=True)
        logs = [w.log() + LINE.log_density(point[0], z, t) + TURN.log_density(point[1], r, t) for w, z, r in parts]
        return torch.logsumexp(torch.stack(logs), 0)

    found = log_likelihood(
        ProductSpace((Euclidean(), Rotations())), lambda y, t: [p.velocity() for p in predict(y, t)], x,
        grids.uniform(20, 0, 0.5), lambda y: marginal(y, torch.zeros(()).double()), divergence=divergence,
        source=source(8),
    )  # fmt: skip
    error = found - marginal(x, end)
    assert error.abs().max() < tolerance
    with pytest.raises(ValueError, match="tokens have no flow"):
        log_likelihood(MaskingPath(3).space, None, x[0], grids.uniform(2), None)


@pytest.mark.parametrize("schedule", [Polynomial(), Cosine(), CondOT()], ids=["polynomial", "cosine", "condot"])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_a_held_posterior_goes_from_noise_to_data_on_every_schedule(schedule, strength):
    """From t = 0, where a schedule may begin to move with no velocity, to t = 1, where no noise is left."""
    path, points, shares = GaussianPath(schedule), torch.tensor([[-1.0], [1.5]]), torch.tensor([0.3, 0.7])
    generator = (1 - strength) * Flow(path) + strength * Diffusion(path) if strength else Flow(path)
    source = torch.Generator().manual_seed(0)
    start = path.prior((3_000, 1), generator=source)
    end = simulate(
        generator, FiniteData(path, points, shares), start, grids.uniform(60), solver=HeldPosterior(), source=source
    )
    assert end.isfinite().all()
    assert float((end > 0.25).float().mean()) == pytest.approx(0.7, abs=0.04)
    assert ((end[:, None] - points).abs().amin(1) < 0.05).float().mean() > 0.97
