"""Schedules of the concentration.

Increasing, with the stated derivative and inverse, finite at both ends in float32.
"""

from __future__ import annotations

import pytest
import torch

from protgm.matching.kappa import ExponentialKappa, KappaSchedule, QuadraticKappa

SCHEDULES = [ExponentialKappa(), ExponentialKappa(rate=3.0), QuadraticKappa(), QuadraticKappa(scale=1.0, maximum=1e5)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_derivative_and_inverse(schedule):
    t = torch.linspace(0, 0.95, 96, dtype=torch.float64, requires_grad=True)
    kappa = schedule.kappa(t)
    (slope,) = torch.autograd.grad(kappa.sum(), t)
    assert torch.allclose(schedule.derivative(t), slope)
    assert torch.allclose(schedule.inverse(kappa), t)
    assert (kappa.diff() > 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends_are_safe(schedule, dtype):
    t = torch.tensor([0.0, 1e-9, 0.999, 1 - 1e-7, 1.0, 1.0001], dtype=dtype)
    kappa, slope = schedule.kappa(t), schedule.derivative(t)
    assert kappa.isfinite().all()
    assert slope.isfinite().all()
    assert (slope > 0).all()
    assert kappa[0].item() == pytest.approx(schedule.minimum)
    assert kappa.max() <= schedule.maximum * (1 + 1e-5)
    assert isinstance(schedule, KappaSchedule)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExponentialKappa(rate=0), "rate must be positive"),
        (lambda: QuadraticKappa(scale=-1), "scale must be positive"),
        (lambda: QuadraticKappa(minimum=2.0, maximum=1.0), "minimum < maximum"),
    ],
)
def test_impossible_schedules_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
