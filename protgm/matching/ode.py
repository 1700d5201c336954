"""Flows by torchdiffeq: adaptive Runge-Kutta methods of a library, as a solver beside the others.

torchdiffeq (MIT) needs nothing but torch and scipy, which are here already; it is imported when a step is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from protgm.lie import so3
from protgm.matching.generators import Term
from protgm.matching.product import ProductGenerator
from protgm.matching.protocols import Generator
from protgm.matching.spaces import CentredPoints, Euclidean, Rotations, Torus
from protgm.matching.superposition import Superposition
from protgm.streams import Source

__all__ = ["AdaptiveODE"]

S = TypeVar("S")
V = TypeVar("V")
P = TypeVar("P")


@dataclass(frozen=True)
class AdaptiveODE:
    """Each step of the controller integrated by an adaptive Runge-Kutta method, its error held below tolerances.

    For flows alone, on flat spaces and on rotations (as matrices, made orthogonal again after the step), and on
    products of them. Give the controller as few times as the result is wanted at, such as
    ``torch.tensor([0.0, 0.999])``. Gradients pass through (`simulate` with ``gradients=True``).

    Parameters
    ----------
    relative, absolute : float
        Tolerances of torchdiffeq.
    method : str
        One of torchdiffeq's adaptive methods.
    """

    relative: float = 1e-5
    absolute: float = 1e-6
    method: str = "dopri5"

    def step(
        self,
        generator: Generator[S, V, P],
        predict: Callable[[S, Tensor], P],
        x: S,
        t: Tensor,
        h: Tensor,
        source: Source,
    ) -> S:
        """The state at t + h; as many calls of the predictor as the tolerances need.

        Raises
        ------
        ValueError
            If torchdiffeq is not installed, a term jumps or is random, a space is another one, or elements have times
            of their own.
        """
        parts = _components(generator)
        if t.dim() or h.dim():
            raise ValueError("AdaptiveODE: one time for the whole batch; elements with their own need Midpoint()")
        try:
            from torchdiffeq import odeint
        except ModuleNotFoundError:
            raise ValueError("AdaptiveODE: torchdiffeq is not installed; pip install torchdiffeq") from None
        single = not isinstance(x, tuple)

        def field(now: Tensor, state: Any) -> Any:
            whole: Any = state[0] if single else tuple(state)
            found: Any = generator.drift(predict(whole, now), now)
            drifts = (found,) if single else found
            rows = zip(parts, state, drifts, strict=True)
            return tuple(_ambient(g, a, u) for g, a, u in rows)

        start: Any = (x,) if single else x
        end = odeint(field, start, torch.stack((t, t + h)), rtol=self.relative, atol=self.absolute, method=self.method)
        landed = tuple(_settle(g, a[-1]) for g, a in zip(parts, end, strict=True))
        result: Any = landed[0] if single else landed
        out: S = result
        return out


def _components(generator: Any) -> tuple[Superposition, ...]:
    parts = generator.generators if isinstance(generator, ProductGenerator) else (generator,)
    for part in parts:
        for _, term in part.parts:
            if type(term).jump is not Term.jump or type(term).spread is not Term.spread:
                raise ValueError(f"AdaptiveODE: {type(term).__name__} is random; it integrates flows alone")
        if not isinstance(part.path.space, Euclidean | CentredPoints | Torus | Rotations):
            raise ValueError(f"AdaptiveODE: {type(part.path.space).__name__} is neither flat nor SO(3); use Midpoint()")
    return tuple(parts)


def _ambient(generator: Superposition, x: Tensor, drift: Tensor | None) -> Tensor:
    """d x / d t in the coordinates of x."""
    if drift is None:
        return torch.zeros_like(x)
    return x @ so3.hat(drift) if isinstance(generator.path.space, Rotations) else drift


def _settle(generator: Superposition, x: Tensor) -> Tensor:
    """Back onto the space that rounding and the method's error have left."""
    space = generator.path.space
    if isinstance(space, Rotations):
        return so3.orthonormalize(x)
    if isinstance(space, Torus):
        return space.wrap(x)
    return space.project(x) if isinstance(space, CentredPoints) else x
