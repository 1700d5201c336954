"""Lower bounds on log-likelihoods of jump processes: the divergence of two jump measures along a path (an ELBO).

By the data-processing inequality the law at the end of the marginal process is no further from that of the conditional
one than their path measures are, and those of two jump processes differ by

    KL = int E_{x ~ p_t(.|z)} [ sum_{y != x} Q^z log(Q^z / Q^theta) - Q^z + Q^theta ] dt,

the loss of ``phi(q) = sum q log q - q`` integrated over time (Holderrieth et al. 2024; Campbell et al. 2024). On tokens
the conditional process ends at z, so ``log p(z) >= -KL``; elsewhere it ends at a noisy ``x_T``, and ``E log p_T(x_T) >=
E log p_T(x_T | z) - KL``. With the exact posterior the bound is tight on the masking path, whose past says no more
about z than its present does; where a jump reveals z (uniform tokens, R^d, rotations) a gap remains that no network
closes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from protgm.matching.ctmc import MaskingPath, UniformPath
from protgm.matching.losses import scaled_token_loss
from protgm.matching.protocols import DensityPath, JumpPath
from protgm.matching.spaces import expand
from protgm.streams import Source, rand

__all__ = ["Estimate", "jump_divergence", "jump_elbo", "token_elbo"]


class Estimate(NamedTuple):
    """A Monte-Carlo estimate and its standard error."""

    value: Tensor
    error: Tensor


def token_elbo(
    path: MaskingPath | UniformPath,
    network: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    *,
    draws: int = 64,
    generator: Source = None,
) -> Estimate:
    """Lower bound on ``log p(z)`` of token sequences, nats, by Monte Carlo over stratified times.

    The integral over t of the rate loss is taken in ``kappa``, so it does not depend on the clock. Each stratum has two
    times, whose difference tells the error of the estimate without bias.

    Parameters
    ----------
    path : MaskingPath or UniformPath
    network : callable
        From (x, kappa) to logits (..., L, K), x of shape (..., L) and kappa of shape (..., 1).
    z : Tensor of int64, shape (..., L)
    draws : int
        Times per sequence, an even number; the error falls with their root at least.

    Returns
    -------
    Estimate
        The bound and its standard error, shape (...) each.
    """
    if draws < 2 or draws % 2:
        raise ValueError(f"token_elbo: draws must be an even number, at least 2, got {draws}")
    strata = draws // 2
    total, variance = torch.zeros(z.shape[:-1]), torch.zeros(z.shape[:-1])
    for i in range(strata):
        first, second = (_token_draw(path, network, z, i / strata, 1 / strata, generator) for _ in range(2))
        total = total - (first + second) / 2
        variance = variance + (first - second).square() / 4
    return Estimate(total / strata, torch.sqrt(variance) / strata)


def _token_draw(
    path: MaskingPath | UniformPath,
    network: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    begin: float,
    width: float,
    source: Source,
) -> Tensor:
    """The rate loss, by d kappa, at one kappa per sequence drawn from [begin, begin + width], shape (...)."""
    kappa = begin + width * rand((*z.shape[:-1], 1), source)
    kept = rand(z.shape, source) < kappa
    x = torch.where(kept, z, path.prior(z.shape, generator=source))
    return (scaled_token_loss(path, network(x, kappa), x, z) / (1 - kappa)).sum(-1)


class ClosedJumpPath(JumpPath, DensityPath, Protocol):
    """A path with a density and a jump whose destinations have one."""

    def jump_rate(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Jumps per unit time."""
        ...

    def destination_log_density(self, y: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of where a jump at time t lands."""
        ...


def jump_divergence(
    path: ClosedJumpPath, x: Tensor, t: Tensor, points: Tensor, weights: Tensor, index: Tensor, *, source: Source = None
) -> Tensor:
    """Divergence of the conditional jump toward ``points[index]`` from the marginal one, by one draw of where it lands.

    Parameters
    ----------
    path : a path with ``jump_rate``, ``sample_jump`` and ``destination_log_density``
    x : Tensor, shape (..., *event)
    t : Tensor, shape (...)
    points : Tensor, shape (K, *event)
        The clean points that the posterior tells apart.
    weights : Tensor, shape (K, ...)
        Their predicted posterior at (x, t).
    index : Tensor of int64, shape (...)
        Which of them x was drawn from.

    Returns
    -------
    Tensor, shape (...)
        Nats per unit time.
    """
    event = path.space.event_dim
    z, rows = points[index], points.reshape(points.shape[:1] + (1,) * index.dim() + points.shape[1:])
    landed = path.sample_jump(x, z, t, generator=source)
    rate = path.jump_rate(x, z, t)
    share = expand(weights, rate.dim() - index.dim())
    rates = share * path.jump_rate(x.unsqueeze(0), rows, t)
    log_own = torch.log(rate) + path.destination_log_density(landed, z, t)
    log_all = torch.logsumexp(torch.log(rates) + path.destination_log_density(landed.unsqueeze(0), rows, t), dim=0)
    # A destination is drawn within rounding of where its density ends: there, once in a million draws, it has none.
    gain = torch.where((rate > 0) & log_own.isfinite(), rate * (log_own - log_all), 0.0)
    value = rates.sum(0) - rate + gain
    return value.sum(-1) if event == 1 and value.dim() > index.dim() else value


def jump_elbo(
    path: ClosedJumpPath,
    posterior: Callable[[Tensor, Tensor], Tensor],
    points: Tensor,
    index: Tensor,
    times: Tensor,
    *,
    source: Source = None,
) -> Tensor:
    """Lower bound on ``E log p_T(x_T)`` under the marginal jump, ``x_T`` the noised clean points, T = ``times[-1]``.

    Parameters
    ----------
    path : a path with a density and a jump of closed destination law
        `GaussianPath`, `AntipodalVMFPath`, `HeatKernelPath`.
    posterior : callable
        From (x, t) to probabilities (K, ...), such as ``FiniteData.posterior``.
    points : Tensor, shape (K, *event)
    index : Tensor of int64, shape (...)
        The clean point of each element.
    times : Tensor, shape (steps + 1,)
        The integral over each interval is estimated at one time drawn in it, so any grid is unbiased.
    source : torch.Generator, optional

    Returns
    -------
    Tensor, shape (...)
        One-draw estimates in nats, to be averaged.
    """
    z = points[index]
    end = times[-1].to(points.dtype)
    x = path.sample(z, end, generator=source)
    bound = path.log_density(x, z, end)
    for t, later in pairwise(times):
        now = (t + (later - t) * rand((), source, dtype=times.dtype)).to(points.dtype)
        x = path.sample(z, now, generator=source)
        step = (later - t).to(points.dtype)
        bound = bound - step * jump_divergence(path, x, now, points, posterior(x, now), index, source=source)
    return bound
