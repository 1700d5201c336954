"""Solvers: one step of a generator, by how many looks at the predictor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from protgm.matching.protocols import Generator
from protgm.streams import Source

__all__ = ["Euler", "Heun", "Midpoint", "RungeKutta4", "Solver"]

S = TypeVar("S")
V = TypeVar("V")
P = TypeVar("P")


class Solver(Protocol):
    """One step of a generator."""

    def step(
        self,
        generator: Generator[S, V, P],
        predict: Callable[[S, Tensor], P],
        x: S,
        t: Tensor,
        h: Tensor,
        source: Source,
    ) -> S:
        """The state at t + h."""
        ...


@dataclass(frozen=True)
class Euler:
    """First order: everything is read at the start of the step.

    On tokens this is tau-leaping with the posterior held fixed.
    """

    def step(
        self,
        generator: Generator[S, V, P],
        predict: Callable[[S, Tensor], P],
        x: S,
        t: Tensor,
        h: Tensor,
        source: Source,
    ) -> S:
        """The state at t + h; one call of the predictor."""
        prediction = predict(x, t)
        kick = generator.kick(x, t, h, source)
        return generator.advance(x, t, h, generator.drift(prediction, t), kick, prediction, source)


@dataclass(frozen=True)
class Midpoint:
    """Second-order drift, with Euler jumps ("mixed"); two calls of the predictor, one where nothing drifts.

    The Brownian kick is drawn first and half of it taken to the middle: second order in law, since the noise is
    additive. Jumps draw from the posterior of the start of the step: that of the middle at a point that has not jumped
    meanwhile is too narrow around it, and leaves too much where it is.
    """

    def step(
        self,
        generator: Generator[S, V, P],
        predict: Callable[[S, Tensor], P],
        x: S,
        t: Tensor,
        h: Tensor,
        source: Source,
    ) -> S:
        """The state at t + h."""
        prediction = predict(x, t)
        drift, kick = generator.drift(prediction, t), generator.kick(x, t, h, source)
        if not _still(drift):
            middle = generator.nudge(x, h / 2, drift, kick, 0.5)
            drift = generator.average(x, drift, middle, generator.drift(predict(middle, t + h / 2), t + h / 2), 1.0)
        return generator.advance(x, t, h, drift, kick, prediction, source)


def _still(drift: object) -> bool:
    """Whether no component drifts."""
    return all(part is None for part in drift) if isinstance(drift, tuple) else drift is None


@dataclass(frozen=True)
class Heun:
    """Second-order drift from both ends of the step, with Euler jumps ("mixed"); two calls of the predictor.

    The drift at the far end is not asked for where the step ends at t = 1, beyond which most velocities are not
    defined.
    """

    def step(
        self,
        generator: Generator[S, V, P],
        predict: Callable[[S, Tensor], P],
        x: S,
        t: Tensor,
        h: Tensor,
        source: Source,
    ) -> S:
        """The state at t + h."""
        prediction = predict(x, t)
        drift, kick = generator.drift(prediction, t), generator.kick(x, t, h, source)
        if bool((t + h < 1 - 1e-9).all()) and not _still(drift):
            end = generator.nudge(x, h, drift, kick)
            drift = generator.average(x, drift, end, generator.drift(predict(end, t + h), t + h), 0.5)
        return generator.advance(x, t, h, drift, kick, prediction, source)


@dataclass(frozen=True)
class RungeKutta4:
    """The classical fourth-order drift, with the jumps of `Midpoint`; four calls of the predictor.

    Fourth order on flat spaces. On curved ones tangents of the stages are carried to the start, which keeps second
    order only. A step that ends at t = 1, where most velocities are not defined, is one of `Midpoint`.
    """

    def step(
        self,
        generator: Generator[S, V, P],
        predict: Callable[[S, Tensor], P],
        x: S,
        t: Tensor,
        h: Tensor,
        source: Source,
    ) -> S:
        """The state at t + h."""
        if bool((t + h >= 1 - 1e-9).any()):
            return Midpoint().step(generator, predict, x, t, h, source)
        prediction = predict(x, t)
        first, kick = generator.drift(prediction, t), generator.kick(x, t, h, source)
        at = generator.nudge(x, h / 2, first, kick, 0.5)
        second = generator.drift(predict(at, t + h / 2), t + h / 2)
        total = generator.average(x, first, at, second, 2 / 3)  # (k1 + 2 k2) / 3
        at = generator.nudge(x, h / 2, generator.average(x, first, at, second, 1.0), kick, 0.5)
        third = generator.drift(predict(at, t + h / 2), t + h / 2)
        total = generator.average(x, total, at, third, 2 / 5)
        at = generator.nudge(x, h, generator.average(x, first, at, third, 1.0), kick)
        fourth = generator.drift(predict(at, t + h), t + h)
        return generator.advance(x, t, h, generator.average(x, total, at, fourth, 1 / 6), kick, prediction, source)
