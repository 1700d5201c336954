"""Schedules of the concentration of the antipodal von Mises-Fisher path.

Kappa grows with t from nearly uniform to a point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["ExponentialKappa", "KappaSchedule", "QuadraticKappa"]


@runtime_checkable
class KappaSchedule(Protocol):
    """An increasing concentration kappa(t), t in [0, 1], elementwise."""

    def kappa(self, t: Tensor) -> Tensor:
        """Concentration at time t, shape (...)."""
        ...

    def derivative(self, t: Tensor) -> Tensor:
        """d kappa / dt, shape (...)."""
        ...

    def inverse(self, kappa: Tensor) -> Tensor:
        """The time at which the concentration is kappa, shape (...)."""
        ...


def _check(schedule: ExponentialKappa | QuadraticKappa, growth: float, name: str) -> None:
    if not growth > 0:
        raise ValueError(f"{type(schedule).__name__}: {name} must be positive, got {growth}")
    if not 0 < schedule.minimum < schedule.maximum:
        raise ValueError(
            f"{type(schedule).__name__}: need 0 < minimum < maximum, got {schedule.minimum} and {schedule.maximum}"
        )


@dataclass(frozen=True)
class ExponentialKappa:
    """``kappa = minimum + exp(rate t) - 1``; angles shrink like ``exp(-rate t / 2)``.

    Parameters
    ----------
    rate : float
        Growth per unit time; 20 is the rate-10 exponential rotation schedule of the literature.
    minimum : float
        Concentration at t = 0: 0.01 is uniform to 1e-5 in density.
    maximum : float
        Time stops where this is reached, so that nothing overflows.
    """

    rate: float = 20.0
    minimum: float = 0.01
    maximum: float = 1e9

    def __post_init__(self) -> None:
        _check(self, self.rate, "rate")

    def _clamp(self, t: Tensor) -> Tensor:
        return t.clamp(0.0, math.log1p(self.maximum - self.minimum) / self.rate)

    def kappa(self, t: Tensor) -> Tensor:
        """Concentration, shape (...)."""
        return self.minimum + torch.expm1(self.rate * self._clamp(t))

    def derivative(self, t: Tensor) -> Tensor:
        """d kappa / dt, shape (...)."""
        return self.rate * torch.exp(self.rate * self._clamp(t))

    def inverse(self, kappa: Tensor) -> Tensor:
        """Time of a concentration, shape (...)."""
        return torch.log1p((kappa - self.minimum).clamp_min(0)) / self.rate


@dataclass(frozen=True)
class QuadraticKappa:
    """``kappa = scale ((1 - t)^-2 - 1) + minimum``; angles shrink about like ``1 - t``, as on the geodesic path.

    Parameters
    ----------
    scale : float
    minimum : float
    maximum : float
        kappa is infinite at t = 1; time stops where this is reached (1e6: a typical angle of 0.2 degrees).
    """

    scale: float = 2.5
    minimum: float = 0.01
    maximum: float = 1e6

    def __post_init__(self) -> None:
        _check(self, self.scale, "scale")

    def _left(self, t: Tensor) -> Tensor:
        """1 - t, floored where kappa is the maximum."""
        return (1 - t).clamp(((self.maximum - self.minimum) / self.scale + 1) ** -0.5, 1.0)

    def kappa(self, t: Tensor) -> Tensor:
        """Concentration, shape (...)."""
        s = self._left(t)
        return self.scale * (1 - s) * (1 + s) / (s * s) + self.minimum

    def derivative(self, t: Tensor) -> Tensor:
        """d kappa / dt, shape (...)."""
        return 2 * self.scale / self._left(t) ** 3

    def inverse(self, kappa: Tensor) -> Tensor:
        """Time of a concentration, shape (...)."""
        return 1 - torch.rsqrt((kappa - self.minimum).clamp_min(0) / self.scale + 1)
