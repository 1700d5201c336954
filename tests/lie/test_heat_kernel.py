"""IGSO(3) against its character series, quadrature and draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from protgm.lie import angle_law, heat_kernel

TAUS = [0.05, 0.3, 1.0, 4.0, 16.0]


def series(w: torch.Tensor, tau: float, power: int = 0) -> torch.Tensor:
    """The defining sum over characters; with ``power`` 1 its derivative by tau.

    Slow, obvious, useless for tau below .01.
    """
    total = torch.zeros_like(w)
    for degree in range(100):
        weight = (2 * degree + 1) * math.exp(-degree * (degree + 1) * tau / 2) * (-degree * (degree + 1) / 2) ** power
        total = total + weight * torch.sin((degree + 0.5) * w) / torch.sin(w / 2)
    return total


@pytest.mark.parametrize("tau", TAUS)
def test_density_and_its_rate_are_those_of_the_series(tau):
    w, t = torch.linspace(0.01, math.pi, 200, dtype=torch.float64), torch.tensor(tau, dtype=torch.float64)
    p = series(w, tau)
    inside = p > 1e-7
    assert torch.allclose(heat_kernel.log_density(w, t).exp()[inside], p[inside], rtol=1e-6)
    rate = heat_kernel.time_rate(w, t) * p
    assert (rate - series(w, tau, 1)).abs().max() < 1e-6 * series(w, tau, 1).abs().max()


def test_score_is_the_derivative_of_the_log_density():
    w = torch.linspace(0.05, 3.1, 100, dtype=torch.float64, requires_grad=True)
    for tau in (1e-3, 0.1, 2.0, 20.0):
        t = torch.tensor(tau, dtype=torch.float64)
        (slope,) = torch.autograd.grad(heat_kernel.log_density(w, t).sum(), w)
        assert torch.allclose(heat_kernel.score(w, t), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("tau", [1e-5, 1e-3, *TAUS])
def test_density_integrates_to_one(tau):
    w = torch.linspace(0, min(math.pi, 9 * tau**0.5), 20_001, dtype=torch.float64)
    f = heat_kernel.angle_log_density(w, torch.tensor(tau, dtype=torch.float64)).exp()
    assert float(torch.trapezoid(f, w)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_have_the_law_for_one_time_and_for_many(dtype):
    g = torch.Generator().manual_seed(0)
    tau = torch.tensor(TAUS, dtype=dtype).repeat_interleave(10_000)
    angle = heat_kernel.sample(tau, generator=g).norm(dim=-1).double().reshape(5, -1)
    for row, t in zip(angle, TAUS, strict=True):
        w = torch.linspace(0, math.pi, 4001, dtype=torch.float64)
        f = heat_kernel.angle_log_density(w, torch.tensor(t, dtype=torch.float64)).exp().nan_to_num(0)
        cumulative = torch.nn.functional.pad(torch.cumulative_trapezoid(f, w), (1, 0)).numpy()
        assert kstest(row.numpy(), lambda v, w=w, c=cumulative: np.interp(v, w.numpy(), c)).statistic < 0.0165


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_is_finite_at_the_ends(dtype):
    w = torch.tensor([0.0, 1e-8, 1e-4, 1.0, math.pi], dtype=dtype)[:, None]
    tau = torch.tensor([1e-6, 1e-3, 1.0, 25.0], dtype=dtype)
    for function in (heat_kernel.log_density, heat_kernel.score, heat_kernel.time_rate):
        value = function(w, tau)
        assert value.isfinite().all()
        assert value.dtype == dtype


def test_inversion_of_a_known_law():
    parameter = torch.full((50_000,), 2.0, dtype=torch.float64)
    draws = angle_law.invert(
        lambda x, k: k * x, parameter, torch.ones_like(parameter), generator=torch.Generator().manual_seed(1)
    )
    assert kstest(draws.numpy(), lambda x: x**2).statistic < 0.0085
