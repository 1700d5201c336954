"""The antipodal vMF path: flow, jump and superposition end in the exact angle law; Kolmogorov forward equation.

Float32 safety.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from protgm.lie import so3, vmf
from protgm.matching import grids
from protgm.matching.generators import Flow, Jump
from protgm.matching.jumps import jump_or_stay
from protgm.matching.kappa import ExponentialKappa, KappaSchedule, QuadraticKappa
from protgm.matching.predictions import Known
from protgm.matching.simulate import Fixed
from protgm.matching.simulate import simulate as follow
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.streams import Streams

SCHEDULES = [ExponentialKappa(), QuadraticKappa()]
COUNT = 100_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ks_of_angle(x: torch.Tensor, z: torch.Tensor, kappa: torch.Tensor) -> float:
    """Kolmogorov-Smirnov distance of the angle between x and z from its exact law."""
    angle = so3.angle(so3.relative(x, z)).double().flatten().numpy()
    grid = torch.linspace(0, min(math.pi, 13 / math.sqrt(float(kappa))), 4001, dtype=torch.float64)
    cumulative = vmf.angle_cdf(grid, kappa.double())
    return kstest(angle, lambda w: np.interp(w, grid.numpy(), cumulative.numpy())).statistic


def simulate(
    schedule: KappaSchedule, jump: float, dtype: torch.dtype, end: float, steps: int, count: int = COUNT
) -> tuple[torch.Tensor, torch.Tensor, AntipodalVMFPath]:
    """March uniform rotations to time ``end`` under the conditional generator, with midpoint velocities."""
    path, g = AntipodalVMFPath(schedule), generator(11)
    z = so3.exp(torch.tensor([0.3, -1.0, 0.7], dtype=dtype)).expand(count, 3, 3)
    x = path.sample(z, torch.zeros((), dtype=dtype), generator=g)
    both = (1 - jump) * Flow(path) + jump * Jump(path)
    return follow(both, Known(path, z), x, grids.uniform(steps, 0, end), source=g), z, path


@pytest.mark.parametrize("jump", [0.0, 0.7, 1.0])
@pytest.mark.slow
def test_flow_jump_and_superposition_have_the_exact_angle_law(jump):
    """500 steps per unit time; chance alone exceeds the limit once in 1000 times."""
    schedule, end, count = ExponentialKappa(), 0.12, 15_000
    x, z, _ = simulate(schedule, jump, torch.float32, end, 60, count)
    assert ks_of_angle(x, z, schedule.kappa(torch.tensor(end, dtype=torch.float64))) <= 1.95 / count**0.5


@pytest.mark.long
@pytest.mark.parametrize("jump", [0.0, 0.7, 1.0])
def test_angle_law_at_half_time_on_the_schedule_of_training(jump):
    """1e5 samples, 500 steps per unit time, in float32 as in training."""
    schedule = QuadraticKappa()
    x, z, _ = simulate(schedule, jump, torch.float32, 0.5, 250)
    assert ks_of_angle(x, z, schedule.kappa(torch.tensor(0.5, dtype=torch.float64))) <= 0.005


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9])
def test_sample_has_the_exact_angle_law(schedule, t, dtype):
    path, time = AntipodalVMFPath(schedule), torch.tensor(t, dtype=dtype)
    z = so3.random_uniform((50_000,), generator=generator(1), dtype=dtype)
    x = path.sample(z, time, generator=generator(2))
    assert x.dtype == dtype
    # A rotation matrix in float32 holds an angle to 1e-7: the law stays visible down to a spread of 1e-4.
    assert ks_of_angle(x, z, schedule.kappa(time)) <= 0.008


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [0.05, 0.2, 0.6])
def test_kolmogorov_forward_equation_by_quadrature(schedule, t):
    """d/dt <p, f> = <p, L f> for flow, jump and Langevin terms, f = cos(m w), without any randomness."""
    w = torch.linspace(0, math.pi, 40_001, dtype=torch.float64)
    time = torch.tensor(t, dtype=torch.float64)
    kappa, rate = schedule.kappa(time), schedule.derivative(time)
    law = vmf.angle_log_density(w, kappa).exp()
    change = rate * vmf.density_rate(w, kappa)
    destination = change.clamp_min(0) * law
    destination = destination / torch.trapezoid(destination, w)
    for m in (1, 2, 5):
        f, slope, bend = torch.cos(m * w), -m * torch.sin(m * w), -m * m * torch.cos(m * w)
        left = torch.trapezoid(change * law * f, w)
        flow = torch.trapezoid(-rate * vmf.flow_speed(w, kappa) * slope * law, w)
        landed = torch.trapezoid(destination * f, w)
        jump = torch.trapezoid((-change).clamp_min(0) * (landed - f) * law, w)
        # The Laplacian of a function of the angle in the bi-invariant metric of unit angular speed.
        laplacian = bend + slope / torch.tan(w / 2).clamp_min(1e-9)
        langevin = torch.trapezoid((0.5 * vmf.score(w, kappa) * slope + 0.5 * laplacian) * law, w)
        scale = torch.trapezoid(change.abs() * law, w)
        assert abs(flow - left) < 1e-4 * scale
        assert abs(jump - left) < 1e-6 * scale
        assert abs(langevin) < 1e-6 * scale.clamp_min(1)


def test_hazard_is_the_integral_of_the_rate():
    path, g = AntipodalVMFPath(QuadraticKappa()), generator(3)
    x, z = so3.random_uniform((2, 400), generator=g, dtype=torch.float64)
    t, h = (
        0.6 * torch.rand(400, generator=g, dtype=torch.float64),
        0.3 * torch.rand(400, generator=g, dtype=torch.float64),
    )
    nodes = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]
    rate = path.jump_rate(x, z, t + h * nodes)
    assert torch.allclose(path.hazard(x, z, t, h), torch.trapezoid(rate, nodes * h, dim=0), rtol=1e-4, atol=1e-6)
    assert torch.allclose(
        path.hazard(x, z, t, h), path.hazard(x, z, t, h / 2) + path.hazard(x, z, t + h / 2, h / 2), atol=1e-8
    )


def test_velocity_score_and_density_agree_with_autograd():
    path, g = AntipodalVMFPath(QuadraticKappa()), generator(4)
    x, z = so3.random_uniform((2, 100), generator=g, dtype=torch.float64)
    t = 0.9 * torch.rand(100, generator=g, dtype=torch.float64)
    tangent = torch.zeros(100, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(path.log_density(x @ so3.exp(tangent), z, t).sum(), tangent)
    assert torch.allclose(path.score(x, z, t), gradient, atol=1e-8)
    time = t.clone().requires_grad_()
    (derivative,) = torch.autograd.grad(path.log_density(x, z, time).sum(), time)
    assert torch.allclose(path.log_density_derivative(x, z, t), derivative, rtol=1e-6, atol=1e-8)


def test_everything_is_equivariant():
    path, g = AntipodalVMFPath(QuadraticKappa()), generator(5)
    x, z = so3.random_uniform((2, 50), generator=g, dtype=torch.float64)
    turn, t = so3.random_uniform((), generator=g, dtype=torch.float64), torch.rand(50, generator=g, dtype=torch.float64)
    for function in (path.velocity, path.score, path.jump_rate, path.log_density):
        assert torch.allclose(function(turn @ x, turn @ z, t), function(x, z, t), rtol=1e-8, atol=1e-8)
    one = path.sample_jump(x, z, t, generator=generator(6))
    assert torch.allclose(path.sample_jump(turn @ x, turn @ z, t, generator=generator(6)), turn @ one)


def test_velocity_scale_makes_a_target_of_order_one():
    path = AntipodalVMFPath(QuadraticKappa())
    t = torch.tensor([0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0])[:, None].expand(8, 5000)
    z = so3.random_uniform((8, 5000), generator=generator(7))
    x = path.sample(z, t, generator=generator(8))
    target = path.velocity(x, z, t) / path.velocity_scale(t)[..., None]
    assert target.isfinite().all()
    assert target.norm(dim=-1).max() < 4
    late = so3.log(so3.relative(x, z))[4:]
    assert torch.allclose(target[4:], late, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("schedule", [*SCHEDULES, QuadraticKappa(maximum=1e5)])
def test_float32_is_finite_everywhere_and_close_to_float64(schedule):
    """kappa up to 1e9 and any angle, likely or not: a network's posterior asks for unlikely ones."""
    path = AntipodalVMFPath(schedule)
    angles = torch.cat((torch.zeros(1), torch.logspace(-6, 0.3, 60), torch.linspace(2, math.pi, 60)))
    z = so3.random_uniform((len(angles),), generator=generator(9), dtype=torch.float64)
    axis = torch.nn.functional.normalize(torch.randn(len(angles), 3, generator=generator(10)), dim=-1)
    x = z @ so3.exp((axis * angles[:, None]).double())
    times = torch.tensor([0.0, 1e-7, 1e-3, 0.1, 0.3, 0.5, 0.9, 0.99, 0.999, 1 - 1e-6, 1.0])
    for t in times:
        for h in (0.0, 1e-3, 0.1):
            figures = {}
            for dtype in (torch.float32, torch.float64):
                a, b, s, k = x.to(dtype), z.to(dtype), t.to(dtype).expand(len(angles)), torch.tensor(h, dtype=dtype)
                figures[dtype] = [
                    path.hazard(a, b, s, k),
                    path.velocity(a, b, s),
                    path.score(a, b, s),
                    path.log_density(a, b, s),
                ]
                assert all(v.isfinite().all() for v in figures[dtype]), (t, h, dtype)
                jumped = path.sample_jump(a, b, s, generator=generator(0))
                assert jumped.isfinite().all()
            single, double = figures[torch.float32][0].double(), figures[torch.float64][0]
            # Where angles are representable: rounding of matrices (1e-7 rad) times the slope of the log density.
            kappa = schedule.kappa((t + h).double())
            slack = 1e-4 + 1e-6 * kappa * angles.double() + 1e-3 * double
            assert ((single - double).abs() < slack).all(), (t, h)


def test_jump_or_stay_has_the_survival_probability():
    hazard = torch.tensor([0.0, 0.1, 1.0, 50.0])[:, None].expand(4, 50_000)
    stay, jump = torch.zeros(4, 50_000, 2), torch.ones(4, 50_000, 2)
    share = jump_or_stay(stay, jump, hazard, generator=generator(1)).mean((1, 2))
    assert torch.allclose(share, 1 - torch.exp(-hazard[:, 0]), atol=0.008)
    assert share[0] == 0
    assert share[3] == 1


def test_step_of_zero_stays_and_times_may_differ_between_elements():
    path = AntipodalVMFPath(QuadraticKappa())
    x, z = so3.random_uniform((2, 6), generator=generator(2), dtype=torch.float64)
    h = torch.tensor([0.0, 0.1, 0.0, 0.2, 0.0, 0.3], dtype=torch.float64)
    t = torch.linspace(0, 0.6, 6, dtype=torch.float64)
    both = 0.5 * Flow(path) + 0.5 * Jump(path)
    moved = follow(both, Known(path, z), x, Fixed(torch.stack((t, t + h))), source=generator(3))
    assert torch.allclose(moved[::2], x[::2])
    assert ((moved[1::2] - x[1::2]).abs().amax((1, 2)) > 1e-3).all()


def test_transport_follows_quantiles():
    path, w = AntipodalVMFPath(QuadraticKappa()), torch.linspace(0.05, 3.1, 40, dtype=torch.float64)
    z = torch.eye(3, dtype=torch.float64).expand(40, 3, 3)
    x = so3.exp(torch.nn.functional.pad(w[:, None], (0, 2)))
    t, s = torch.tensor(0.05, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    arrived = so3.angle(path.transport(x, z, t, s, steps=256))
    before, after = (vmf.angle_cdf(a, path.schedule.kappa(b)) for a, b in ((w, t), (arrived, s)))
    assert (before - after).abs().max() < 2e-4


def test_streams_make_a_draw_independent_of_its_batch():
    path, t = AntipodalVMFPath(QuadraticKappa()), torch.tensor(0.4)
    z = so3.random_uniform((3, 7), generator=generator(4))
    together = path.sample(z, t, generator=Streams([5, 6, 7], [7, 7, 4]))
    alone = path.sample(z[2:, :4], t, generator=Streams([7], [4]))
    assert torch.equal(together[2, :4], alone[0])
    assert path.prior((2, 3), generator=Streams([1, 2], [3, 3])).shape == (2, 3, 3, 3)
