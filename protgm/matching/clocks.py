"""Clocks: how much of the way, from 0 to 1, a mixture, masking or geodesic path has gone at time t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["Clock", "LinearClock", "PowerClock"]


@runtime_checkable
class Clock(Protocol):
    """An increasing function from [0, 1] onto [0, 1], elementwise."""

    def at(self, t: Tensor) -> Tensor:
        """kappa(t), shape (...)."""
        ...

    def derivative(self, t: Tensor) -> Tensor:
        """d kappa / dt, shape (...)."""
        ...


@dataclass(frozen=True)
class LinearClock:
    """``kappa = t``."""

    def at(self, t: Tensor) -> Tensor:
        """t, shape (...)."""
        return t

    def derivative(self, t: Tensor) -> Tensor:
        """1, shape (...)."""
        return torch.ones_like(t)


@dataclass(frozen=True)
class PowerClock:
    """``kappa = t^power``.

    Parameters
    ----------
    power : float
        At least 1: the clock may not start with infinite speed.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        if not self.power >= 1:
            raise ValueError(f"PowerClock: power must be at least 1, got {self.power}")

    def at(self, t: Tensor) -> Tensor:
        """t^power, shape (...)."""
        return t**self.power

    def derivative(self, t: Tensor) -> Tensor:
        """power t^(power - 1), shape (...)."""
        return self.power * t ** (self.power - 1)
