"""Modified Bessel functions of the first kind as the antipodal von Mises-Fisher law needs them: ratio and normaliser.

Elementwise in ``kappa``, in its dtype, and to its accuracy also where the obvious quotients cancel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["log_normalizer", "ratio", "ratio_complement"]

_LEVELS = 24
_SERIES_FROM = 16.0


def _series() -> list[float]:
    """Coefficients of A(kappa) in 1 / kappa, from its Riccati equation A' = 1 - A^2 - 3 A / kappa."""
    a = [1.0]
    for m in range(1, 13):
        a.append(((m - 4) * a[m - 1] - sum(a[i] * a[m - i] for i in range(1, m))) / 2)
    return a


_A = _series()


def ratio_complement(kappa: Tensor) -> Tensor:
    """``1 - I_2(kappa) / I_1(kappa)``, accurate for all kappa > 0 (at large kappa it is 3 / (2 kappa)).

    Parameters
    ----------
    kappa : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    x = 1 / kappa.clamp_min(_SERIES_FROM)
    tail = torch.zeros_like(x)
    for a in reversed(_A[1:]):
        tail = (tail - a) * x
    return torch.where(kappa > _SERIES_FROM, tail, 1 - _fraction(kappa))


def ratio(kappa: Tensor) -> Tensor:
    """``A(kappa) = I_2(kappa) / I_1(kappa)``, the mean of ``c tanh(kappa c)``; accurate for all kappa > 0.

    Parameters
    ----------
    kappa : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
        In (0, 1).
    """
    return torch.where(kappa > _SERIES_FROM, 1 - ratio_complement(kappa), _fraction(kappa))


def _fraction(kappa: Tensor) -> Tensor:
    """I_2 / I_1 by Gauss's continued fraction, which needs about as many levels as kappa."""
    k = kappa.clamp_max(_SERIES_FROM)
    square = k * k
    value = torch.full_like(k, 2.0 * (_LEVELS + 1))
    for n in range(_LEVELS, 1, -1):
        value = 2 * n + square / value
    return k / value


def log_normalizer(kappa: Tensor) -> Tensor:
    """``log kappa - log(exp(-kappa) I_1(kappa))``, differentiable, accurate for all kappa > 0.

    Parameters
    ----------
    kappa : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    # Forward-mode derivatives, which the custom function lacks, are only ever taken along the angle.
    if kappa.requires_grad:
        out: Tensor = _LogNormalizer.apply(kappa)
        return out
    return torch.log(kappa) - torch.log(torch.special.i1e(kappa))


class _LogNormalizer(torch.autograd.Function):
    """The same, whose derivative ``1 - A`` autograd would get by cancellation."""

    @staticmethod
    def forward(ctx: Any, kappa: Tensor) -> Tensor:
        ctx.save_for_backward(kappa)
        return torch.log(kappa) - torch.log(torch.special.i1e(kappa))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (kappa,) = ctx.saved_tensors
        return grad * ratio_complement(kappa)
