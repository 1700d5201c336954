"""The mixture path on any space.

Stay at the noise point, then be at the data, ``p_t = kappa delta_z + (1 - kappa) p_0``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from protgm.matching.clocks import Clock, LinearClock
from protgm.matching.spaces import Categorical, Space, check_time, expand
from protgm.streams import Source, rand

__all__ = ["MixturePath", "clock_hazard", "clock_rate"]


def clock_rate(clock: Clock, t: Tensor) -> Tensor:
    """``kappa' / (1 - kappa)``, shape (...)."""
    return clock.derivative(t) / (1 - clock.at(t)).clamp_min(1e-6)


def clock_hazard(clock: Clock, t: Tensor, h: Tensor) -> Tensor:
    """Integral of ``kappa' / (1 - kappa)`` over [t, t + h], shape (...); infinite when kappa reaches 1."""
    return torch.log((1 - clock.at(t)).clamp_min(1e-30)) - torch.log((1 - clock.at(t + h)).clamp_min(1e-38))


@dataclass(frozen=True)
class MixturePath:
    """A path of pure jumps: rate ``kappa'/(1 - kappa)`` until the point is z, destination z.

    Equation 8 of Holderrieth et al. 2024.

    Parameters
    ----------
    space : Space or Categorical
    source : callable
        ``source(shape, generator=...)`` draws noise points of batch shape ``shape``.
    clock : Clock
    """

    space: Space | Categorical
    source: Callable[..., Tensor]
    clock: Clock = field(default_factory=LinearClock)

    def prior(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Draws of the source, shape (*shape, *event)."""
        return self.source(shape, generator=generator)

    @property
    def coupled_targets(self) -> frozenset[str]:
        """The rate and what it aims at: the point stays at its noise, whichever that is, until it is z."""
        return frozenset({"rate", "clean"})

    def sample(self, z: Tensor, t: Tensor, *, noise: Tensor | None = None, generator: Source = None) -> Tensor:
        """z with probability kappa(t), else the noise, a draw of the source where not given; shape (..., *event)."""
        check_time(z, self.space.event_dim, t)
        batch = z.shape[: z.dim() - self.space.event_dim]
        if noise is None:
            noise = self.prior(batch, generator=generator).to(z)
        arrived = rand(batch, generator, device=z.device) < self.clock.at(t)
        return torch.where(expand(arrived, self.space.event_dim), z, noise)

    def _elsewhere(self, x: Tensor, z: Tensor) -> Tensor:
        other = x != z
        return other.flatten(-self.space.event_dim).any(-1) if self.space.event_dim else other

    def jump_rate(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``kappa' / (1 - kappa)`` where x is not z yet, shape (...)."""
        return self._elsewhere(x, z) * clock_rate(self.clock, t)

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """The rate integrated over [t, t + h], exactly: the survival probability is a quotient of ``1 - kappa``.

        Shape (...).
        """
        return torch.where(self._elsewhere(x, z), clock_hazard(self.clock, t, h), 0.0)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """z, shape (..., *event)."""
        return z
