"""Time grids: increasing tensors of times, from 0 (noise) toward 1 (data)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from protgm.matching.kappa import KappaSchedule

__all__ = ["log_kappa", "log_remaining", "uniform"]


def _check(steps: int, start: float, end: float) -> None:
    if steps < 1 or not 0 <= start < end <= 1:
        raise ValueError(f"a time grid needs steps >= 1 and 0 <= start < end <= 1, got {steps}, {start} and {end}")


def uniform(steps: int, start: float = 0.0, end: float = 1.0) -> Tensor:
    """``steps`` equal steps, shape (steps + 1,), float64."""
    _check(steps, start, end)
    return torch.linspace(start, end, steps + 1, dtype=torch.float64)


def log_remaining(steps: int, start: float = 0.0, end: float = 0.999) -> Tensor:
    """Steps even in log(1 - t), right for CondOT and geodesic paths, shape (steps + 1,); ``end`` must be below 1."""
    _check(steps, start, end)
    if end >= 1:
        raise ValueError("log_remaining: end must be below 1, where log(1 - t) is infinite")
    times = 1 - torch.exp(torch.linspace(math.log1p(-start), math.log1p(-end), steps + 1, dtype=torch.float64))
    times[0], times[-1] = start, end
    return times


def log_kappa(schedule: KappaSchedule, steps: int, end: float = 1.0, first: float = 0.3) -> Tensor:
    """Steps even in log kappa, right for the antipodal vMF path, shape (steps + 1,).

    Parameters
    ----------
    schedule : KappaSchedule
    steps : int
    end : float
    first : float
        Concentration below which the law is as good as uniform: it is passed in steps even in kappa.
    """
    _check(steps, 0.0, end)
    top = schedule.kappa(torch.tensor(end, dtype=torch.float64))
    begin = schedule.kappa(torch.zeros((), dtype=torch.float64))
    # u = asinh(kappa / first) is linear in kappa below ``first`` and logarithmic above.
    u = torch.linspace(
        float(torch.asinh(begin / first)), float(torch.asinh(top / first)), steps + 1, dtype=torch.float64
    )
    times = schedule.inverse(first * torch.sinh(u))
    times[0], times[-1] = 0.0, end
    return times
