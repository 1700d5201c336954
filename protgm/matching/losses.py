"""Conditional generator matching: what to regress, and losses whose gradient is that of the marginal generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from protgm.matching.bregman import Bregman, GeneralisedKL, SquaredError
from protgm.matching.ctmc import MaskingPath, UniformPath
from protgm.matching.euclidean import GaussianPath
from protgm.matching.mixture import clock_rate
from protgm.matching.protocols import CoupledPath, FlowPath, NoisyPath, PairPath, ProbabilityPath, ScorePath
from protgm.matching.spaces import Categorical
from protgm.streams import Source

__all__ = [
    "Parameterisation",
    "conditional_target",
    "convert",
    "generator_matching_loss",
    "noised",
    "scaled_token_loss",
    "token_rate_loss",
]

Parameterisation = Literal["velocity", "score", "noise", "clean", "rate"]


@runtime_checkable
class RatePath(NoisyPath, Protocol):
    """A path whose jump has a rate."""

    def jump_rate(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Jumps per unit time."""
        ...


def conditional_target(path: NoisyPath, x: Tensor, z: Tensor, t: Tensor, parameterisation: Parameterisation) -> Tensor:
    """What a network of this parameterisation regresses, given z.

    On R^d all five exist; on manifolds velocity, score and rate; on tokens the rates of leaving x for each state (...,
    states). The rate of a jump is one number per coordinate on R^d (..., d), and one per point elsewhere (..., 1).

    Raises
    ------
    ValueError
        For a parameterisation that the path does not have.
    """
    if parameterisation == "clean":
        return z
    if parameterisation == "velocity" and isinstance(path, FlowPath):
        return path.velocity(x, z, t)
    if parameterisation == "score" and isinstance(path, ScorePath):
        return path.score(x, z, t)
    if parameterisation == "noise" and isinstance(path, GaussianPath):
        return path.noise_from_clean(z, x, t)
    if parameterisation == "rate" and isinstance(path, ProbabilityPath) and isinstance(path.space, Categorical):
        return path.rates(x, torch.nn.functional.one_hot(z, path.space.size).to(t.dtype), t)
    if parameterisation == "rate" and isinstance(path, RatePath):
        rate = path.jump_rate(x, z, t)
        return rate if rate.dim() == x.dim() and path.space.event_dim == 1 else rate.unsqueeze(-1)
    raise ValueError(
        f"{type(path).__name__} has no target {parameterisation!r}; "
        "use another of velocity, score, noise, clean and rate"
    )


def noised(
    path: NoisyPath,
    z: Tensor,
    t: Tensor,
    parameterisation: str,
    *,
    noise: Tensor | None = None,
    generator: Source = None,
) -> tuple[Tensor, Tensor]:
    """``x_t``, and the clean point that it was drawn given: z, or the pair of both ends where the path wants one.

    Parameters
    ----------
    path : a path
    z : Tensor, shape (..., *event)
    t : Tensor, shape (...)
    parameterisation : str
        What is going to be regressed.
    noise : Tensor, shape (..., *event), optional
        The noise that belongs to z, as from a coupling; drawn independently where not given.
    generator : torch.Generator or Streams, optional

    Raises
    ------
    ValueError
        If the path cannot be told its noise, must be told it, or the target is unknown under a coupling: the score and
        the jump toward z are those of independent noise.
    """
    if isinstance(path, PairPath):
        if noise is None:
            raise ValueError(f"{type(path).__name__} joins pairs: give the noise that belongs to the data, `noise=`")
        z = path.pair(noise, z)
        return path.sample(z, t, generator=generator), z
    if noise is None:
        return path.sample(z, t, generator=generator), z
    if not isinstance(path, CoupledPath):
        raise ValueError(f"{type(path).__name__} noises data by a kernel around it: it takes no noise of a coupling")
    if parameterisation not in path.coupled_targets:
        raise ValueError(
            f"the {parameterisation} of {type(path).__name__} given the data alone is known for independent noise "
            f"only; with coupled noise regress {' or '.join(sorted(path.coupled_targets))}, or take a "
            "SchroedingerBridgePath"
        )
    return path.sample(z, t, noise=noise, generator=generator), z


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
        A rate is not affine in them: it has no conversion.

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
    hub = {"velocity": path.clean_from_velocity, "score": path.clean_from_score, "noise": path.clean_from_noise}
    clean = value if given == "clean" else hub[given](value, x, t)
    return conditional_target(path, x, clean, t, wanted)


def generator_matching_loss(
    path: NoisyPath,
    network: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    t: Tensor,
    *,
    parameterisation: Parameterisation = "velocity",
    divergence: Bregman | None = None,
    noise: Tensor | None = None,
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
    parameterisation : {"velocity", "score", "noise", "clean", "rate"}
        What the network predicts; see `conditional_target`.
    divergence : Bregman, optional
        Where not given, generalised KL for rates and squared error for the rest.
    noise : Tensor, shape (..., *event), optional
        The noise that a coupling gives to z (`protgm.matching.couplings`); independent where not given.

    Returns
    -------
    Tensor, shape (...)
    """
    x, z = noised(path, z, t, parameterisation, noise=noise, generator=generator)
    target = conditional_target(path, x, z, t, parameterisation)
    predicted = network(x, t)
    if parameterisation == "rate" and isinstance(path, ProbabilityPath):  # staying is not a jump
        predicted = predicted.scatter(-1, x.unsqueeze(-1), 0.0)
    return (divergence or (GeneralisedKL() if parameterisation == "rate" else SquaredError()))(target, predicted)


def token_rate_loss(path: MaskingPath | UniformPath, logits: Tensor, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """Generalised KL from predicted to conditional rates, ``sum_{y != x} Q_th - Q + Q log(Q / Q_th)``.

    With rates ``r p(y)``, ``r = kappa'/(1 - kappa)``, the sum is ``r [1 - p(x) - 1_{x != z} (1 + log p(z))]``: on the
    masking path the cross-entropy of masked tokens times r. Its integral over t bounds the log-likelihood
    (`protgm.matching.elbo.token_elbo`).

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
    return clock_rate(path.clock, t) * scaled_token_loss(path, logits, x, z)


def scaled_token_loss(path: MaskingPath | UniformPath, logits: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """`token_rate_loss` over the rate ``kappa'/(1 - kappa)``, shape (...): all that depends on the tokens."""
    log_p = torch.log_softmax(logits, dim=-1)
    surprise = -torch.gather(log_p, -1, z.unsqueeze(-1)).squeeze(-1)
    if isinstance(path, MaskingPath):
        return torch.where(x == path.size, surprise, 0.0)
    stays = torch.exp(torch.gather(log_p, -1, x.unsqueeze(-1)).squeeze(-1))
    return 1 - stays + torch.where(x != z, surprise - 1, 0.0)
