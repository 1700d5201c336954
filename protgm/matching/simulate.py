"""Simulators: a generator, a predictor, a solver, a controller of the steps, and what to save, in one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import torch
from torch import Tensor

from protgm.matching.generators import Term
from protgm.matching.product import ProductGenerator, as_generator
from protgm.matching.protocols import Generator, Prediction, Predictor
from protgm.matching.saving import Final, NoProgress, Save, TerminalProgress
from protgm.matching.solvers import Euler, Heun, Midpoint, Solver
from protgm.matching.superposition import Superposition
from protgm.streams import Source

__all__ = ["Adaptive", "Euler", "Fixed", "Heun", "Midpoint", "Solver", "simulate"]

S = TypeVar("S")
V = TypeVar("V")
P = TypeVar("P")


@dataclass(frozen=True)
class Fixed:
    """Steps of a given grid.

    Parameters
    ----------
    times : Tensor, shape (steps + 1,) or (steps + 1, ...)
        Increasing. With further dimensions, each element of the batch has its own times; equal times leave it where it
        is.
    """

    times: Tensor

    def __post_init__(self) -> None:
        if len(self.times) < 2 or bool((self.times.diff(dim=0) < 0).any()):
            raise ValueError("Fixed: the times of a grid must not decrease, and there must be at least two")

    @property
    def total(self) -> int | None:
        """Number of steps."""
        return len(self.times) - 1

    def steps(
        self, generator: Generator[S, V, P], predict: Callable[[S, Tensor], P], state: _State[S], source: Source
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of t and h."""
        like = state.like()
        for t, later in zip(self.times[:-1], self.times[1:], strict=True):
            yield t.to(**like), (later - t).to(**like)


@dataclass(frozen=True)
class Adaptive:
    """Steps as long as two bounds allow, common to the batch.

    Both are read before the step is drawn, so nothing is biased.

    Parameters
    ----------
    hazard : float
        The ``quantile`` of the integrated hazard stays at or below this, so that few elements would have jumped twice.
    tolerance : float
        The ``quantile`` of the distance between an Euler and a Heun step stays at or below this, in the space's units.
    start, end : float
    quantile : float
    smallest, largest : float
        Bounds of a step.
    """

    hazard: float = 0.15
    tolerance: float = 3e-3
    start: float = 0.0
    end: float = 1.0
    quantile: float = 0.99
    smallest: float = 1e-5
    largest: float = 0.1

    def __post_init__(self) -> None:
        if not (self.hazard > 0 and self.tolerance > 0 and 0 < self.smallest <= self.largest):
            raise ValueError("Adaptive: hazard, tolerance and the bounds of a step must be positive")

    @property
    def total(self) -> int | None:
        """Unknown."""
        return None

    def steps(
        self, generator: Generator[S, V, P], predict: Callable[[S, Tensor], P], state: _State[S], source: Source
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of t and h."""
        like = state.like()
        t, h = self.start, min(self.largest, 10 * self.smallest)
        while t < self.end - 1e-12:
            h = min(2 * h, self.largest)
            x, now = state.x, torch.tensor(t, **like)
            prediction = predict(x, now)
            drift = generator.drift(prediction, now)
            while True:
                h = max(min(h, self.end - t), min(self.smallest, self.end - t))
                width = torch.tensor(h, **like)
                hazard = generator.largest_hazard(x, now, width, prediction, self.quantile, source)
                far = generator.nudge(x, width, drift)
                ahead = torch.tensor(min(t + h, 1 - 1e-6), **like)
                error = generator.drift_error(
                    x, width, drift, far, generator.drift(predict(far, ahead), ahead), self.quantile
                )
                excess = max(hazard / self.hazard, (error / self.tolerance) ** 0.5)
                if excess <= 1 or h <= self.smallest * 1.0001:
                    break
                h *= max(0.2, 0.9 / excess)
            yield now, width
            t += h


class _State(Generic[S]):
    """The current state, shared with the controller."""

    def __init__(self, x: S) -> None:
        self.x = x

    def like(self) -> dict[str, Any]:
        first = self.x[0] if isinstance(self.x, tuple) else self.x
        assert isinstance(first, Tensor)
        dtype = first.dtype if first.is_floating_point() else torch.get_default_dtype()
        return {"dtype": dtype, "device": first.device}


@overload
def simulate(
    generator: Term | Superposition,
    predict: Predictor,
    x: Tensor,
    controller: Fixed | Adaptive | Tensor,
    *,
    solver: Solver | None = ...,
    save: None = ...,
    progress: NoProgress | TerminalProgress | None = ...,
    source: Source = ...,
    gradients: bool = ...,
) -> Tensor: ...
@overload
def simulate(
    generator: ProductGenerator,
    predict: Callable[[tuple[Tensor, ...], Tensor], Sequence[Prediction]],
    x: tuple[Tensor, ...],
    controller: Fixed | Adaptive | Tensor,
    *,
    solver: Solver | None = ...,
    save: None = ...,
    progress: NoProgress | TerminalProgress | None = ...,
    source: Source = ...,
    gradients: bool = ...,
) -> tuple[Tensor, ...]: ...
@overload
def simulate(
    generator: Term | Superposition | ProductGenerator,
    predict: Callable[..., Any],
    x: Any,
    controller: Fixed | Adaptive | Tensor,
    *,
    solver: Solver | None = ...,
    save: Save | None,
    progress: NoProgress | TerminalProgress | None = ...,
    source: Source = ...,
    gradients: bool = ...,
) -> Any: ...
def simulate(
    generator: Term | Superposition | ProductGenerator,
    predict: Callable[..., Any],
    x: Any,
    controller: Fixed | Adaptive | Tensor,
    *,
    solver: Solver | None = None,
    save: Save | None = None,
    progress: NoProgress | TerminalProgress | None = None,
    source: Source = None,
    gradients: bool = False,
) -> Any:
    """Follow a generator from its prior.

    Parameters
    ----------
    generator : Term, Superposition or ProductGenerator
    predict : callable
        ``predict(x, t)`` gives a `Prediction` (a tuple of them on a product).
    x : Tensor or tuple of Tensor
        State at the first time.
    controller : Fixed, Adaptive, or Tensor of times
    solver : Solver, optional
        `Midpoint` by default.
    save : Save, optional
        `Final` by default.
    progress : optional
        Nothing is shown by default.
    source : torch.Generator or Streams, optional
    gradients : bool
        Keep the graph, so that the result can be differentiated by the start and by what the predictor depends on.
        Along jumps only where they land is differentiated, not whether they happen.

    Returns
    -------
    What ``save.result()`` gives: the last state by default.

    Raises
    ------
    ValueError
        If a time does not fit the state, the weights of a sum are wrong at a time of a step, or there is no step.
    """
    whole = as_generator(generator)
    controller = Fixed(controller) if isinstance(controller, Tensor) else controller
    with torch.set_grad_enabled(gradients and torch.is_grad_enabled()):
        return _follow(
            whole, predict, x, controller, solver or Midpoint(), save or Final(), progress or NoProgress(), source
        )


def _follow(
    generator: Any,
    predict: Callable[..., Any],
    x: Any,
    controller: Fixed | Adaptive,
    solver: Solver,
    save: Save,
    progress: NoProgress | TerminalProgress,
    source: Source,
) -> Any:
    state, done, now = _State(x), 0, None
    try:
        for t, h in controller.steps(generator, predict, state, source):
            if now is None:
                generator.check_time(x, t)
            save.see(t if now is None else now, state.x, False)
            state.x = solver.step(generator, predict, state.x, t, h, source)
            now, done = t + h, done + 1
            progress.update(done, controller.total, float(now.max()))
        if now is None:
            raise ValueError("simulate: the controller takes no step; its end must come after its start")
        save.see(now, state.x, True)
    finally:
        progress.close()
    return save.result()
