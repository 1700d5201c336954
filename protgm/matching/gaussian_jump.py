"""The jump of a Gaussian path in one coordinate, in the standardised coordinate ``r = (x - alpha z) / sigma``.

There ``d log p / dt = a r + b (r^2 - 1)`` with ``a = alpha' z / sigma`` and ``b = sigma' / sigma <= 0``: a parabola,
positive between two roots whose product is -1. Times the normal density it has the primitive ``G(r) = -(a + b r)
phi(r)``, so the destination law ``[dp/dt]_+`` has a closed distribution function between the roots, and its mirror
image ``[-dp/dt]_+`` outside of them. For CondOT this is ``lambda = [k]_+ / (1 - t)^3``, ``k = x^2 - (t + 1) x z - (1 -
t)^2 + t z^2`` (Holderrieth et al. 2024, section 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from protgm.streams import Source, rand

__all__ = ["integrate", "log_mass", "sample", "sample_outside"]

_FAR = 9.0
"""Standard deviations beyond which nothing is looked for."""


def integrate(rate: Callable[[Tensor], Tensor], t: Tensor, h: Tensor, nodes: int = 4) -> Tensor:
    """Integral of a rate over [t, t + h] by the midpoint rule, which never asks for the end t = 1 itself.

    Parameters
    ----------
    rate : callable
        From times (...) to rates.
    t, h : Tensor, shape (...)
    nodes : int

    Returns
    -------
    Tensor
        Of the shape of the rates.
    """
    total = torch.stack([rate(t + h * ((i + 0.5) / nodes)) for i in range(nodes)]).mean(0)
    return total * h.reshape(h.shape + (1,) * (total.dim() - h.dim()) if h.dim() else ())


def _roots(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Roots r1 < 0 < r2 of ``a r + b (r^2 - 1)``; the larger in magnitude first, the other by their product -1."""
    b = torch.minimum(b, -1e-12 * (1 + a.abs()))
    far = (-a - torch.copysign(torch.sqrt(a * a + 4 * b * b), a)) / (2 * b)
    near = -1 / far
    return torch.minimum(far, near), torch.maximum(far, near)


def _primitive(r: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return -(a + b * r) * torch.exp(-0.5 * r * r) / math.sqrt(2 * math.pi)


def _invert(low: Tensor, high: Tensor, a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """Solve ``G(r) = G(low) + u (G(high) - G(low))`` on [low, high], where G is monotone, by bisection."""
    start, end = _primitive(low, a, b), _primitive(high, a, b)
    target = start + u * (end - start)
    rising = end > start
    for _ in range(30 if low.dtype == torch.float32 else 50):
        middle = 0.5 * (low + high)
        below = (_primitive(middle, a, b) < target) == rising
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)


def log_mass(a: Tensor, b: Tensor) -> Tensor:
    """Log of the integral of ``[a r + b (r^2 - 1)]_+ phi(r)``, mass arriving per unit time, shape (...)."""
    low, high = (r.clamp(-_FAR, _FAR) for r in _roots(a, b))
    return torch.log((_primitive(high, a, b) - _primitive(low, a, b)).clamp_min(1e-30))


def sample(a: Tensor, b: Tensor, *, generator: Source = None) -> Tensor:
    """Draws of r from ``[a r + b (r^2 - 1)]_+ phi(r)`` made a law.

    Parameters
    ----------
    a, b : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    low, high = (r.clamp(-_FAR, _FAR) for r in _roots(a, b))
    return _invert(low, high, a, b, rand(a.shape, generator, dtype=a.dtype, device=a.device))


def sample_outside(a: Tensor, b: Tensor, *, generator: Source = None) -> Tensor:
    """Draws of r from ``[-(a r + b (r^2 - 1))]_+ phi(r)`` made a law: left or right of the roots.

    Parameters
    ----------
    a, b : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    r1, r2 = (r.clamp(-_FAR, _FAR) for r in _roots(a, b))
    far = torch.full_like(r1, _FAR)
    left = _primitive(-far, a, b) - _primitive(r1, a, b)
    right = _primitive(r2, a, b) - _primitive(far, a, b)
    u = rand((*a.shape, 2), generator, dtype=a.dtype, device=a.device)
    on_left = u[..., 0] * (left + right) < left
    low, high = torch.where(on_left, -far, r2), torch.where(on_left, r1, far)
    return _invert(low, high, a, b, u[..., 1])
