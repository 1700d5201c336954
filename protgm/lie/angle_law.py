"""Draws from any law of an angle on [0, pi] whose density can be computed.

Inversion of its distribution function on a fine grid.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from protgm.streams import Source, rand, randn

__all__ = ["invert", "mass", "on_random_axis"]

_NODES = 1025
_CHUNK = 4096


def invert(
    density: Callable[[Tensor, Tensor], Tensor], parameter: Tensor, top: Tensor, *, generator: Source = None
) -> Tensor:
    """Draw one value per parameter from ``density(value, parameter)`` on [0, top], which need not be normalised.

    Parameters
    ----------
    density : callable
        Called with values (n, m) and parameters (n, 1); non-negative.
    parameter : Tensor, shape (...)
        Equal parameters share one grid, so that a common time costs one.
    top : Tensor, shape (...)
        Upper end of the law's support, or where nothing of it is left.
    generator : torch.Generator or Streams, optional

    Returns
    -------
    Tensor, shape (...)
        Of the parameter's dtype; the law is right to about 1e-6.
    """
    draws = rand(parameter.shape, generator, dtype=torch.float64, device=parameter.device).flatten()
    unique, which = torch.unique(torch.stack((parameter.flatten(), top.flatten())).double(), dim=1, return_inverse=True)
    out = torch.empty_like(draws)
    unit = torch.linspace(0, 1, _NODES, dtype=torch.float64, device=parameter.device)
    for first in range(0, unique.shape[1], _CHUNK):
        rows = unique[:, first : first + _CHUNK]
        grid = unit * rows[1, :, None]
        cumulative = torch.nn.functional.pad(
            torch.cumulative_trapezoid(density(grid, rows[0, :, None]), grid, dim=-1), (1, 0)
        )
        chosen = ((which >= first) & (which < first + _CHUNK)).nonzero()[:, 0]
        row = which[chosen] - first
        target = draws[chosen] * cumulative[row, -1]
        if len(rows[0]) == 1:
            right = torch.searchsorted(cumulative[0], target)
        else:
            right = torch.searchsorted(cumulative[row], target[:, None])[:, 0]
        right = right.clamp(1, _NODES - 1)
        low, high = cumulative[row, right - 1], cumulative[row, right]
        share = ((target - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
        out[chosen] = torch.lerp(grid[row, right - 1], grid[row, right], share)
    return out.reshape(parameter.shape).to(parameter.dtype)


def mass(density: Callable[[Tensor, Tensor], Tensor], parameter: Tensor, top: Tensor) -> Tensor:
    """Integral of ``density(value, parameter)`` over [0, top] by the trapezoidal rule, shape (...).

    Arguments as for `invert`.
    """
    rows, ends = parameter.double().reshape(-1, 1), top.double().reshape(-1, 1)
    grid = torch.linspace(0, 1, _NODES, dtype=torch.float64, device=parameter.device) * ends
    return torch.trapezoid(density(grid, rows), grid, dim=-1).reshape(parameter.shape).to(parameter.dtype)


def on_random_axis(angle: Tensor, *, generator: Source = None) -> Tensor:
    """Rotation vectors (..., 3) of the given angles (...) about uniform axes."""
    axis = randn((*angle.shape, 3), generator, dtype=angle.dtype, device=angle.device)
    out: Tensor = axis * (angle / torch.linalg.vector_norm(axis, dim=-1).clamp_min(1e-12)).unsqueeze(-1)
    return out
