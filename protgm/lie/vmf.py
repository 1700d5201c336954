"""The antipodal von Mises-Fisher law on rotations.

Density, distribution function, draws, and its change with concentration.

With ``w`` the rotation angle and ``c = cos(w / 2)``, the density with respect to normalised Haar measure is

    p(w; kappa) = kappa cosh(kappa c) / (2 I_1(kappa)),

the law of a unit quaternion drawn from a von Mises-Fisher law on the 3-sphere when its sign is forgotten. ``kappa ->
0`` is the uniform law; for large ``kappa`` the rotation vector is normal with variance ``4 / kappa`` per component.

Everything is elementwise in ``angle`` (radians, [0, pi]) and ``kappa`` (1e-2 ... 1e8), which broadcast against each
other, keeps their dtype, and holds its relative accuracy in float32: differences that cancel are written so that they
do not. Equation numbers ``[GM]`` refer to Holderrieth et al. 2024, arXiv 2410.20587.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from protgm.lie._vmf_tables import KNEE, R_MAX, W_ZERO, interpolate, table
from protgm.lie.bessel import log_normalizer, ratio, ratio_complement
from protgm.streams import Source, rand, randn

__all__ = [
    "angle_cdf",
    "angle_log_density",
    "crossing_kappa",
    "density_rate",
    "flow_speed",
    "log_density",
    "log_overlap",
    "ratio",
    "ratio_complement",
    "sample",
    "sample_destination",
    "score",
]


def _versine(angle: Tensor) -> Tensor:
    """1 - cos(angle / 2)."""
    return 2 * torch.sin(angle / 4).square()


def log_density(angle: Tensor, kappa: Tensor) -> Tensor:
    """Log density with respect to normalised Haar measure.

    Parameters
    ----------
    angle : Tensor, shape (...)
        Rotation angle from the mode in radians, in [0, pi].
    kappa : Tensor, shape (...)
        Concentration, positive.

    Returns
    -------
    Tensor, shape (...)
        Differentiable in both arguments.
    """
    c = torch.cos(angle / 2)
    shape = torch.nn.functional.softplus(-2 * kappa * c) - kappa * _versine(angle)
    return shape + log_normalizer(kappa) - 2 * math.log(2)


def log_overlap(angle: Tensor, kappa: Tensor, other: Tensor) -> Tensor:
    """Log of the integral of the product of two densities, with respect to normalised Haar measure.

    A product of two kernels on the 3-sphere is a kernel again, of concentration ``|kappa mu +- kappa' mu'|``.

    Parameters
    ----------
    angle : Tensor, shape (...)
        Between their modes, radians, in [0, pi].
    kappa, other : Tensor, shape (...)
        Their concentrations.

    Returns
    -------
    Tensor, shape (...)
    """
    near = _versine(angle)
    total, product = kappa + other, kappa * other
    # |kappa mu + kappa' mu'|^2 = total^2 - 2 product (1 - c); of the other sign, 2 - near in the place of near.
    norms = []
    for share in (near, 2 - near):
        length = torch.sqrt((total.square() - 2 * product * share).clamp_min(1e-4))
        norms.append(-2 * product * share / (length + total) - log_normalizer(length))
    scale = log_normalizer(kappa) + log_normalizer(other) - 2 * math.log(2)
    return torch.logaddexp(norms[0], norms[1]) + scale


def angle_log_density(angle: Tensor, kappa: Tensor) -> Tensor:
    """Log density of the angle on [0, pi], with respect to d angle; -inf at 0.

    Parameters
    ----------
    angle, kappa : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    return log_density(angle, kappa) + torch.log(2 / math.pi * torch.sin(angle / 2).square())


def density_rate(angle: Tensor, kappa: Tensor) -> Tensor:
    """``d log p / d kappa = c tanh(kappa c) - A(kappa)``: positive where a growing kappa brings mass.

    Parameters
    ----------
    angle, kappa : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    c = torch.cos(angle / 2)
    # Both terms tend to 0 with kappa and to 1 at large kappa: each form keeps the digits the other would cancel.
    wide = c * torch.tanh(kappa * c) - ratio(kappa)
    narrow = ratio_complement(kappa) - _versine(angle) - 2 * c * torch.sigmoid(-2 * kappa * c)
    return torch.where(kappa < 1, wide, narrow)


def score(angle: Tensor, kappa: Tensor) -> Tensor:
    """``d log p / d angle = -(kappa / 2) sin(w / 2) tanh(kappa c)``.

    Parameters
    ----------
    angle, kappa : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    return -0.5 * kappa * torch.sin(angle / 2) * torch.tanh(kappa * torch.cos(angle / 2))


def _fold(kappa: Tensor) -> Tensor:
    return kappa / (kappa + KNEE)


def flow_speed(angle: Tensor, kappa: Tensor) -> Tensor:
    """Speed toward the mode, per unit of kappa, of the radial flow that carries the law along growing kappa.

    It is ``(dF / d kappa) / f`` with ``F`` the distribution function and ``f`` the density of the angle; ``angle / (2
    kappa)`` for large kappa. Interpolated from a table of quadratures (relative error below 1e-5).

    Parameters
    ----------
    angle, kappa : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
        Radians per unit of kappa, non-negative; 0 at the angles 0 and pi.
    """
    values = table("speed", angle.dtype, angle.device)
    shape = 2 * torch.tan(angle / 4) * torch.tanh(kappa * torch.cos(angle / 2)) * ratio(kappa) / kappa
    return interpolate(values, angle / math.pi, _fold(kappa)) * shape


def crossing_kappa(angle: Tensor) -> Tensor:
    """The concentration at which `density_rate` turns negative at this angle.

    Parameters
    ----------
    angle : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
        0 for angles above 2 pi / 3, where the rate is negative from the start; large (1e12 at most) near 0.
    """
    values = table("release", angle.dtype, angle.device)
    position = (angle / W_ZERO).clamp_max(1.0)
    square = interpolate(values, position, position.new_zeros(())).clamp_min(0)
    return torch.sqrt(square) * 0.75 / torch.sin(angle / 4).square().clamp_min(7.5e-13)


def angle_cdf(angle: Tensor, kappa: Tensor) -> Tensor:
    """Distribution function of the angle, by Gauss-Legendre quadrature (error below 1e-9 in float64).

    Parameters
    ----------
    angle, kappa : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    angle, kappa = torch.broadcast_tensors(angle, kappa)
    x, weight = (
        torch.as_tensor(v, dtype=angle.dtype, device=angle.device) for v in np.polynomial.legendre.leggauss(40)
    )
    # Beyond r = 2 sqrt(kappa) sin(w / 4) = 9 nothing is left.
    far = 4 * torch.asin((4.5 / torch.sqrt(kappa)).clamp_max(math.sqrt(0.5)))
    upper = torch.minimum(angle, far).unsqueeze(-1)
    points = upper / 2 * (1 + x)
    value = torch.exp(angle_log_density(points, kappa.unsqueeze(-1)))
    return ((value * weight).sum(-1) * upper.squeeze(-1) / 2).clamp(0, 1)


def sample(kappa: Tensor, *, shape: Sequence[int] = (), generator: Source = None) -> Tensor:
    """Rotation vectors about the mode: a standard normal vector carried radially, quantile to quantile.

    Parameters
    ----------
    kappa : Tensor, shape (...)
    shape : sequence of int
        Leading dimensions to draw beside those of ``kappa``.
    generator : torch.Generator, optional

    Returns
    -------
    Tensor, shape (*shape, ..., 3)
        Radians; the rotation is ``mode @ so3.exp(v)``. The angle law is that of `angle_cdf` to 1e-6.
    """
    normal = randn((*shape, *kappa.shape, 3), generator, dtype=kappa.dtype, device=kappa.device)
    r = torch.linalg.vector_norm(normal, dim=-1)
    values = table("quantile", kappa.dtype, kappa.device)
    factor = interpolate(values, (r / R_MAX).clamp_max(1.0), _fold(kappa)) * torch.rsqrt(kappa + KNEE)
    # Large r at small kappa saturates at pi; r is never 0 in practice: the floor keeps the quotient finite if it is.
    factor = torch.minimum(factor, math.pi / r.clamp_min(1e-12))
    return normal * factor.unsqueeze(-1)


def sample_destination(kappa: Tensor, *, shape: Sequence[int] = (), generator: Source = None) -> Tensor:
    """Rotation vectors about the mode from the jump's destination law, ``[d log p / d kappa]_+ p`` made a law.

    Parameters
    ----------
    kappa : Tensor, shape (...)
    shape : sequence of int
        Leading dimensions to draw beside those of ``kappa``.
    generator : torch.Generator, optional

    Returns
    -------
    Tensor, shape (*shape, ..., 3)
        Radians; uniform axis.
    """
    dtype, device = kappa.dtype, kappa.device
    # The third smallest of four uniforms is Beta(3, 2), which the table carries to the destination angle.
    s = rand((*shape, *kappa.shape, 4), generator, dtype=dtype, device=device).sort(dim=-1).values[..., 2]
    values = table("destination", kappa.dtype, kappa.device)
    angle = interpolate(values, s, _fold(kappa)).clamp_min(0) * torch.rsqrt(kappa + KNEE)
    axis = randn((*shape, *kappa.shape, 3), generator, dtype=dtype, device=device)
    out: Tensor = axis * (angle / torch.linalg.vector_norm(axis, dim=-1).clamp_min(1e-12)).unsqueeze(-1)
    return out
