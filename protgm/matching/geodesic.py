"""Geodesic paths: straight lines of a manifold, ``x_t`` on the way from a noise point to z.

On SO(3) with density and boundary jump.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from protgm.lie import angle_law, so3
from protgm.matching.clocks import Clock, LinearClock
from protgm.matching.spaces import Rotations, Space, check_time, expand
from protgm.streams import Source

__all__ = ["GeodesicPath", "RotationGeodesicPath"]

_FLOOR = 1e-6


@dataclass(frozen=True)
class GeodesicPath:
    """``x_t = exp_z((1 - kappa) log_z(x_0))`` on any space (Chen and Lipman 2024): a flow, no density in general.

    Parameters
    ----------
    space : Space
    source : callable
        ``source(shape, generator=...)`` draws noise points of batch shape ``shape``.
    clock : Clock
    """

    space: Space
    source: Callable[..., Tensor]
    clock: Clock = field(default_factory=LinearClock)

    def prior(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Draws of the source, shape (*shape, *event)."""
        return self.source(shape, generator=generator)

    def sample(self, z: Tensor, t: Tensor, *, noise: Tensor | None = None, generator: Source = None) -> Tensor:
        """Draw ``x_t`` given z, on the geodesic from ``noise`` (drawn where not given), shape (..., *event)."""
        check_time(z, self.space.event_dim, t)
        if noise is None:
            noise = self.prior(z.shape[: z.dim() - self.space.event_dim], generator=generator).to(z)
        left = expand(1 - self.clock.at(t), self.space.tangent_dim)
        return self.space.move(z, left * self.space.toward(z, noise))

    @property
    def coupled_targets(self) -> frozenset[str]:
        """The velocity, which both ends determine."""
        return frozenset({"velocity", "clean"})

    def velocity_scale(self, t: Tensor) -> Tensor:
        """``kappa' / (1 - kappa)``: over it the velocity is ``log_x(z)``, of order one at every t; shape (...)."""
        return self.clock.derivative(t) / (1 - self.clock.at(t)).clamp_min(_FLOOR)

    def velocity(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``kappa' log_x(z) / (1 - kappa)``, a tangent at x."""
        return expand(self.velocity_scale(t), self.space.tangent_dim) * self.space.toward(x, z)


@dataclass(frozen=True)
class RotationGeodesicPath:
    """Geodesics of SO(3) from uniform noise (the path of FrameFlow), with ``s = 1 - kappa(t)``.

    The angle to z has density ``(1 - cos(w / s)) / (pi s)`` on [0, pi s]. Inside, the density only grows: all mass that
    has to leave sits on the shrinking boundary, so the jump is singular. It can be simulated exactly (hold still until
    ``pi s`` sweeps past w, then land at ``s u'`` with distribution function ``u (1 - cos u) / (2 pi)``) but it has no
    rate to regress.

    Parameters
    ----------
    clock : Clock
    """

    clock: Clock = field(default_factory=LinearClock)

    @property
    def space(self) -> Rotations:
        """SO(3)."""
        return Rotations()

    def _left(self, t: Tensor) -> Tensor:
        return (1 - self.clock.at(t)).clamp_min(_FLOOR)

    def _angle(self, x: Tensor, z: Tensor) -> Tensor:
        return so3.angle(so3.relative(x, z))

    def prior(self, shape: Sequence[int], *, generator: Source = None, dtype: torch.dtype | None = None) -> Tensor:
        """Uniform rotations, shape (*shape, 3, 3)."""
        return so3.random_uniform(shape, generator=generator, dtype=dtype)

    def sample(self, z: Tensor, t: Tensor, *, noise: Tensor | None = None, generator: Source = None) -> Tensor:
        """Draw ``x_t`` given z, shape (..., 3, 3)."""
        check_time(z, 2, t)
        if noise is None:
            noise = self.prior(z.shape[:-2], generator=generator, dtype=z.dtype).to(z.device)
        return z @ so3.exp(self._left(t).unsqueeze(-1) * so3.log(so3.relative(z, noise)))

    def angle_cdf(self, angle: Tensor, t: Tensor) -> Tensor:
        """``(u - sin u) / pi`` at ``u = w / s``, shape (...)."""
        u = (angle / self._left(t)).clamp_max(math.pi)
        return (u - torch.sin(u)) / math.pi

    def log_density(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density with respect to normalised Haar measure, -inf beyond the boundary, shape (...)."""
        s, w = self._left(t), self._angle(x, z).clamp_min(1e-6)
        u = w / s
        inside = torch.log(torch.sin(u / 2).square() / torch.sin(w / 2).square()) - torch.log(s)
        return torch.where(u <= math.pi, inside, -math.inf)

    @property
    def coupled_targets(self) -> frozenset[str]:
        """The velocity, which both ends determine."""
        return frozenset({"velocity", "clean"})

    def velocity_scale(self, t: Tensor) -> Tensor:
        """``kappa' / (1 - kappa)``: over it the velocity is ``log(x^T z)``, of order one at every t; shape (...)."""
        return self.clock.derivative(t) / self._left(t)

    def velocity(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``kappa' log(x^T z) / (1 - kappa)``, shape (..., 3)."""
        return self.velocity_scale(t).unsqueeze(-1) * so3.log(so3.relative(x, z))

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Infinite where the boundary passes x during the step, else 0, shape (...)."""
        passed = self._angle(x, z) > math.pi * self._left(t + h)
        return torch.where(passed, torch.inf, 0.0).to(x.dtype)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a jump at time t lands, shape (..., 3, 3)."""
        s = self._left(t).expand(z.shape[:-2])
        # u (1 - cos u) has the density 1 - cos u + u sin u; all elements share it.
        u = angle_law.invert(
            lambda v, _: 1 - torch.cos(v) + v * torch.sin(v),
            torch.zeros_like(s),
            torch.full_like(s, math.pi),
            generator=generator,
        )
        return z @ so3.exp(angle_law.on_random_axis(s * u, generator=generator))
