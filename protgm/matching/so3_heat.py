"""The heat-kernel (IGSO(3)) path on rotations.

Brownian motion run backward in time, with its flow, score and jump in closed form.

Shapes as in so3_paths.py: rotations ``(..., 3, 3)``, times ``(...)``, body-frame tangents ``(..., 3)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.lie import heat_kernel, so3
from protgm.matching.spaces import Rotations, check_time
from protgm.streams import Source

__all__ = ["HeatKernelPath"]

_NODES = 4


@dataclass(frozen=True)
class HeatKernelPath:
    """``x_t = z exp(v)``, exp(v) from IGSO(3) at diffusion time ``tau(t)``, which falls geometrically.

    Parameters
    ----------
    start : float
        Diffusion time at t = 0; at 16 the law is uniform to 1e-6.
    end : float
        Diffusion time at t = 1: 1e-4 is a typical angle of one degree.

    Raises
    ------
    ValueError
        If not ``0 < end < start <= 25``.
    """

    start: float = 16.0
    end: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 < self.end < self.start <= heat_kernel.TAU_MAX:
            raise ValueError(
                f"HeatKernelPath: need 0 < end < start <= {heat_kernel.TAU_MAX:g}, "
                f"got end {self.end} and start {self.start}"
            )

    @property
    def space(self) -> Rotations:
        """SO(3)."""
        return Rotations()

    def tau(self, t: Tensor) -> Tensor:
        """Diffusion time, shape (...)."""
        return self.start * torch.exp(-math.log(self.start / self.end) * t)

    def tau_derivative(self, t: Tensor) -> Tensor:
        """d tau / dt, negative, shape (...)."""
        return -math.log(self.start / self.end) * self.tau(t)

    def _angle(self, x: Tensor, z: Tensor) -> Tensor:
        return so3.angle(so3.relative(x, z))

    def prior(self, shape: Sequence[int], *, generator: Source = None, dtype: torch.dtype | None = None) -> Tensor:
        """Uniform rotations, shape (*shape, 3, 3)."""
        return so3.random_uniform(shape, generator=generator, dtype=dtype)

    def sample(self, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Draw ``x_t`` given the clean rotation, shape (..., 3, 3)."""
        check_time(z, 2, t)
        return z @ so3.exp(heat_kernel.sample(self.tau(t).expand(z.shape[:-2]), generator=generator))

    def log_density(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of ``x_t`` given z with respect to normalised Haar measure, shape (...)."""
        return heat_kernel.log_density(self._angle(x, z), self.tau(t))

    def log_density_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d log p / dt``, shape (...)."""
        return self.tau_derivative(t) * heat_kernel.time_rate(self._angle(x, z), self.tau(t))

    def score(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Gradient of the log density, a tangent (..., 3)."""
        toward = so3.log(so3.relative(x, z))
        angle = torch.linalg.vector_norm(toward, dim=-1)
        length = -heat_kernel.score(angle, self.tau(t))
        out: Tensor = toward * (length / angle.clamp_min(1e-12)).unsqueeze(-1)
        return out

    def velocity(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Velocity of the probability flow, ``(|tau'| / 2) grad log p``, shape (..., 3)."""
        return 0.5 * self.tau_derivative(t).abs().unsqueeze(-1) * self.score(x, z, t)

    def reverse_noise(self, t: Tensor) -> Tensor:
        """g of the exact time reversal of the Brownian motion, ``sqrt(|tau'|)``, shape (...)."""
        return torch.sqrt(self.tau_derivative(t).abs())

    def jump_rate(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``lambda = [-d log p / dt]_+``, shape (...), per unit time."""
        return (-self.log_density_derivative(x, z, t)).clamp_min(0)

    def _integrate(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor, sign: float) -> Tensor:
        angle = self._angle(x, z)
        total = torch.zeros_like(angle)
        for i in range(_NODES):
            time = t + h * ((i + 0.5) / _NODES)
            total = total + (sign * self.tau_derivative(time) * heat_kernel.time_rate(angle, self.tau(time))).clamp_min(
                0
            )
        return total / _NODES * h

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """The jump rate integrated over [t, t + h] at a fixed x (midpoint rule), shape (...)."""
        return self._integrate(x, z, t, h, -1.0)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a jump at time t lands, shape (..., 3, 3)."""
        tau = self.tau(t).expand(z.shape[:-2])
        return z @ so3.exp(heat_kernel.sample_destination(tau, generator=generator))

    def destination_log_density(self, y: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of where a jump at time t lands, with respect to normalised Haar measure, shape (...).

        -inf where none does.
        """
        return heat_kernel.destination_log_density(self._angle(y, z), self.tau(t))

    def reverse_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integral of ``[d log p / dt]_+``, the rate of the jump that runs the path backward, shape (...)."""
        return self._integrate(x, z, t, h, 1.0)

    def sample_reverse_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a backward jump lands, shape (..., 3, 3)."""
        tau = self.tau(t).expand(z.shape[:-2])
        return z @ so3.exp(heat_kernel.sample_destination(tau, backward=True, generator=generator))
