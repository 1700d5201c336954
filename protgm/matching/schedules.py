"""Schedules alpha(t), sigma(t) of Gaussian paths ``x_t = alpha z + sigma x_0``; t = 0 is noise, t = 1 is data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["CondOT", "Cosine", "Polynomial", "Schedule", "VarianceExploding", "VariancePreserving"]


@runtime_checkable
class Schedule(Protocol):
    """alpha(t), sigma(t) and their derivatives, elementwise on [0, 1]."""

    def alpha(self, t: Tensor) -> Tensor:
        """Weight of the data, shape (...)."""
        ...

    def sigma(self, t: Tensor) -> Tensor:
        """Weight of the noise, shape (...)."""
        ...

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """d alpha / dt, shape (...)."""
        ...

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """d sigma / dt, shape (...)."""
        ...


@dataclass(frozen=True)
class CondOT:
    """Straight lines: ``alpha = t``, ``sigma = 1 - t`` (Lipman et al. 2023)."""

    def alpha(self, t: Tensor) -> Tensor:
        """Weight of the data, shape (...)."""
        return t

    def sigma(self, t: Tensor) -> Tensor:
        """Weight of the noise, shape (...)."""
        return 1 - t

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """1, shape (...)."""
        return torch.ones_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """-1, shape (...)."""
        return -torch.ones_like(t)


@dataclass(frozen=True)
class Polynomial:
    """``alpha = t^n``, ``sigma = 1 - t^n``: CondOT run on another clock."""

    power: float = 2.0

    def __post_init__(self) -> None:
        if not self.power >= 1:
            raise ValueError(f"Polynomial: power must be at least 1, got {self.power}")

    def alpha(self, t: Tensor) -> Tensor:
        """Weight of the data, shape (...)."""
        return t**self.power

    def sigma(self, t: Tensor) -> Tensor:
        """Weight of the noise, shape (...)."""
        return 1 - t**self.power

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """n t^(n-1), shape (...)."""
        return self.power * t ** (self.power - 1)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """-n t^(n-1), shape (...)."""
        return -self.alpha_derivative(t)


@dataclass(frozen=True)
class Cosine:
    """``alpha = sin(pi t / 2)``, ``sigma = cos(pi t / 2)``: variance-preserving along a quarter circle."""

    def alpha(self, t: Tensor) -> Tensor:
        """Weight of the data, shape (...)."""
        return torch.sin(math.pi / 2 * t)

    def sigma(self, t: Tensor) -> Tensor:
        """Weight of the noise, shape (...)."""
        return torch.cos(math.pi / 2 * t).clamp_min(0)  # rounding leaves less than nothing at t = 1

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """d alpha / dt, shape (...)."""
        return math.pi / 2 * torch.cos(math.pi / 2 * t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """d sigma / dt, shape (...)."""
        return -math.pi / 2 * torch.sin(math.pi / 2 * t)


@dataclass(frozen=True)
class VariancePreserving:
    """``alpha = exp(-T/2)``, ``sigma^2 = 1 - alpha^2`` with ``T = int beta`` from data to t (Song et al. 2021, eq. 33).

    Parameters
    ----------
    beta_min, beta_max : float
        beta at the data and at the noise end.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def _integral(self, t: Tensor) -> Tensor:
        s = 1 - t
        return s * self.beta_min + 0.5 * s * s * (self.beta_max - self.beta_min)

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + (1 - t) * (self.beta_max - self.beta_min)

    def alpha(self, t: Tensor) -> Tensor:
        """Weight of the data, shape (...)."""
        return torch.exp(-0.5 * self._integral(t))

    def sigma(self, t: Tensor) -> Tensor:
        """Weight of the noise, shape (...)."""
        return torch.sqrt(-torch.expm1(-self._integral(t)))

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """d alpha / dt, shape (...)."""
        return 0.5 * self._beta(t) * self.alpha(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """d sigma / dt, shape (...); infinite at t = 1, where sigma is 0, and floored there."""
        return -0.5 * self._beta(t) * torch.exp(-self._integral(t)) / self.sigma(t).clamp_min(1e-5)


@dataclass(frozen=True)
class VarianceExploding:
    """``alpha = 1``, ``sigma = sigma_max (sigma_min / sigma_max)^t`` (Song et al. 2021, eq. 31).

    Parameters
    ----------
    sigma_min, sigma_max : float
        Noise at the data end (the residual blur) and at the noise end.
    """

    sigma_min: float = 0.01
    sigma_max: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(
                f"VarianceExploding: need 0 < sigma_min < sigma_max, got {self.sigma_min}, {self.sigma_max}"
            )

    def alpha(self, t: Tensor) -> Tensor:
        """1, shape (...)."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """Weight of the noise, shape (...)."""
        return self.sigma_max * torch.exp(t * math.log(self.sigma_min / self.sigma_max))

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """0, shape (...)."""
        return torch.zeros_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """d sigma / dt, shape (...)."""
        return math.log(self.sigma_min / self.sigma_max) * self.sigma(t)
