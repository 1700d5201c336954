"""The antipodal von Mises-Fisher path on rotations: one path, its flow, its score and its jump, all in closed form.

Shapes: rotations ``(..., 3, 3)``, times ``(...)`` (a field: one time for each rotation), tangents ``(..., 3)`` in the
body frame, so that a tangent ``u`` moves ``x`` to ``x @ so3.exp(h * u)``. ``w`` is the angle between ``x`` and ``z``,
``c = cos(w / 2)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from protgm.lie import angle_law, so3, vmf
from protgm.matching.kappa import ExponentialKappa, KappaSchedule
from protgm.matching.spaces import Rotations, check_time
from protgm.streams import Source

__all__ = ["AntipodalVMFPath"]

_TINY = 1e-12


def _moving(sign: float, w: Tensor, kappa: Tensor) -> Tensor:
    """Mass that arrives (sign 1) or leaves (-1) at an angle while kappa grows, by d angle."""
    return (sign * vmf.density_rate(w, kappa)).clamp_min(0) * torch.exp(vmf.angle_log_density(w, kappa))


def _top(kappa: Tensor) -> Tensor:
    """An angle beyond which nothing of the law is left."""
    return (16 / torch.sqrt(kappa)).clamp_max(torch.pi)


@dataclass(frozen=True)
class AntipodalVMFPath:
    """``x_t = z exp(v)``, where exp(v) is drawn from the antipodal vMF law of concentration kappa(t).

    Parameters
    ----------
    schedule : KappaSchedule
        Concentration against time.

    Notes
    -----
    The law's radial flow, jump and score share this path, so any convex combination of them (weights that may depend
    on t) generates it too. Large angles at large kappa, where the law has no mass, stay finite in float32.
    """

    schedule: KappaSchedule = field(default_factory=ExponentialKappa)

    @property
    def space(self) -> Rotations:
        """SO(3)."""
        return Rotations()

    def _angle(self, x: Tensor, z: Tensor) -> Tensor:
        return so3.angle(so3.relative(x, z))

    def _kappa(self, t: Tensor, z: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Concentration, and the batch shape it still lacks: a single time is kept single, which is cheaper."""
        kappa = self.schedule.kappa(t)
        return (kappa, tuple(z.shape[:-2])) if kappa.dim() == 0 else (kappa.expand(z.shape[:-2]), ())

    def prior(
        self,
        shape: Sequence[int],
        *,
        generator: Source = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draws from the source, uniform rotations, shape (*shape, 3, 3)."""
        return so3.random_uniform(shape, generator=generator, dtype=dtype, device=device)

    def sample(self, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Draw ``x_t`` given the clean rotation.

        Parameters
        ----------
        z : Tensor, shape (..., 3, 3)
        t : Tensor, shape (...)

        Returns
        -------
        Tensor, shape (..., 3, 3)
        """
        check_time(z, 2, t)
        kappa, shape = self._kappa(t, z)
        return z @ so3.exp(vmf.sample(kappa, shape=shape, generator=generator))

    def log_density(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of ``x_t`` given z, with respect to normalised Haar measure, shape (...)."""
        return vmf.log_density(self._angle(x, z), self.schedule.kappa(t))

    def log_density_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d log p / dt = kappa' (c tanh(kappa c) - A(kappa))``, shape (...)."""
        return self.schedule.derivative(t) * vmf.density_rate(self._angle(x, z), self.schedule.kappa(t))

    def velocity(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Velocity of the conditional flow, toward z along the geodesic.

        Parameters
        ----------
        x, z : Tensor, shape (..., 3, 3)
        t : Tensor, shape (...)

        Returns
        -------
        Tensor, shape (..., 3)
            Body-frame tangent in radians per unit time.
        """
        toward = so3.log(so3.relative(x, z))
        angle = torch.linalg.vector_norm(toward, dim=-1)
        speed = self.schedule.derivative(t) * vmf.flow_speed(angle, self.schedule.kappa(t))
        out: Tensor = toward * (speed / angle.clamp_min(_TINY)).unsqueeze(-1)
        return out

    def velocity_scale(self, t: Tensor) -> Tensor:
        """What to divide the velocity by to get a target of order one at every t, shape (...).

        ``kappa' A(kappa) tanh(kappa) / (2 kappa)``: for large kappa the quotient is the logarithm ``log(x^T z)``
        itself.
        """
        kappa = self.schedule.kappa(t)
        return self.schedule.derivative(t) * vmf.ratio(kappa) * torch.tanh(kappa) / (2 * kappa)

    def transport(self, x: Tensor, z: Tensor, t: Tensor, s: Tensor, *, steps: int = 8) -> Tensor:
        """Follow the conditional flow from time t to time s (midpoint rule, ``steps`` steps even in log kappa).

        Parameters
        ----------
        x, z : Tensor, shape (..., 3, 3)
        t, s : Tensor, shape (...)

        Returns
        -------
        Tensor, shape (..., 3, 3)
        """
        vector = so3.log(so3.relative(z, x))
        start = torch.linalg.vector_norm(vector, dim=-1)
        begin, end = torch.log(self.schedule.kappa(t)), torch.log(self.schedule.kappa(s))
        angle = start
        for i in range(steps):
            first, half = (
                torch.exp(begin + (end - begin) * i / steps),
                torch.exp(begin + (end - begin) * (i + 0.5) / steps),
            )
            width = (end - begin) / steps
            middle = angle - 0.5 * width * first * vmf.flow_speed(angle, first)
            angle = (angle - width * half * vmf.flow_speed(middle, half)).clamp_min(0)
        return z @ so3.exp(vector * (angle / start.clamp_min(_TINY)).unsqueeze(-1))

    def score(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Gradient of the log density: toward z, of length ``(kappa/2) sin(w/2) tanh(kappa c)``, shape (..., 3)."""
        toward = so3.log(so3.relative(x, z))
        angle = torch.linalg.vector_norm(toward, dim=-1)
        length = -vmf.score(angle, self.schedule.kappa(t))
        out: Tensor = toward * (length / angle.clamp_min(_TINY)).unsqueeze(-1)
        return out

    def gentle_noise(self, t: Tensor) -> Tensor:
        """g of a diffusion that turns the kernel over about once per unit of log kappa at every t, shape (...)."""
        kappa = self.schedule.kappa(t)
        return torch.sqrt(self.schedule.derivative(t) / kappa * 4 / (kappa + 4))

    def jump_rate(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``lambda = [-d log p / dt]_+``: only rotations far from z, for their time, jump.

        Shape (...), per unit time.
        """
        return (-self.log_density_derivative(x, z, t)).clamp_min(0)

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """The jump rate integrated over [t, t + h] at a fixed x, exactly.

        The rate is ``-d log p / dt`` once ``kappa`` has passed `vmf.crossing_kappa`, so its integral is a difference of
        log densities.

        Parameters
        ----------
        x, z : Tensor, shape (..., 3, 3)
        t, h : Tensor, shape (...)

        Returns
        -------
        Tensor, shape (...)
            Non-negative; the probability of a jump is ``1 - exp(-hazard)``.
        """
        angle = self._angle(x, z)
        end = self.schedule.kappa(t + h).expand_as(angle)
        start = torch.minimum(torch.maximum(self.schedule.kappa(t).expand_as(angle), vmf.crossing_kappa(angle)), end)
        return (vmf.log_density(angle, start) - vmf.log_density(angle, end)).clamp_min(0)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a jump at time t lands: near z, wherever it starts. Shape (..., 3, 3)."""
        kappa, shape = self._kappa(t, z)
        return z @ so3.exp(vmf.sample_destination(kappa, shape=shape, generator=generator))

    def destination_log_density(self, y: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of where a jump at time t lands, with respect to normalised Haar measure, shape (...).

        -inf where none does.
        """
        angle, kappa = self._angle(y, z), self.schedule.kappa(t)
        growth = torch.log(vmf.density_rate(angle, kappa).clamp_min(0))
        return (
            growth
            + vmf.log_density(angle, kappa)
            - torch.log(angle_law.mass(partial(_moving, 1.0), kappa, _top(kappa)))
        )

    def reverse_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integral of ``[d log p / dt]_+``, the rate of the jump that runs the path backward, shape (...)."""
        gain = self.log_density(x, z, t + h) - self.log_density(x, z, t)
        return (gain + self.hazard(x, z, t, h)).clamp_min(0)

    def sample_reverse_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a backward jump lands, ``J ~ [-dp/dt]_+``, shape (..., 3, 3)."""
        kappa = self.schedule.kappa(t).expand(z.shape[:-2])
        angle = angle_law.invert(partial(_moving, -1.0), kappa, _top(kappa), generator=generator)
        return z @ so3.exp(angle_law.on_random_axis(angle, generator=generator))
