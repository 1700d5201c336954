"""The heat kernel on rotations, IGSO(3): the law of Brownian motion started at the identity, at time ``tau``.

With ``w`` the rotation angle, the density with respect to normalised Haar measure is

    p(w; tau) = sum_l (2 l + 1) exp(-l (l + 1) tau / 2) sin((l + 1/2) w) / sin(w / 2).

Poisson summation turns it into a sum over the images ``w - 2 pi k``,

    p = exp(tau / 8) sqrt(2 pi) tau^(-3/2) sum_k (-1)^k (w - 2 pi k) exp(-(w - 2 pi k)^2 / (2 tau)) / sin(w / 2),

of which a few terms are exact to rounding for every ``tau <= TAU_MAX``. Each component of the rotation vector has
variance ``tau`` for small tau. Computed in float64 and returned in the dtype given.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from protgm.lie import angle_law
from protgm.streams import Source

__all__ = [
    "TAU_MAX",
    "angle_log_density",
    "destination_log_density",
    "log_density",
    "sample",
    "sample_destination",
    "score",
    "time_rate",
]

TAU_MAX = 25.0
"""At tau = 25 the law is uniform to 1e-10."""
_MOST_IMAGES = 6
_NEGLIGIBLE = 33.0
"""Images are left out whose weight is below exp(-33), relative to the nearest."""


def _images(tau: Tensor) -> range:
    """The images that count at these times: one on either side while tau is below 1.2."""
    largest, reach = float(tau.max()) if tau.numel() else 0.0, 1
    while reach < _MOST_IMAGES and 2 * math.pi**2 * reach * (reach + 1) < _NEGLIGIBLE * largest:
        reach += 1
    return range(-reach, reach + 1)


def _sums(angle: Tensor, tau: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Sum over images and its derivatives by angle and tau, over the factor exp(-w^2 / (2 tau)).

    Then angle and tau in float64.
    """
    tau = tau.double().clamp(1e-12, TAU_MAX)
    w = torch.maximum(angle.double(), 1e-3 * torch.sqrt(tau).clamp_max(1.0))  # the quotients below are 0 / 0 at w = 0
    value, by_angle, by_tau = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
    for k in _images(tau):
        image = w - 2 * math.pi * k
        # image^2 - w^2 >= 0 on [0, pi]: nothing overflows, and the largest term is 1.
        term = (-1) ** k * torch.exp(-(2 * math.pi * k) * (math.pi * k - w) / tau)
        value = value + image * term
        by_angle = by_angle + (1 - image.square() / tau) * term
        by_tau = by_tau + image**3 / (2 * tau.square()) * term
    return value, by_angle, by_tau, w, tau


def log_density(angle: Tensor, tau: Tensor) -> Tensor:
    """Log density with respect to normalised Haar measure.

    Parameters
    ----------
    angle : Tensor, shape (...)
        Rotation angle in [0, pi], radians.
    tau : Tensor, shape (...)
        Diffusion time, positive.

    Returns
    -------
    Tensor, shape (...)
    """
    value, _, _, w, time = _sums(angle, tau)
    constant = time / 8 - 1.5 * torch.log(time) + 0.5 * math.log(2 * math.pi)
    log_p = constant - w.square() / (2 * time) + torch.log(value.clamp_min(1e-300)) - torch.log(torch.sin(w / 2))
    return log_p.to(angle.dtype)


def angle_log_density(angle: Tensor, tau: Tensor) -> Tensor:
    """Log density of the angle with respect to d angle on [0, pi], shape (...); -inf at 0."""
    return log_density(angle, tau) + torch.log(2 / math.pi * torch.sin(angle / 2).square())


def score(angle: Tensor, tau: Tensor) -> Tensor:
    """``d log p / d angle``, shape (...); about ``-w / tau`` for small tau."""
    value, by_angle, _, w, _ = _sums(angle, tau)
    return (by_angle / value - 0.5 / torch.tan(w / 2)).to(angle.dtype)


def time_rate(angle: Tensor, tau: Tensor) -> Tensor:
    """``d log p / d tau``, shape (...)."""
    value, _, by_tau, _, time = _sums(angle, tau)
    return (0.125 - 1.5 / time + by_tau / value).to(angle.dtype)


def _top(tau: Tensor) -> Tensor:
    return (8 * torch.sqrt(tau)).clamp_max(math.pi)


def sample(tau: Tensor, *, generator: Source = None) -> Tensor:
    """Rotation vectors about the start, shape (..., 3), for diffusion times (...)."""
    angle = angle_law.invert(lambda w, s: torch.exp(angle_log_density(w, s)), tau, _top(tau), generator=generator)
    return angle_law.on_random_axis(angle, generator=generator)


def destination_log_density(angle: Tensor, tau: Tensor) -> Tensor:
    """Log density with respect to Haar measure of the law of `sample_destination`, shape (...).

    -inf where nothing arrives.
    """
    arriving = torch.log((-time_rate(angle, tau)).clamp_min(0))
    return arriving + log_density(angle, tau) - torch.log(angle_law.mass(partial(_moving, -1.0), tau, _top(tau)))


def _moving(sign: float, w: Tensor, tau: Tensor) -> Tensor:
    """Mass that arrives (sign -1) or leaves (1) at an angle while tau shrinks, by d angle; nothing does at 0."""
    return ((sign * time_rate(w, tau)).clamp_min(0) * torch.exp(angle_log_density(w, tau))).nan_to_num(0.0)


def sample_destination(tau: Tensor, *, backward: bool = False, generator: Source = None) -> Tensor:
    """Rotation vectors (..., 3) from ``[-dp/dtau]_+`` made a law, where mass arrives as tau shrinks.

    ``backward``: where it leaves.
    """
    angle = angle_law.invert(partial(_moving, 1.0 if backward else -1.0), tau, _top(tau), generator=generator)
    return angle_law.on_random_axis(angle, generator=generator)
