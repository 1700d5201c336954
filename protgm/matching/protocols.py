"""What a path, a prediction, a predictor and a generator are, as types.

A *path* has a space, a prior and a way to noise a clean point; whatever else it can do is a further protocol, and a
term of a generator asks for the one that it needs. They are checked by `isinstance`, so a class of one's own is a path
as soon as it has the methods. Shapes: points ``(..., *event)``, times ``(...)``, tangents ``(..., *tangent)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

from protgm.matching.spaces import Categorical, Space, expand
from protgm.streams import Source

__all__ = [
    "BackwardJumpPath",
    "BalancePath",
    "CoupledPath",
    "DensityPath",
    "EvolvingPath",
    "FlowPath",
    "Generator",
    "JumpPath",
    "NoisyPath",
    "PairPath",
    "Path",
    "Prediction",
    "Predictor",
    "ProbabilityPath",
    "ReversiblePath",
    "ScorePath",
    "tangent_dim",
    "time_for",
]


@runtime_checkable
class NoisyPath(Protocol):
    """The least that a term asks of every path: where its points live, and noised points."""

    @property
    def space(self) -> Space | Categorical:
        """Where points live."""
        ...

    def sample(self, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Draw ``x_t`` given the clean point z."""
        ...


@runtime_checkable
class Path(NoisyPath, Protocol):
    """A conditional path: a prior at t = 0, a law of ``x_t`` given z, and z itself at t = 1."""

    def prior(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Draws of the law at t = 0."""
        ...


@runtime_checkable
class FlowPath(NoisyPath, Protocol):
    """A path with a flow."""

    def velocity(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Conditional velocity, a tangent per unit time."""
        ...


@runtime_checkable
class ScorePath(NoisyPath, Protocol):
    """A path with a score."""

    def score(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Gradient of the conditional log density, a tangent."""
        ...


@runtime_checkable
class ReversiblePath(FlowPath, ScorePath, Protocol):
    """A path that is some diffusion run backward."""

    def reverse_noise(self, t: Tensor) -> Tensor:
        """g of the exact time reversal, shape (...)."""
        ...


@runtime_checkable
class JumpPath(NoisyPath, Protocol):
    """A path with a jump."""

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Rate integrated over [t, t + h] at a fixed x."""
        ...

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a jump at time t lands."""
        ...


@runtime_checkable
class BackwardJumpPath(NoisyPath, Protocol):
    """A path with a jump that runs it backward in time."""

    def reverse_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Rate integrated over [t, t + h] at a fixed x."""
        ...

    def sample_reverse_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a backward jump at time t lands."""
        ...


@runtime_checkable
class BalancePath(NoisyPath, Protocol):
    """A path with moves in detailed balance with its law."""

    def balance_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Rate, per unit of strength, integrated over [t, t + h]."""
        ...

    def balance_move(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where such a move goes."""
        ...


@runtime_checkable
class DensityPath(NoisyPath, Protocol):
    """A path whose conditional law has a density."""

    def log_density(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of ``x_t`` given z, shape (...)."""
        ...


@runtime_checkable
class EvolvingPath(NoisyPath, Protocol):
    """A path that says how its density changes with time, so that the forward equation can be tested on it."""

    def log_density_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d log p_t(x | z) / dt``, shape (...), or one for each coordinate of a factorised path."""
        ...


@runtime_checkable
class ProbabilityPath(NoisyPath, Protocol):
    """A path on tokens."""

    def probability(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``p_t(x | z)``, shape (...)."""
        ...

    def probability_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d p_t(x | z) / dt``, shape (...)."""
        ...

    def rates(self, x: Tensor, posterior: Tensor, t: Tensor) -> Tensor:
        """Rates of leaving x for every state, given probabilities of the clean token, shape (..., states)."""
        ...


@runtime_checkable
class CoupledPath(NoisyPath, Protocol):
    """A path that can be told where it starts."""

    @property
    def coupled_targets(self) -> frozenset[str]:
        """What may be regressed when noise and data are not independent; see `conditional_target`."""
        ...

    def sample(self, z: Tensor, t: Tensor, *, noise: Tensor | None = None, generator: Source = None) -> Tensor:
        """Draw ``x_t`` given z, and given the noise point where there is one."""
        ...


@runtime_checkable
class PairPath(NoisyPath, Protocol):
    """A path whose "clean point" is a pair of noise and data."""

    def pair(self, noise: Tensor, data: Tensor) -> Tensor:
        """Both ends as one tensor."""
        ...


class Prediction(Protocol):
    """What is known about the clean point at one state and time."""

    def velocity(self) -> Tensor:
        """Posterior mean of the conditional velocity, a tangent."""
        ...

    def score(self) -> Tensor:
        """Posterior mean of the conditional score, a tangent."""
        ...

    def draw(self, *, generator: Source = None) -> Tensor:
        """A fresh draw of the clean point."""
        ...


State = TypeVar("State")
Tangent = TypeVar("Tangent")
Answer = TypeVar("Answer", contravariant=True)

Predictor = Callable[[Tensor, Tensor], Prediction]
"""From a state and a time to a `Prediction`; on a product, from a tuple of states to a tuple of predictions."""


class Generator(Protocol[State, Tangent, Answer]):
    """What a solver asks of a generator: `Superposition` on one space, `ProductGenerator` on several.

    ``State`` is a tensor or a tuple of them, ``Tangent`` a motion of it, ``Answer`` what the predictor returns.
    """

    def check_time(self, x: State, t: Tensor) -> None:
        """Refuse a time that does not fit the state."""
        ...

    def drift(self, prediction: Answer, t: Tensor) -> Tangent:
        """Deterministic motion per unit time."""
        ...

    def kick(self, x: State, t: Tensor, h: Tensor, source: Source) -> Tangent:
        """Brownian part of a step, drawn once and shared by the stages of a solver."""
        ...

    def nudge(self, x: State, h: Tensor, drift: Tangent, kick: Tangent | None = None, share: float = 1.0) -> State:
        """x moved along the drift for a time h, and along a share of the kick."""
        ...

    def average(self, x: State, drift: Tangent, y: State, other: Tangent, share: float) -> Tangent:
        """``(1 - share) drift + share other``, the latter carried from y to x."""
        ...

    def advance(
        self, x: State, t: Tensor, h: Tensor, drift: Tangent, kick: Tangent, prediction: Answer, source: Source
    ) -> State:
        """One step: drift and kick, then jumps."""
        ...

    def largest_hazard(
        self, x: State, t: Tensor, h: Tensor, prediction: Answer, quantile: float, source: Source
    ) -> float:
        """A high quantile, over the batch, of the integrated hazard of the step."""
        ...

    def drift_error(self, x: State, h: Tensor, drift: Tangent, y: State, other: Tangent, quantile: float) -> float:
        """A high quantile of how far Euler and Heun steps of this length end apart."""
        ...


def tangent_dim(path: NoisyPath) -> int:
    """Trailing dimensions of a tangent of the path's space; 0 on tokens, which have none."""
    return 0 if isinstance(path.space, Categorical) else path.space.tangent_dim


def time_for(path: NoisyPath, x: Tensor, t: Tensor) -> Tensor:
    """A time of the common batch, with dimensions of one for the elements that this component has besides."""
    missing = x.dim() - path.space.event_dim - t.dim()
    return expand(t, missing) if t.dim() and missing > 0 else t
