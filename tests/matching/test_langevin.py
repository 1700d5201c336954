"""Metropolis-adjusted Langevin steps leave the law as it is, however long they are; the law itself is the test."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest, norm

from protgm.lie import so3, vmf
from protgm.matching.euclidean import GaussianPath
from protgm.matching.held import _langevin
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.langevin import metropolis_langevin
from protgm.matching.predictions import FiniteData
from protgm.matching.so3_paths import AntipodalVMFPath


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance(x: torch.Tensor, z: torch.Tensor, kappa: float) -> float:
    """Kolmogorov-Smirnov distance of the angles to z from the law of this concentration."""
    angle = so3.angle(so3.relative(x, z)).double().numpy()
    return kstest(angle, lambda w: vmf.angle_cdf(torch.from_numpy(w), torch.tensor(kappa).double()).numpy()).statistic


@pytest.mark.parametrize("kappa", [0.3, 3.0, 30.0])
def test_thirty_steps_keep_the_law_of_rotations(kappa):
    """Steps of a fifth to all of the kernel's width; chance exceeds the limit once in 1,000 times."""
    count, path = 20_000, AntipodalVMFPath(QuadraticKappa())
    t = path.schedule.inverse(torch.tensor(kappa))
    z = so3.exp(torch.tensor([0.4, -1.0, 0.8])).expand(count, 3, 3)
    for width in (0.2, 1.0):
        x, generator = path.sample(z, t, generator=source(1)), source(2)
        start, variance = x, torch.tensor(width**2 * 4 / (kappa + 4))
        for _ in range(30):
            x = metropolis_langevin(path, x, z, t, variance / 2, variance.sqrt(), source=generator)
        assert distance(x, z, kappa) < 1.95 / count**0.5
        moved = so3.angle(so3.relative(start, x)).mean() / so3.angle(so3.relative(start, z)).mean()
        assert float(moved) > 0.6  # they did move


@pytest.mark.parametrize("kappa", [1.0, 3.0, 10.0])
def test_the_sampler_s_step_keeps_the_law_near_kappa_three(kappa):
    """Thirty times the Langevin part of a step of one unit of log kappa."""
    count, path = 20_000, AntipodalVMFPath(QuadraticKappa())
    begin, end = (path.schedule.inverse(torch.tensor(k)) for k in (kappa / 2.718, kappa))
    z = so3.exp(torch.tensor([0.4, -1.0, 0.8])).expand(count, 3, 3)
    x, generator = path.sample(z, end, generator=source(8)), source(9)
    for _ in range(30):
        x = _langevin(path, x, z, begin, end, 1.0, 1.0, generator)
    assert distance(x, z, kappa) < 1.95 / count**0.5


def test_a_narrower_law_at_a_lower_temperature():
    """On the line, ``p^(1/T^2)`` of a normal law has T times its width."""
    path, t, count = GaussianPath(), torch.tensor(0.4).double(), 20_000
    z = torch.tensor([0.8]).double().expand(count, 1)
    x, generator = path.sample(z, t, generator=source(3)), source(4)
    step = torch.tensor(0.09).double()
    for _ in range(60):
        x = metropolis_langevin(path, x, z, t, step / 2, step.sqrt(), temperature=0.5, source=generator)
    assert kstest(x[:, 0].numpy(), norm(0.32, 0.3).cdf).pvalue > 1e-3


def test_with_draws_from_the_posterior_the_marginal_law_is_kept():
    path, count = AntipodalVMFPath(QuadraticKappa()), 20_000
    modes = so3.exp(torch.tensor([[0.0, 0, 0], [1.6, 0, 0], [0, 2.0, 1.0]]))
    predict, t = FiniteData(path, modes, torch.tensor([0.5, 0.3, 0.2])), torch.tensor(0.5)
    chosen = torch.multinomial(predict.weights, count, replacement=True, generator=source(5))
    x, generator = path.sample(modes[chosen], t, generator=source(6)), source(7)
    before = [so3.angle(so3.relative(x, m.expand_as(x))) for m in modes]
    step = torch.tensor(0.3)
    for _ in range(20):
        z = predict(x, t).draw(generator=generator)
        x = metropolis_langevin(path, x, z, t, step / 2, step.sqrt(), source=generator)
    for mode, angle in zip(modes, before, strict=True):
        after = so3.angle(so3.relative(x, mode.expand_as(x)))
        assert kstest(after.numpy(), angle.numpy()).pvalue > 1e-3
