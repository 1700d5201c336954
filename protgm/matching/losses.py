"""Conditional generator matching: what to regress, and losses whose gradient is that of the marginal generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from protgm.lie.random import Source
from protgm.matching.bregman import Bregman, SquaredError
from protgm.matching.ctmc import MaskingPath, UniformPath
from protgm.matching.euclidean import GaussianPath

__all__ = [
    "Parameterisation",
    "conditional_target",
    "convert",
    "generator_matching_loss",
    "token_elbo",
    "token_rate_loss",
]

Parameterisation = Literal["velocity", "score", "noise", "clean"]


def conditional_target(path: Any, x: Tensor, z: Tensor, t: Tensor, parameterisation: Parameterisation) -> Tensor:
    """What a network of this parameterisation regresses, given z; on manifolds velocity and score.

    Raises
    ------
    ValueError
        For a parameterisation that the path does not have.
    """
    if parameterisation == "clean":
        return z
    name = {"velocity": "velocity", "score": "score", "noise": "noise_from_clean"}.get(parameterisation)
    if name is None or not hasattr(path, name):
        raise ValueError(
            f"{type(path).__name__} has no target {parameterisation!r}; use velocity, score, noise or clean"
        )
    return path.noise_from_clean(z, x, t) if parameterisation == "noise" else getattr(path, name)(x, z, t)


def convert(
    path: GaussianPath, value: Tensor, x: Tensor, t: Tensor, given: Parameterisation, wanted: Parameterisation
) -> Tensor:
    """One prediction expressed as another, exactly: they are affine in each other given x and t.

    Parameters
    ----------
    path : GaussianPath
    value : Tensor, shape (..., d)
        Prediction (posterior mean) of the ``given`` kind.
    x : Tensor, shape (..., d)
    t : Tensor, shape (...)
        Inside (0, 1): at the ends some predictions do not determine the others.
    given, wanted : {"velocity", "score", "noise", "clean"}

    Returns
    -------
    Tensor, shape (..., d)
    """
    kinds = ("velocity", "score", "noise", "clean")
    for kind in (given, wanted):
        if kind not in kinds:
            raise ValueError(f"convert: unknown prediction {kind!r}; use one of {', '.join(kinds)}")
    if given == wanted:
        return value
    clean = value
    if given != "clean":
        clean = getattr(path, f"clean_from_{given}")(value, x, t)
    if wanted == "clean":
        return clean
    return path.noise_from_clean(clean, x, t) if wanted == "noise" else getattr(path, wanted)(x, clean, t)


def generator_matching_loss(
    path: Any,
    network: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    t: Tensor,
    *,
    parameterisation: Parameterisation = "velocity",
    divergence: Bregman | None = None,
    generator: Source = None,
) -> Tensor:
    """``D(F^z(x_t), F_theta(x_t))`` for each element, with ``x_t`` drawn here.

    Parameters
    ----------
    path : a path
    network : callable
        From (x, t) to its prediction.
    z : Tensor, shape (..., *event)
    t : Tensor, shape (...)
    parameterisation : {"velocity", "score", "noise", "clean"}
        What the network predicts.
    divergence : Bregman, optional
        Squared error where not given.

    Returns
    -------
    Tensor, shape (...)
    """
    x = path.sample(z, t, generator=generator)
    target = conditional_target(path, x, z, t, parameterisation)
    return (divergence or SquaredError())(target, network(x, t))


def token_rate_loss(path: MaskingPath | UniformPath, logits: Tensor, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """Generalised KL between the conditional rates and those of a predicted posterior, ``sum_{y != x} Q_th - Q + Q log(Q / Q_th)``.

    With rates ``r p(y)``, ``r = kappa'/(1 - kappa)``, the sum is ``r [1 - p(x) - 1_{x != z} (1 + log p(z))]``: on the masking path the
    cross-entropy of masked tokens times r. Its integral over t bounds the log-likelihood (`token_elbo`).

    Parameters
    ----------
    path : MaskingPath or UniformPath
    logits : Tensor, shape (..., K)
        Predicted posterior of the clean token.
    x, z : Tensor of int64, shape (...)
    t : Tensor, shape (...)

    Returns
    -------
    Tensor, shape (...)
    """
    rate = path.clock.derivative(t) / (1 - path.clock.at(t)).clamp_min(1e-6)
    log_p = torch.log_softmax(logits, dim=-1)
    surprise = -torch.gather(log_p, -1, z.unsqueeze(-1)).squeeze(-1)
    if isinstance(path, MaskingPath):
        return torch.where(x == path.size, rate * surprise, 0.0)
    stays = torch.exp(torch.gather(log_p, -1, x.unsqueeze(-1)).squeeze(-1))
    return rate * (1 - stays + torch.where(x != z, surprise - 1, 0.0))


def token_elbo(
    path: MaskingPath,
    network: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    *,
    draws: int = 64,
    generator: Source = None,
) -> Tensor:
    """Lower bound on ``log p(z)`` of token sequences, nats, by Monte Carlo over stratified times.

    The integral over t of the rate loss is taken in ``kappa``: an unmasking rate ``kappa'/(1 - kappa)`` on a share ``1 - kappa`` of
    tokens makes every kappa count the same.

    Parameters
    ----------
    path : MaskingPath
        With the linear clock, or any: the bound does not depend on it.
    network : callable
        From (x, kappa) to logits (..., L, K), x of shape (..., L) and kappa of shape (..., 1).
    z : Tensor of int64, shape (..., L)
    draws : int
        Times per sequence.

    Returns
    -------
    Tensor, shape (...)
    """
    from protgm.lie.random import rand

    total = torch.zeros(z.shape[:-1])
    for i in range(draws):
        kappa = (i + rand((*z.shape[:-1], 1), generator)) / draws
        masked = rand(z.shape, generator) >= kappa
        logits = network(torch.where(masked, path.size, z), kappa)
        surprise = -torch.gather(torch.log_softmax(logits, -1), -1, z.unsqueeze(-1)).squeeze(-1)
        total = total - (masked * surprise).sum(-1) / (1 - kappa.squeeze(-1))
    return total / draws
