"""What a generator asks of the posterior: the mean velocity, the mean score, and draws of the clean point.

A *predictor* is called once per state and time and returns a `Prediction`, from which every term of a superposition
takes what it needs. Flows and diffusions need posterior means; a jump needs draws: with a point prediction in their
place the weights of the modes come out wrong, which `PointPrediction` is here to show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from protgm.lie.random import Source
from protgm.matching.ctmc import draw_tokens
from protgm.matching.spaces import expand

__all__ = ["FiniteData", "Known", "Learned", "PointPrediction", "Prediction", "Predictor"]


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


Predictor = Callable[[Any, Any], Any]
"""From a state and a time to a `Prediction` (a tuple of them on a product)."""


@dataclass(frozen=True)
class Known:
    """The conditional generator: z is given.

    Parameters
    ----------
    path : a path
    z : Tensor, shape (..., *event)
    """

    path: Any
    z: Tensor

    def __call__(self, x: Tensor, t: Tensor) -> _Weighted:
        """The prediction at (x, t)."""
        return _Weighted(self.path, x, t, self.z.unsqueeze(0), x.new_ones((1,), dtype=torch.get_default_dtype()))


@dataclass(frozen=True)
class FiniteData:
    """The exact posterior of a data law on finitely many points.

    Parameters
    ----------
    path : a path
        With a density: ``log_density``, or ``probability`` on tokens.
    points : Tensor, shape (K, *event)
    weights : Tensor, shape (K,)
        Non-negative; they need not sum to one.
    """

    path: Any
    points: Tensor
    weights: Tensor

    def __post_init__(self) -> None:
        if self.weights.shape != self.points.shape[:1] or bool((self.weights < 0).any()) or not self.weights.sum() > 0:
            raise ValueError(
                f"FiniteData: need one non-negative weight for each of the {len(self.points)} points, "
                f"got weights of shape {tuple(self.weights.shape)}"
            )

    def posterior(self, x: Tensor, t: Tensor) -> Tensor:
        """Probability of each point given x at t, shape (K, ...)."""
        points = self._points(x)
        if hasattr(self.path, "probability"):
            log_p = torch.log(self.path.probability(x, points, t))
        else:
            log_p = self.path.log_density(x, points, t)
        return torch.softmax(log_p + expand(torch.log(self.weights), log_p.dim() - 1), dim=0)

    def _points(self, x: Tensor) -> Tensor:
        event = self.path.space.event_dim
        batch = x.dim() - event
        return self.points.reshape(self.points.shape[:1] + (1,) * batch + self.points.shape[1:])

    def __call__(self, x: Tensor, t: Tensor) -> _Weighted:
        """The prediction at (x, t)."""
        return _Weighted(self.path, x, t, self._points(x), self.posterior(x, t))


@dataclass(frozen=True)
class PointPrediction:
    """The baseline that takes the most likely point for the whole posterior.

    Parameters
    ----------
    exact : FiniteData
    """

    exact: FiniteData

    def __call__(self, x: Tensor, t: Tensor) -> _Weighted:
        """The prediction at (x, t)."""
        best = self.exact.posterior(x, t).argmax(0)
        return Known(self.exact.path, self.exact.points[best])(x, t)


@dataclass(frozen=True)
class _Weighted:
    """Points (K, ..., *event) with posterior weights (K, ...)."""

    path: Any
    x: Tensor
    t: Tensor
    points: Tensor
    weights: Tensor

    def _mean(self, values: Tensor) -> Tensor:
        if len(values) == 1:
            return values[0]
        weights = self.weights.to(values.dtype)
        return (expand(weights, values.dim() - weights.dim()) * values).sum(0)

    def velocity(self) -> Tensor:
        return self._mean(self.path.velocity(self.x.unsqueeze(0), self.points, self.t))

    def score(self) -> Tensor:
        return self._mean(self.path.score(self.x.unsqueeze(0), self.points, self.t))

    def draw(self, *, generator: Source = None) -> Tensor:
        if len(self.points) == 1:
            return self.points[0].expand_as(self.x)
        chosen = draw_tokens(self.weights.movedim(0, -1), generator=generator)
        event = self.path.space.event_dim
        return self.points.reshape(self.points.shape[:1] + self.points.shape[self.points.dim() - event :])[chosen]


@dataclass(frozen=True)
class Learned:
    """What a network gives.

    Each part is a callable of nothing (draw: of ``generator``), so that unused parts cost nothing.

    Parameters
    ----------
    velocity_of, score_of : callable, optional
    draw_of : callable, optional
    """

    velocity_of: Callable[[], Tensor] | None = None
    score_of: Callable[[], Tensor] | None = None
    draw_of: Callable[..., Tensor] | None = None

    def _get(self, part: Callable[..., Tensor] | None, name: str) -> Callable[..., Tensor]:
        if part is None:
            raise ValueError(f"a term needs the prediction's {name}, which this predictor does not give")
        return part

    def velocity(self) -> Tensor:
        """Posterior mean of the velocity."""
        return self._get(self.velocity_of, "velocity")()

    def score(self) -> Tensor:
        """Posterior mean of the score."""
        return self._get(self.score_of, "score")()

    def draw(self, *, generator: Source = None) -> Tensor:
        """A draw of the clean point."""
        return self._get(self.draw_of, "draw")(generator=generator)
