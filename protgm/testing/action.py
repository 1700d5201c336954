"""A generator on test functions: ``L_t f`` of a conditional generator, by differences and by drawn jumps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.matching.predictions import Known
from protgm.matching.protocols import EvolvingPath, NoisyPath, ProbabilityPath
from protgm.matching.spaces import Space, expand
from protgm.matching.superposition import Superposition, weight_at
from protgm.streams import Source

__all__ = ["Action", "Function", "growth"]

#: A bounded smooth function of points, from (..., *event) to (...).
Function = Callable[[Tensor], Tensor]
#: Two points on either side of x, a factor, and the order of the derivative that they stand for.
Difference = tuple[Tensor, Tensor, Tensor, int]
#: Rate and destination of one term's jump.
Landing = tuple[Tensor, Tensor]

#: Of the differences: everything is in float64, where both orders are then right to 1e-7.
_STEP = 1e-4


@dataclass(frozen=True)
class _Draw:
    """A prediction that draws one known point."""

    z: Tensor

    def velocity(self) -> Tensor:
        raise NotImplementedError("a jump asked for a velocity")

    def score(self) -> Tensor:
        raise NotImplementedError("a jump asked for a score")

    def draw(self, *, generator: Source = None) -> Tensor:
        return self.z


@dataclass(frozen=True)
class Action:
    """``L_t f`` at points x: where differences look and jumps land is found once for all test functions.

    Parameters
    ----------
    x : Tensor, shape (samples, *event)
    event : int
        Dimensions of a point.
    differences : list of Difference
    landings : list of Landing
    """

    x: Tensor
    event: int
    differences: list[Difference]
    landings: list[Landing]

    @classmethod
    def at(cls, generator: Superposition, x: Tensor, z: Tensor, t: Tensor, source: torch.Generator) -> Action:
        """Of the generator of the path to z, at x and t."""
        path = generator.path
        drift = generator.drift(Known(path, z)(x, t), t)
        variance: Tensor | None = None
        for weight, term in generator.parts:
            g = term.spread(t)
            if g is not None:
                part = weight_at(weight, t) * g.square()
                variance = part if variance is None else variance + part
        differences: list[Difference] = []
        if drift is not None or variance is not None:
            assert isinstance(path.space, Space)
            differences = _differences(path.space, x, drift, variance)
        return cls(x, path.space.event_dim, differences, _landings(generator, x, z, t, source))

    def __call__(self, f: Function, here: Tensor) -> Tensor:
        """``L f`` at every x; f(x) is ``here``."""
        return self._jumps(f, here) + self._motion(f, here)

    def _motion(self, f: Function, here: Tensor) -> Tensor:
        """Its drift and diffusion."""
        total = torch.zeros_like(here)
        for ahead, behind, factor, order in self.differences:
            first, second = f(ahead), f(behind)
            change = (first - second) / (2 * _STEP) if order == 1 else (first + second - 2 * here) / _STEP**2
            total = total + factor * change
        return total

    def _jumps(self, f: Function, here: Tensor) -> Tensor:
        """Its jumps; coordinates that jump singly are summed over."""
        x, total = self.x, torch.zeros_like(here)
        for rate, landed in self.landings:
            if rate.dim() == x.dim() and self.event == 1:
                for i in range(x.shape[-1]):
                    moved = x.clone()
                    moved[..., i] = landed[..., i]
                    total = total + rate[..., i] * (f(moved) - here)
            else:
                total = total + rate * (f(landed) - here)
        return total


def _differences(space: Space, x: Tensor, drift: Tensor | None, variance: Tensor | None) -> list[Difference]:
    """Where central differences of step `_STEP` along the exponential map look."""
    found: list[Difference] = []
    zero = torch.zeros_like(space.noise(x))
    if drift is not None:
        length = drift.flatten(x.dim() - space.event_dim).norm(dim=-1)
        unit = drift / expand(length.clamp_min(1e-300), drift.dim() - length.dim())
        found.append((space.move(x, _STEP * unit), space.move(x, -_STEP * unit), length, 1))
    if variance is not None:
        for i in range(zero.shape[-1]):
            direction = zero.clone()
            direction[..., i] = _STEP
            found.append((space.move(x, direction), space.move(x, -direction), 0.5 * variance, 2))
    return found


def _landings(generator: Superposition, x: Tensor, z: Tensor, t: Tensor, source: torch.Generator) -> list[Landing]:
    short, found = torch.tensor(1e-6, dtype=t.dtype), []
    for weight, term in generator.parts:
        proposal = term.jump(_Draw(z), x, t, short, source)
        if proposal is not None:
            hazard, aim, land = proposal
            found.append((weight_at(weight, t) * hazard / short, land(x, aim, t, generator=source)))
    return found


def growth(path: NoisyPath, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """``d log p_t(x | z) / dt``, shape (samples,)."""
    if isinstance(path, ProbabilityPath):
        return path.probability_derivative(x, z, t) / path.probability(x, z, t)
    if not isinstance(path, EvolvingPath):
        raise ValueError(f"{type(path).__name__} has no log_density_derivative: its equation cannot be tested")
    found = path.log_density_derivative(x, z, t)
    # One number per coordinate of a factorised path.
    return found.sum(-1) if found.dim() > x.dim() - path.space.event_dim else found
