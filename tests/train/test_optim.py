"""Learning-rate schedule and weight averaging."""

from __future__ import annotations

import pytest
import torch

from protgm.train.optim import EMA, Schedule


def test_the_rate_warms_up_stays_and_falls_to_zero():
    schedule = Schedule(peak=1e-3, warmup_steps=100, decay_share=0.4)
    assert schedule.rate(0, 0.0) == pytest.approx(1e-5)
    assert schedule.rate(99, 0.01) == pytest.approx(1e-3)
    assert schedule.rate(5000, 0.6) == pytest.approx(1e-3)
    assert schedule.rate(7000, 0.8) == pytest.approx(5e-4)
    assert schedule.rate(9999, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert Schedule(decay_share=0.0, warmup_steps=1).rate(10, 1.0) == Schedule().peak


def test_the_average_follows_its_recursion():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    ema = EMA(model, decay=0.9)
    expected = model.weight.detach().clone()
    for n in range(1, 40):
        with torch.no_grad():
            model.weight.add_(torch.randn_like(model.weight))
        ema.update(model)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    other = torch.nn.Linear(3, 2)
    ema.copy_to(other)
    torch.testing.assert_close(other.weight.detach(), expected, atol=1e-5, rtol=1e-5)
