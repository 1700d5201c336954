"""Gaussian paths on R^d.

``x_t = alpha(t) z + sigma(t) x_0`` with ``x_0 ~ N(0, 1)``, and the exact changes between predictions.

Shapes: points ``(..., d)``, times ``(...)`` (a field: one time for each point), which are broadcast over the last
dimension. Velocity ``u``, score ``s``, noise ``e`` (= x_0) and clean data ``z`` are affine in each other given ``x_t``
and t (Lipman et al. 2024, table 1); their posterior means therefore are too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from protgm.lie.points import centre
from protgm.matching import gaussian_jump
from protgm.matching.schedules import CondOT, Schedule
from protgm.matching.spaces import CentredPoints, Euclidean, check_time
from protgm.streams import Source, randn

__all__ = ["GaussianPath", "centre"]


@dataclass(frozen=True)
class GaussianPath:
    """A Gaussian conditional path on R^d.

    Parameters
    ----------
    schedule : Schedule
        alpha(t) and sigma(t); CondOT by default: ``x_t = t z + (1 - t) x_0``.
    scale : float
        Standard deviation of the prior per coordinate, in the units of x.
    floor : float
        ``sigma`` and ``alpha`` are kept above this in denominators, so that t = 0 and t = 1 stay finite.
    space : Euclidean or CentredPoints
        Where points live; on centred point sets (..., N, 3) each point has its own time, the noise has no centre of
        mass.
    """

    schedule: Schedule = field(default_factory=CondOT)
    scale: float = 1.0
    floor: float = 1e-5
    space: Euclidean | CentredPoints = field(default_factory=Euclidean)

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"GaussianPath: scale must be positive, got {self.scale}")

    def _at(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha, sigma and their derivatives with the prior's scale taken in, each shape (..., 1)."""
        t = t.unsqueeze(-1)
        s = self.schedule
        return s.alpha(t), s.sigma(t) * self.scale, s.alpha_derivative(t), s.sigma_derivative(t) * self.scale

    def prior(
        self,
        shape: Sequence[int],
        *,
        generator: Source = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draws from the law at t = 0 (of noise alone), shape ``shape``."""
        noise = randn(shape, generator, dtype=dtype, device=device)
        if isinstance(self.space, CentredPoints):
            noise = self.space.project(noise)
        return noise * self.scale * float(self.schedule.sigma(torch.zeros((), dtype=torch.float64)))

    def sample(self, z: Tensor, t: Tensor, *, noise: Tensor | None = None, generator: Source = None) -> Tensor:
        """Draw ``x_t`` given z.

        ``noise`` (standard normal times ``scale``, as from a coupling) is drawn where not given. (..., d).
        """
        check_time(z, 1, t)
        if noise is None:
            noise = self.space.noise(z, generator=generator) * self.scale
        alpha, sigma, _, _ = self._at(t)
        return alpha * z + sigma / self.scale * noise

    @property
    def coupled_targets(self) -> frozenset[str]:
        """Velocity and clean data: given z alone, noise of a coupling is not normal, and its score is not known."""
        return frozenset({"velocity", "clean"})

    def log_density(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of ``x_t`` given z, summed over the last dimension, shape (...)."""
        alpha, sigma, _, _ = self._at(t)
        sigma = sigma.clamp_min(self.floor)
        normal = (
            -0.5 * ((x - alpha * z) / sigma).square() - torch.log(sigma) - 0.5 * torch.log(x.new_tensor(2 * torch.pi))
        )
        return normal.sum(-1)

    def log_density_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d log p_t(x | z) / dt`` of each coordinate, shape (..., d)."""
        alpha, sigma, da, ds = self._at(t)
        sigma = sigma.clamp_min(self.floor)
        r = (x - alpha * z) / sigma
        return da * z * r / sigma + ds / sigma * (r * r - 1)

    def velocity(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Conditional velocity ``alpha' z + sigma'/sigma (x - alpha z)``; CondOT: ``(z - x)/(1 - t)``. Shape (..., d).

        With ``z`` replaced by the posterior mean of the clean data it is the marginal velocity.
        """
        alpha, sigma, da, ds = self._at(t)
        return da * z + ds / sigma.clamp_min(self.floor) * (x - alpha * z)

    def score(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``grad log p_t(x | z) = (alpha z - x)/sigma^2``, shape (..., d).

        The marginal score for a posterior mean z.
        """
        alpha, sigma, _, _ = self._at(t)
        return (alpha * z - x) / sigma.clamp_min(self.floor).square()

    def reverse_noise(self, t: Tensor) -> Tensor:
        """g of the exact time reversal, ``g^2 = 2 sigma (alpha' sigma / alpha - sigma')``.

        CondOT: ``2 (1 - t) / t``. Shape (...).
        """
        alpha, sigma, da, ds = (v.squeeze(-1) for v in self._at(t))
        return torch.sqrt((2 * sigma * (da * sigma / alpha.clamp_min(self.floor) - ds)).clamp_min(0))

    # The jump, per coordinate: gaussian_jump.py has the law in the standardised coordinate r = (x - alpha z) / sigma.
    def _rate(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        alpha, sigma, da, ds = self._at(t)
        sigma = sigma.clamp_min(self.floor)
        return da * z / sigma, (ds / sigma).expand_as(z), alpha * z, sigma

    def jump_rate(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``lambda = [-d log p / dt]_+`` of each coordinate, shape (..., d), per unit time."""
        return (-self.log_density_derivative(x, z, t)).clamp_min(0)

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """The jump rate of each coordinate integrated over [t, t + h] at a fixed x, shape (..., d)."""
        return gaussian_jump.integrate(lambda s: self.jump_rate(x, z, s), t, h)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a jump at time t lands, ``J ~ [dp/dt]_+``, independently of x; shape (..., d)."""
        linear, square, mean, sigma = self._rate(z, t)
        return mean + sigma * gaussian_jump.sample(linear, square, generator=generator)

    def destination_log_density(self, y: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of where a jump at time t lands, of each coordinate, shape (..., d); -inf where none does."""
        linear, square, mean, sigma = self._rate(z, t)
        r = (y - mean) / sigma
        growth = torch.log((linear * r + square * (r * r - 1)).clamp_min(0))
        normal = -0.5 * r * r - torch.log(sigma) - 0.5 * math.log(2 * math.pi)
        return growth + normal - gaussian_jump.log_mass(linear, square)

    def reverse_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integral of ``[d log p / dt]_+``, the rate of the jump that runs the path backward, shape (..., d)."""
        return gaussian_jump.integrate(lambda s: self.log_density_derivative(x, z, s).clamp_min(0), t, h)

    def sample_reverse_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a backward jump lands, ``J ~ [-dp/dt]_+``, shape (..., d)."""
        linear, square, mean, sigma = self._rate(z, t)
        return mean + sigma * gaussian_jump.sample_outside(linear, square, generator=generator)

    # Conversions: clean data is the hub.
    def clean_from_velocity(self, u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Clean data from the velocity: ``z = (sigma u - sigma' x)/(alpha' sigma - alpha sigma')``, shape (..., d)."""
        alpha, sigma, da, ds = self._at(t)
        return (sigma * u - ds * x) / (da * sigma - alpha * ds)

    def clean_from_score(self, s: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Clean data from the score: ``z = (x + sigma^2 s)/alpha`` (Tweedie), shape (..., d)."""
        alpha, sigma, _, _ = self._at(t)
        return (x + sigma.square() * s) / alpha.clamp_min(self.floor)

    def clean_from_noise(self, e: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Clean data from the unit noise: ``z = (x - sigma e)/alpha``, shape (..., d)."""
        alpha, sigma, _, _ = self._at(t)
        return (x - sigma * e) / alpha.clamp_min(self.floor)

    def noise_from_clean(self, z: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Unit noise from the clean data: ``e = (x - alpha z)/sigma``, shape (..., d)."""
        alpha, sigma, _, _ = self._at(t)
        return (x - alpha * z) / sigma.clamp_min(self.floor)

    def score_from_velocity(self, u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Score from the velocity, regular at t = 0.

        ``s = (alpha u - alpha' x)/(sigma (alpha' sigma - alpha sigma'))``, (..., d).
        """
        alpha, sigma, da, ds = self._at(t)
        return (alpha * u - da * x) / (sigma.clamp_min(self.floor) * (da * sigma - alpha * ds))
