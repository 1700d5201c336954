"""Tables behind the antipodal vMF law: quantiles of the law and of its jump destinations, and its flow speed.

Each table is a smooth function on the unit square, made once per process in float64 by Gauss-Legendre quadrature and
read by cubic interpolation, which is exact to about 1e-6. The second axis is ``q = kappa / (kappa + KNEE)``: every
function here is smooth in ``kappa`` at 0 and in ``1 / kappa`` at infinity, where its limit is known in closed form
(with ``r = 2 sqrt(kappa) sin(w / 4)`` the law tends to Maxwell's, the length of a standard normal vector in three
dimensions).
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import gammainccinv, gammaincinv, i0e, i1e
from torch import Tensor

__all__ = ["KNEE", "R_MAX", "W_ZERO", "interpolate", "table"]

KNEE = 4.0
"""Concentration in the middle of the second axis."""
R_MAX = 7.0
"""End of the Maxwell axis: a standard normal vector is longer once in 10 billion draws."""
W_ZERO = 2 * np.pi / 3
"""Where ``d log p / d kappa`` changes its sign at kappa = 0."""
_SIZE = 257

Array = NDArray[np.float64]


def _ratio(kappa: Array) -> Array:
    """I_2 / I_1; the recurrence loses digits below 1e-2, where two terms of the series do not."""
    with np.errstate(all="ignore"):
        return np.where(kappa < 1e-2, kappa / 4 * (1 - kappa**2 / 24), i0e(kappa) / i1e(kappa) - 2 / kappa)


def _log_density(angle: Array, kappa: Array) -> Array:
    """Log of the angle density on [0, pi], with respect to d angle."""
    c = np.cos(angle / 2)
    log_p = (
        np.log(kappa) - kappa * 2 * np.sin(angle / 4) ** 2 + np.log1p(np.exp(-2 * kappa * c)) - np.log(4 * i1e(kappa))
    )
    return np.asarray(log_p + np.log(np.maximum(2 * np.sin(angle / 2) ** 2 / np.pi, 1e-300)))


def _rate(angle: Array, kappa: Array) -> Array:
    """d log p / d kappa."""
    c = np.cos(angle / 2)
    return c * np.tanh(kappa * c) - _ratio(kappa)


def _cells(nodes: Array, kappa: Array, with_rate: bool) -> tuple[Array, Array]:
    """Integrals of the density (times the rate) over each cell: absolute, and over the density at its left node."""
    x, weight = np.polynomial.legendre.leggauss(8)
    half = np.diff(nodes)[:, None] / 2
    points = (nodes[:-1, None] + half * (1 + x))[:, :, None]
    log_f = _log_density(points, kappa)
    value = _rate(points, kappa) if with_rate else np.ones_like(log_f)
    ends = _log_density(nodes[:, None], kappa)
    grid = half[:, :, None] * weight[:, None] * value
    return (grid * np.exp(log_f)).sum(1), (grid * np.exp(log_f - ends[:-1, None])).sum(1)


def _columns() -> tuple[Array, Array]:
    q = np.linspace(0, 1, _SIZE)
    kappa = KNEE * q[1:-1] / (1 - q[1:-1])
    return q, np.concatenate(([1e-6], kappa))


def _uncover(x: Array, y: Array, grid: Array) -> Array:
    """Interpolate y(x) on the grid through the nodes where x is finite and strictly increases."""
    x = np.where(np.isfinite(x), x, np.inf)
    keep = np.concatenate(([True], x[1:] > np.maximum.accumulate(x)[:-1] + 1e-9)) & np.isfinite(x)
    return np.asarray(PchipInterpolator(x[keep], y[keep], extrapolate=True)(np.minimum(grid, x[keep][-1])))


def _quantile() -> Array:
    """``w sqrt(kappa + KNEE) / r``, by r / R_MAX and q: carries the Maxwell law to the angle law."""
    _, kappa = _columns()
    body = np.linspace(0, np.pi, 1025)[:-8]
    nodes = np.concatenate((body, np.pi - np.geomspace(np.pi - body[-1], 1e-9, 200)[1:], [np.pi]))
    absolute, _ = _cells(nodes, kappa, with_rate=False)
    lower = np.vstack((np.zeros_like(kappa), np.cumsum(absolute, axis=0)))
    upper = np.vstack((np.cumsum(absolute[::-1], axis=0)[::-1], np.zeros_like(kappa)))
    with np.errstate(all="ignore"):
        r = np.sqrt(
            2 * np.where(lower < 0.5, gammaincinv(1.5, np.minimum(lower, 1)), gammainccinv(1.5, np.minimum(upper, 1)))
        )
    # At r -> 0 the ratio of the densities, sqrt(2/pi) r^2 against p(0) w^2 / (2 pi), fixes w / r.
    peak = kappa * (1 + np.exp(-2 * kappa)) / (4 * i1e(kappa))
    start = np.cbrt(np.sqrt(2 / np.pi) * 2 * np.pi / peak)
    grid = np.linspace(0, R_MAX, _SIZE)
    out = np.full((_SIZE, _SIZE), 2.0)  # kappa = infinity: w = 2 r / sqrt(kappa)
    for j in range(_SIZE - 1):
        with np.errstate(all="ignore"):
            slope = np.where(r[:, j] > 0, nodes / r[:, j], start[j])
        slope[0] = start[j]
        out[:, j] = _uncover(r[:, j], slope, grid) * np.sqrt(kappa[j] + KNEE)
    return out


def _crossing(kappa: Array) -> Array:
    """The angle at which ``d log p / d kappa`` changes sign, by bisection."""
    low, high = np.full_like(kappa, 1e-9), np.full_like(kappa, W_ZERO + 1e-9)
    for _ in range(60):
        middle = (low + high) / 2
        positive = _rate(middle, kappa) > 0
        low, high = np.where(positive, middle, low), np.where(positive, high, middle)
    return (low + high) / 2


def _destination() -> Array:
    """``w' sqrt(kappa + KNEE)``, by s and q: carries Beta(3, 2) to the destination law ``[d log p / d kappa]_+ f``."""
    _, kappa = _columns()
    edge = _crossing(kappa)
    y = np.linspace(0, 1, 513)
    x, weight = np.polynomial.legendre.leggauss(8)
    half = np.diff(y)[:, None] / 2
    points = (y[:-1, None] + half * (1 + x))[:, :, None] * edge
    mass = (
        half[:, :, None] * weight[:, None] * np.maximum(_rate(points, kappa), 0) * np.exp(_log_density(points, kappa))
    ).sum(1)
    total = mass.sum(0)
    lower = np.vstack((np.zeros_like(kappa), np.cumsum(mass, axis=0))) / total
    upper = np.vstack((np.cumsum(mass[::-1], axis=0)[::-1], np.zeros_like(kappa))) / total
    s = _beta_quantile(lower, upper)
    grid = np.linspace(0, 1, _SIZE)
    out = np.empty((_SIZE, _SIZE))
    for j in range(_SIZE - 1):
        out[:, j] = _uncover(s[:, j], y, grid) * edge[j] * np.sqrt(kappa[j] + KNEE)
    # kappa = infinity: distribution function y^3 exp(3 (1 - y^2) / 2), with y = r / sqrt(3) and w = 2 r / sqrt(kappa).
    limit = y**3 * np.exp(1.5 * (1 - y**2))
    out[:, -1] = _uncover(_beta_quantile(limit, -np.expm1(np.log(np.maximum(limit, 1e-300)))), y, grid) * 2 * np.sqrt(3)
    return out


def _beta_quantile(lower: Array, upper: Array) -> Array:
    """Solve 4 s^3 - 3 s^4 = lower = 1 - upper, by bisection, without losing digits at either end."""
    low, high = np.zeros_like(lower), np.ones_like(lower)
    for _ in range(50):
        s = (low + high) / 2
        d = 1 - s
        below = np.where(lower < 0.5, s**3 * (4 - 3 * s) < lower, d * d * (6 - 8 * d + 3 * d * d) > upper)
        low, high = np.where(below, s, low), np.where(below, high, s)
    return (low + high) / 2


def _speed() -> Array:
    """``h``, by w / pi and q: ``(dF / dkappa) / f = h * 2 tan(w / 4) tanh(kappa cos(w / 2)) A(kappa) / kappa``."""
    _, kappa = _columns()
    w = np.linspace(0, np.pi, _SIZE)
    absolute, relative = _cells(w, kappa, with_rate=True)
    log_f = _log_density(w[:, None], kappa)
    # From the left while the integrand is positive, from the right beyond: neither sum cancels.
    left = np.vstack((np.zeros_like(kappa), np.cumsum(absolute, axis=0)))
    right = np.zeros_like(left)
    for i in range(_SIZE - 2, -1, -1):
        right[i] = -relative[i] + right[i + 1] * np.exp(np.minimum(log_f[i + 1] - log_f[i], 700))
    with np.errstate(all="ignore"):
        gain = np.where(w[:, None] < _crossing(kappa), left * np.exp(-log_f), right)
        shape = 2 * np.tan(w / 4)[:, None] * np.tanh(kappa * np.cos(w / 2)[:, None]) * _ratio(kappa) / kappa
        h = gain / shape
    h[0] = (np.tanh(kappa) - _ratio(kappa)) / 3 / (np.tanh(kappa) * _ratio(kappa) / (2 * kappa))
    # At pi numerator and denominator both vanish linearly: the ratio of their slopes.
    h[-1] = _ratio(kappa) / (kappa / 2) / (_ratio(kappa) / kappa) / 2
    out = np.ones((_SIZE, _SIZE))
    out[:, :-1] = h
    out[:, 0] = 2 * np.cos(w / 4) ** 2
    return out


def _release() -> Array:
    """``(kappa 4 sin^2(w/4) / 3)^2`` where w is the crossing at kappa, by w / W_ZERO (the second axis is constant)."""
    w = np.linspace(0, W_ZERO, _SIZE)[1:-1]
    low, high = np.full_like(w, 1e-8), np.full_like(w, 1e7)
    for _ in range(100):
        middle = np.sqrt(low * high)
        before = _rate(w, middle) > 0  # a small concentration still attracts mass to this angle
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    kappa = np.sqrt(low * high)
    column = np.concatenate(([1.0], (kappa * 4 * np.sin(w / 4) ** 2 / 3) ** 2, [0.0]))
    return np.repeat(column[:, None], 4, axis=1)


_MAKERS = {"quantile": _quantile, "destination": _destination, "speed": _speed, "release": _release}


@functools.cache
def _float64_table(name: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(_MAKERS[name]()))


@functools.cache
def _cached(name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    return _float64_table(name).to(dtype=dtype, device=device)


def table(name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The table called ``name``, made at its first use."""
    return _cached(name, dtype, device)


# What torch.compiler.assume_constant_result does, which imports all of the compiler: seconds, for each program that
# never compiles.
table._dynamo_marked_constant = True  # type: ignore[attr-defined]


def interpolate(values: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Cubic (four-point Lagrange) interpolation of a table on the unit square.

    Parameters
    ----------
    values : Tensor, shape (n, m)
    first, second : Tensor, shape (...)
        Coordinates in [0, 1], which broadcast against each other.

    Returns
    -------
    Tensor, shape (...)
    """
    n, m = values.shape
    i, wi = _stencil(first, n)
    j, wj = _stencil(second, m)
    if second.numel() == 1:  # one line of the table serves all: 4 reads instead of 16
        line = (values[:, j.flatten()] * wj.flatten()).sum(-1)
        return (line[i] * wi).sum(-1)
    index = (i * m).unsqueeze(-1) + j.unsqueeze(-2)
    found = values.flatten()[index]
    return ((found * wj.unsqueeze(-2)).sum(-1) * wi).sum(-1)


def _stencil(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    position = x * (n - 1)
    start = position.detach().floor().clamp(1, n - 3)
    u = position - start  # in [-1, 2]
    weight = torch.stack(
        (
            -u * (u - 1) * (u - 2) / 6,
            (u + 1) * (u - 1) * (u - 2) / 2,
            -(u + 1) * u * (u - 2) / 2,
            (u + 1) * u * (u - 1) / 6,
        ),
        dim=-1,
    )
    return (start.long() - 1).unsqueeze(-1) + torch.arange(4, device=x.device), weight
