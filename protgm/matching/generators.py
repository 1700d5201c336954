"""Generators as terms that add.

Flow, diffusion, jump, their superpositions, and parts that leave every marginal as it is.

The Kolmogorov forward equation is linear in the generator (Holderrieth et al. 2024, proposition 3). Each term says how
many times it carries the law forward: a flow, a diffusion or a jump once (``net = 1``), a Langevin or balance part not
at all (0), a backward jump once backward (-1). A sum with non-negative weights generates the path exactly when the
weighted nets sum to one at every t, and anything else is refused:

    0.3 * Flow(path) + 0.7 * Jump(path)
    Flow(path) + 2.0 * Langevin(path, noise=0.5)
    1.5 * Jump(path) + 0.5 * BackwardJump(path)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.matching.protocols import (
    BackwardJumpPath,
    BalancePath,
    FlowPath,
    JumpPath,
    NoisyPath,
    Prediction,
    ReversiblePath,
    ScorePath,
)
from protgm.matching.spaces import CentredPoints, Euclidean, expand
from protgm.matching.superposition import Proposal, Superposition, Weight, weight_at
from protgm.streams import Source

__all__ = [
    "BackwardFlow",
    "BackwardJump",
    "Balance",
    "Circulation",
    "Diffusion",
    "Flow",
    "Jump",
    "Langevin",
    "Superposition",
    "Term",
]


def _need(path: NoisyPath, term: str, kind: type, *methods: str) -> None:
    """Refuse a path that is not of a kind, naming the first of the kind's methods that it lacks."""
    if not isinstance(path, kind):
        missing = next((m for m in methods if not hasattr(path, m)), "space or sample")
        raise ValueError(f"{term}: {type(path).__name__} has no {missing}, so this term does not exist on it")


class Term:
    """One term of a generator on one path."""

    path: NoisyPath
    net: int = 1

    def drift(self, prediction: Prediction, t: Tensor) -> Tensor | None:
        """Deterministic motion, a tangent per unit time."""
        return None

    def spread(self, t: Tensor) -> Tensor | None:
        """g of the Brownian part, shape (...)."""
        return None

    def jump(self, prediction: Prediction, x: Tensor, t: Tensor, h: Tensor, generator: Source) -> Proposal | None:
        """Integrated hazard of the step, the clean point it aims at, and the path's way to land there."""
        return None

    def __add__(self, other: Term | Superposition) -> Superposition:
        return Superposition(((1.0, self),), complete=False) + other

    def __rmul__(self, weight: Weight) -> Superposition:
        return Superposition(((weight, self),), complete=False)


@dataclass(frozen=True)
class Flow(Term):
    """The probability-flow ODE."""

    path: FlowPath

    def __post_init__(self) -> None:
        _need(self.path, "Flow", FlowPath, "velocity")

    def drift(self, prediction: Prediction, t: Tensor) -> Tensor:
        """The velocity."""
        return prediction.velocity()


@dataclass(frozen=True)
class BackwardFlow(Term):
    """The ODE run backward in time; half of a predictor-corrector pair."""

    path: FlowPath
    net: int = -1

    def __post_init__(self) -> None:
        _need(self.path, "BackwardFlow", FlowPath, "velocity")

    def drift(self, prediction: Prediction, t: Tensor) -> Tensor:
        """Minus the velocity."""
        return -prediction.velocity()


@dataclass(frozen=True)
class Diffusion(Term):
    """``dx = (u + g^2/2 score) dt + g dW`` for any g >= 0 (Song et al. 2021): the flow and as much Langevin noise.

    Parameters
    ----------
    path : a path with a score
    noise : float, callable of t, or None
        g; None takes the path's exact time reversal.
    maximum : float
        g is capped here, which changes no marginal, since every g is right.
    """

    path: NoisyPath
    noise: Weight | None = None
    maximum: float = 4.0

    def __post_init__(self) -> None:
        _need(self.path, "Diffusion", FlowPath, "velocity")
        _need(self.path, "Diffusion", ScorePath, "score")
        if self.noise is None:
            _need(self.path, "Diffusion", ReversiblePath, "reverse_noise")

    def spread(self, t: Tensor) -> Tensor:
        """g, shape (...)."""
        if self.noise is not None:
            return weight_at(self.noise, t).clamp_max(self.maximum)
        assert isinstance(self.path, ReversiblePath)
        return self.path.reverse_noise(t).clamp_max(self.maximum)

    def drift(self, prediction: Prediction, t: Tensor) -> Tensor:
        """u + g^2/2 score."""
        half, score = 0.5 * self.spread(t).square(), prediction.score()
        return prediction.velocity() + expand(half, score.dim() - half.dim()) * score


@dataclass(frozen=True)
class Langevin(Term):
    """``g^2/2 score dt + g dW``: in balance with p_t at every t, so it can be added at any size."""

    path: ScorePath
    noise: Weight = 1.0
    net: int = 0

    def __post_init__(self) -> None:
        _need(self.path, "Langevin", ScorePath, "score")

    def spread(self, t: Tensor) -> Tensor:
        """g, shape (...)."""
        return weight_at(self.noise, t)

    def drift(self, prediction: Prediction, t: Tensor) -> Tensor:
        """g^2/2 score."""
        half, score = 0.5 * self.spread(t).square(), prediction.score()
        return expand(half, score.dim() - half.dim()) * score


@dataclass(frozen=True, eq=False)
class Circulation(Term):
    """``A score`` with an antisymmetric matrix A.

    A flow along the level lines of p_t, whose flux ``A grad p_t`` has no divergence.

    On R^d, where derivatives commute; on point sets (..., N, 3) it turns every point's score in the same way. It leaves
    every marginal as it is, at any strength, without any randomness.

    Parameters
    ----------
    path : a path on R^d with a score
    matrix : Tensor, shape (d, d)
        Antisymmetric; in squared units of x per unit time.
    """

    path: ScorePath
    matrix: Tensor
    net: int = 0

    def __post_init__(self) -> None:
        _need(self.path, "Circulation", ScorePath, "score")
        if not isinstance(self.path.space, Euclidean | CentredPoints):
            raise ValueError(
                f"Circulation: {type(self.path).__name__} is not on R^d, where alone this term has no divergence"
            )
        if self.matrix.dim() != 2 or not torch.equal(self.matrix, -self.matrix.mT):
            raise ValueError("Circulation: the matrix must be antisymmetric, A = -A^T")

    def drift(self, prediction: Prediction, t: Tensor) -> Tensor:
        """A score."""
        score = prediction.score()
        return score @ self.matrix.to(score).mT


@dataclass(frozen=True)
class Jump(Term):
    """The jump that carries mass from where p_t falls to where it grows, towards a fresh posterior draw each step."""

    path: JumpPath

    def __post_init__(self) -> None:
        _need(self.path, "Jump", JumpPath, "hazard", "sample_jump")
        if isinstance(self.path.space, CentredPoints):
            raise ValueError("Jump: on CentredPoints single coordinates would move the centre; use Euclidean()")

    def jump(self, prediction: Prediction, x: Tensor, t: Tensor, h: Tensor, generator: Source) -> Proposal:
        """Hazard over [t, t + h], the clean point it aims at, and how to land."""
        z = prediction.draw(generator=generator)
        return self.path.hazard(x, z, t, h), z, self.path.sample_jump


@dataclass(frozen=True)
class BackwardJump(Term):
    """The jump that solves the equation backward in time (signs of dp/dt swapped).

    Half of a predictor-corrector pair.
    """

    path: BackwardJumpPath
    net: int = -1

    def __post_init__(self) -> None:
        _need(self.path, "BackwardJump", BackwardJumpPath, "reverse_hazard", "sample_reverse_jump")

    def jump(self, prediction: Prediction, x: Tensor, t: Tensor, h: Tensor, generator: Source) -> Proposal:
        """Hazard over [t, t + h], the clean point it aims at, and how to land."""
        z = prediction.draw(generator=generator)
        return self.path.reverse_hazard(x, z, t, h), z, self.path.sample_reverse_jump


@dataclass(frozen=True)
class Balance(Term):
    """Moves of a Markov chain in detailed balance with p_t, such as remasking and its repair: the chain's corrector."""

    path: BalancePath
    net: int = 0

    def __post_init__(self) -> None:
        _need(self.path, "Balance", BalancePath, "balance_hazard", "balance_move")

    def jump(self, prediction: Prediction, x: Tensor, t: Tensor, h: Tensor, generator: Source) -> Proposal:
        """Hazard over [t, t + h], the clean point it aims at, and how to land."""
        z = prediction.draw(generator=generator)
        return self.path.balance_hazard(x, z, t, h), z, self.path.balance_move
