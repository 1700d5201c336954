"""What a generator asks of the posterior: the mean velocity, the mean score, and draws of the clean point.

A *predictor* is called once per state and time and returns a `Prediction`, from which every term of a superposition
takes what it needs. Flows and diffusions need posterior means; a jump needs draws: with a point prediction in their
place the weights of the modes come out wrong, which `PointPrediction` is here to show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.matching.ctmc import draw_tokens
from protgm.matching.product import ProductPath
from protgm.matching.protocols import (
    DensityPath,
    FlowPath,
    NoisyPath,
    Prediction,
    Predictor,
    ProbabilityPath,
    ScorePath,
    time_for,
)
from protgm.matching.spaces import CentredPoints, expand
from protgm.streams import Source

__all__ = ["FiniteData", "FiniteProduct", "Known", "Learned", "PointPrediction", "Prediction", "Predictor"]


@dataclass(frozen=True)
class Known:
    """The conditional generator: z is given.

    Parameters
    ----------
    path : a path
    z : Tensor, shape (..., *event)
    """

    path: NoisyPath
    z: Tensor

    def __call__(self, x: Tensor, t: Tensor) -> Prediction:
        """The prediction at (x, t)."""
        return _Weighted(self.path, x, t, self.z.unsqueeze(0), x.new_ones((1,), dtype=torch.get_default_dtype()))


def _log_likelihood(path: NoisyPath, points: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """``log p_t(x | z)`` for each data point z of K, shape (K, *batch)."""
    rows = _rows(path, points, x)
    if isinstance(path, ProbabilityPath):
        log_p = torch.log(path.probability(x, rows, t))
    elif isinstance(path, DensityPath):
        log_p = path.log_density(x, rows, t)
    else:
        raise ValueError(f"FiniteData: {type(path).__name__} has neither log_density nor probability: no posterior")
    elements = points.dim() - 1 - path.space.event_dim
    return log_p.sum(tuple(range(-elements, 0))) if elements else log_p


def _rows(path: NoisyPath, points: Tensor, x: Tensor) -> Tensor:
    """The data points with the dimensions of the batch between, shape (K, 1, ..., *elements, *event)."""
    batch = x.dim() - (points.dim() - 1)
    if batch < 0:
        raise ValueError(
            f"FiniteData: data points of shape {tuple(points.shape[1:])} have more dimensions than the state, "
            f"{tuple(x.shape)}"
        )
    return points.reshape(points.shape[:1] + (1,) * batch + points.shape[1:])


def _check_weights(weights: Tensor, count: int) -> None:
    if weights.shape != (count,) or bool((weights < 0).any()) or not weights.sum() > 0:
        raise ValueError(
            f"FiniteData: need one non-negative weight for each of the {count} points, "
            f"got weights of shape {tuple(weights.shape)}"
        )


@dataclass(frozen=True)
class FiniteData:
    """The exact posterior of a data law on finitely many points.

    Where points have more dimensions than the space's events, a data point is a set of elements that belong together,
    such as the N points of a centred set or the L tokens of a string: their posterior is a common one.

    Parameters
    ----------
    path : a path
        With a density: ``log_density``, or ``probability`` on tokens.
    points : Tensor, shape (K, *elements, *event)
    weights : Tensor, shape (K,)
        Non-negative; they need not sum to one.
    """

    path: NoisyPath
    points: Tensor
    weights: Tensor

    def __post_init__(self) -> None:
        _check_weights(self.weights, len(self.points))
        least = 1 + self.path.space.event_dim + isinstance(self.path.space, CentredPoints)
        if self.points.dim() < least:
            raise ValueError(
                f"FiniteData: points on {type(self.path.space).__name__} need shape (K, ...) with at least {least} "
                f"dimensions, got {tuple(self.points.shape)}"
            )

    def posterior(self, x: Tensor, t: Tensor) -> Tensor:
        """Probability of each data point given x at t, shape (K, *batch)."""
        log_p = _log_likelihood(self.path, self.points, x, t)
        return torch.softmax(log_p + expand(torch.log(self.weights), log_p.dim() - 1), dim=0)

    def __call__(self, x: Tensor, t: Tensor) -> Prediction:
        """The prediction at (x, t)."""
        return _Weighted(self.path, x, t, _rows(self.path, self.points, x), self.posterior(x, t))


@dataclass(frozen=True)
class FiniteProduct:
    """The exact posterior of a data law on finitely many points of a product: one posterior for all components.

    Parameters
    ----------
    path : ProductPath
    points : tuple of Tensor, shapes (K, *elements, *event)
        Row k of each is data point k.
    weights : Tensor, shape (K,)
    """

    path: ProductPath
    points: tuple[Tensor, ...]
    weights: Tensor

    def __post_init__(self) -> None:
        if len(self.points) != len(self.path.paths):
            raise ValueError(f"FiniteProduct: {len(self.points)} sets of points for {len(self.path.paths)} paths")
        for points in self.points:
            _check_weights(self.weights, len(points))

    def posterior(self, x: Sequence[Tensor], t: Tensor) -> Tensor:
        """Probability of each data point given all components at t, shape (K, *batch)."""
        log_p = torch.log(self.weights)
        for path, points, a in zip(self.path.paths, self.points, x, strict=True):
            part = _log_likelihood(path, points, a, time_for(path, a, t))
            log_p = expand(log_p, part.dim() - log_p.dim()) + part
        return torch.softmax(log_p, dim=0)

    def __call__(self, x: Sequence[Tensor], t: Tensor) -> tuple[Prediction, ...]:
        """One prediction per component; their draws are independent given the posterior, as a step needs them."""
        weights = self.posterior(x, t)
        rows = zip(self.path.paths, self.points, x, strict=True)
        return tuple(_Weighted(p, a, time_for(p, a, t), _rows(p, z, a), weights) for p, z, a in rows)


@dataclass(frozen=True)
class PointPrediction:
    """The baseline that takes the most likely point for the whole posterior.

    Parameters
    ----------
    exact : FiniteData
    """

    exact: FiniteData

    def __call__(self, x: Tensor, t: Tensor) -> Prediction:
        """The prediction at (x, t)."""
        best = self.exact.posterior(x, t).argmax(0)
        return Known(self.exact.path, self.exact.points[best])(x, t)


@dataclass(frozen=True)
class _Weighted:
    """Data points (K, 1, ..., *elements, *event) with posterior weights (K, *batch)."""

    path: NoisyPath
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
        if not isinstance(self.path, FlowPath):
            raise ValueError(f"{type(self.path).__name__} has no velocity")
        return self._mean(self.path.velocity(self.x.unsqueeze(0), self.points, self.t))

    def score(self) -> Tensor:
        if not isinstance(self.path, ScorePath):
            raise ValueError(f"{type(self.path).__name__} has no score")
        return self._mean(self.path.score(self.x.unsqueeze(0), self.points, self.t))

    def draw(self, *, generator: Source = None) -> Tensor:
        if len(self.points) == 1:
            return self.points[0].expand_as(self.x)
        chosen = draw_tokens(self.weights.movedim(0, -1), generator=generator)
        own = self.points.shape[chosen.dim() + 1 :]  # of one data point
        return self.points.reshape(self.points.shape[:1] + own)[chosen]


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
