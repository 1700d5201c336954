"""Langevin steps of any length that leave a path's law exactly as it is: Metropolis's rule on the exponential map."""

from __future__ import annotations

import torch
from torch import Tensor

from protgm.matching.protocols import DensityPath, ScorePath
from protgm.matching.spaces import Space, expand
from protgm.streams import Source, rand

__all__ = ["metropolis_langevin"]


def metropolis_langevin(
    path: ScorePath,
    x: Tensor,
    z: Tensor,
    t: Tensor,
    drift: Tensor,
    spread: Tensor,
    *,
    temperature: float = 1.0,
    source: Source = None,
) -> Tensor:
    """Propose the move ``v = drift score(x) + spread T e``, e standard normal, and accept it by Metropolis's rule.

    The proposal is taken for its tangent: ``(x, v) -> (x exp(v), -v)`` is its own inverse and keeps volume, on flat
    spaces and on groups, also where the tangent is longer than the way to the point. So the step is in detailed balance
    with ``p_t(. | z)^(1/T^2)`` whatever drift and spread are; only how many moves are accepted depends on them. With z
    drawn afresh from the posterior at x, the marginal law of x is kept as well (a Gibbs step).

    Parameters
    ----------
    path : a path with a score and a density, on a flat space or on rotations
    x, z : Tensor, shape (..., *event)
    t : Tensor, shape (...)
    drift, spread : Tensor, shape (...)
        ``g^2 dt / 2`` and ``g sqrt(dt)`` for a small step; those of an Ornstein-Uhlenbeck process for a long one.
    temperature : float
        1 keeps the law itself, less than 1 a narrower one.
    source : torch.Generator or Streams, optional

    Returns
    -------
    Tensor, shape (..., *event)
    """
    space = path.space
    assert isinstance(space, Space)
    assert isinstance(path, DensityPath)
    temperature = max(temperature, 1e-3)  # colder than this, nothing moves but downhill
    wide = (spread * temperature).clamp_min(1e-12)
    noise = space.noise(x, generator=source)
    pull, push = expand(drift, space.tangent_dim), expand(wide, space.tangent_dim)
    tangent = pull * path.score(x, z, t) + push * noise
    there = space.move(x, tangent)
    back = (-tangent - pull * path.score(there, z, t)) / push  # the noise that would lead from there to x
    gain = (path.log_density(there, z, t) - path.log_density(x, z, t)) / temperature**2
    odds = gain + 0.5 * (noise.square() - back.square()).sum(-1)
    accepted = torch.log(rand(odds.shape, source, dtype=odds.dtype, device=odds.device)) < odds
    return torch.where(expand(accepted, space.event_dim), there, x)
