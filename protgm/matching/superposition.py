"""Superpositions: weighted sums of terms on one path, and generators on products, with what a solver asks of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from protgm.lie.random import Source, Streams, rand
from protgm.matching.jumps import jump_or_stay
from protgm.matching.predictions import Prediction
from protgm.matching.spaces import expand

__all__ = ["ProductGenerator", "Proposal", "Superposition", "Weight", "as_generator", "weight_at"]

Weight = float | Callable[[Tensor], Tensor]
Proposal = tuple[Tensor, Tensor, Callable[..., Tensor]]
"""An integrated hazard, the clean point a jump aims at, and ``land(x, z, t, generator=...)``."""
_CHECK_AT = (0.0, 0.03, 0.25, 0.5, 0.75, 0.97, 1.0)


def weight_at(value: Weight, t: Tensor) -> Tensor:
    """A number or function of t as a tensor like t."""
    return value(t) if callable(value) else torch.as_tensor(float(value), dtype=t.dtype, device=t.device)


class Superposition:
    """A weighted sum of terms on one path.

    Parameters
    ----------
    parts : tuple of (weight, term)
        A weight is a non-negative number or a function of t.
    complete : bool
        Check at once that the weighted nets sum to one; a sum under construction is checked when it is first used.

    Raises
    ------
    ValueError
        If the terms belong to different paths, a weight is negative, or the sum does not generate the path.
    """

    def __init__(self, parts: tuple[tuple[Weight, Any], ...], *, complete: bool = True) -> None:
        self.parts = tuple(parts)
        if not self.parts:
            raise ValueError("Superposition: needs at least one term")
        self.path = self.parts[0][1].path
        for _, term in self.parts[1:]:
            if term.path != self.path:
                raise ValueError(
                    f"Superposition: all terms must share one path, but {self.parts[0][1]!r} and {term!r} do not"
                )
        if complete:
            self.check()

    def __repr__(self) -> str:
        def name(w: Weight) -> str:
            return "w(t)" if callable(w) else f"{w:g}"

        return " + ".join(f"{name(w)} {term!r}" for w, term in self.parts)

    def __add__(self, other: Any) -> Superposition:
        more = other.parts if isinstance(other, Superposition) else ((1.0, other),)
        return Superposition((*self.parts, *more), complete=False)

    def check(self) -> Superposition:
        """Refuse weights that are negative or whose nets do not sum to one, at any of a few times; returns itself."""
        t = torch.tensor(_CHECK_AT, dtype=torch.float64)
        weights = [weight_at(w, t).double().expand(t.shape) for w, _ in self.parts]
        for w, (_, term) in zip(weights, self.parts, strict=True):
            if bool((w < 0).any()) or not bool(w.isfinite().all()):
                raise ValueError(
                    f"Superposition: the weight of {term!r} is {w.min():g} at some t; it must not be negative"
                )
        total = sum(w * term.net for w, (_, term) in zip(weights, self.parts, strict=True))
        worst = (total - 1).abs().argmax()
        if abs(total[worst] - 1) > 1e-4:
            raise ValueError(
                f"Superposition: the weights of {self!r} carry the law {total[worst]:g} times at t = {t[worst]:g}; "
                "they must sum to one (backward terms count negative, Langevin and balance terms not at all)"
            )
        return self

    # What a solver asks for.
    def drift(self, prediction: Prediction, t: Tensor) -> Tensor | None:
        """Sum of the drifts, or None where no term has one."""
        total = None
        for weight, term in self.parts:
            part = term.drift(prediction, t)
            if part is not None:
                part = expand(weight_at(weight, t), self.path.space.tangent_dim) * part
                total = part if total is None else total + part
        return total

    def kick(self, x: Tensor, t: Tensor, h: Tensor, source: Source) -> Tensor | None:
        """The Brownian part of a step, a tangent at x drawn once and shared by the stages of a solver.

        None without one.
        """
        variance = None
        for weight, term in self.parts:
            g = term.spread(t + h / 2)
            if g is not None:
                part = weight_at(weight, t + h / 2) * g.square() * h
                variance = part if variance is None else variance + part
        if variance is None:
            return None
        return expand(torch.sqrt(variance), self.path.space.tangent_dim) * self.path.space.noise(x, generator=source)

    def nudge(
        self, x: Tensor, h: Tensor, drift: Tensor | None, kick: Tensor | None = None, share: float = 1.0
    ) -> Tensor:
        """x moved along the drift for a time h, and along a share of the kick."""
        tangent = None if drift is None else expand(h, self.path.space.tangent_dim) * drift
        if kick is not None:
            tangent = share * kick if tangent is None else tangent + share * kick
        return x if tangent is None else self.path.space.move(x, tangent)

    def average(self, x: Tensor, drift: Tensor | None, y: Tensor, other: Tensor | None, share: float) -> Tensor | None:
        """``(1 - share) drift + share other``, the latter carried from y to x."""
        if drift is None or other is None:
            return drift
        return (1 - share) * drift + share * self.path.space.transport(other, y, x)

    def advance(
        self,
        x: Tensor,
        t: Tensor,
        h: Tensor,
        drift: Tensor | None,
        kick: Tensor | None,
        prediction: Prediction,
        source: Source,
    ) -> Tensor:
        """One step: drift and kick, then each jump with probability ``1 - exp(-hazard)``."""
        event, out = self.path.space.event_dim, self.nudge(x, h, drift, kick)
        for weight, term in self.parts:
            proposal = term.jump(prediction, x, t, h, source)
            if proposal is not None:
                hazard, z, land = proposal
                weight_now = weight_at(weight, t + h / 2)
                weight_now = expand(weight_now, hazard.dim() - weight_now.dim())
                hazard = torch.where(weight_now > 0, weight_now * hazard, 0.0).nan_to_num(posinf=torch.inf)
                out = _take_jumps(event, out, x, z, t + h / 2, hazard, land, source)
        return out

    def largest_hazard(
        self, x: Tensor, t: Tensor, h: Tensor, prediction: Prediction, quantile: float, source: Source
    ) -> float:
        """A high quantile, over the batch, of the integrated hazard of the step."""
        total = None
        for weight, term in self.parts:
            proposal = term.jump(prediction, x, t, h, source)
            if proposal is not None:
                part = weight_at(weight, t).amax() * proposal[0]
                total = part if total is None else total + part
        return 0.0 if total is None else float(torch.quantile(_thinned(total), quantile))

    def drift_error(
        self, x: Tensor, h: Tensor, drift: Tensor | None, y: Tensor, other: Tensor | None, quantile: float
    ) -> float:
        """A high quantile of how far Euler and Heun steps of this length end apart."""
        if drift is None or other is None:
            return 0.0
        gap = self.path.space.transport(other, y, x) - drift
        return float(torch.quantile(_thinned(0.5 * float(h) * torch.linalg.vector_norm(gap, dim=-1)), quantile))


def _take_jumps(
    event: int,
    stay: Tensor,
    x: Tensor,
    z: Tensor,
    t: Tensor,
    hazard: Tensor,
    land: Callable[..., Tensor],
    source: Source,
) -> Tensor:
    """Land the elements that jump, and only them: a step has few, and a landing costs more than a drift."""
    if isinstance(source, Streams):  # each row draws from its own stream, whatever the others do
        return jump_or_stay(stay, land(x, z, t, generator=source), hazard, generator=source)
    draw = rand(hazard.shape, source, dtype=hazard.dtype, device=hazard.device)
    jumps = draw < -torch.expm1(-hazard)
    if not bool(jumps.any()):
        return stay
    missing = event - (x.dim() - hazard.dim())  # a jump of single coordinates picks numbers out of points
    picked = (expand(v.expand_as(stay)[jumps], missing) for v in (x, z))
    time = t if t.dim() == 0 else expand(t, hazard.dim() - t.dim()).expand(jumps.shape)[jumps]
    landed = land(*picked, time, generator=source)
    out = stay.clone()
    out[jumps] = landed.reshape(-1) if missing else landed
    return out


def _thinned(values: Tensor, most: int = 100_000) -> Tensor:
    """At most so many of the values: torch.quantile takes no more than 2^24, and a few suffice."""
    flat = values.flatten()
    return flat[:: max(1, len(flat) // most)]


def as_generator(generator: Any) -> Any:
    """A single term becomes a superposition of itself; a sum is checked."""
    if isinstance(generator, Superposition | ProductGenerator):
        return generator.check()
    return Superposition(((1.0, generator),))


class ProductGenerator:
    """A generator on a product of spaces: one generator per component, each seeing its own part of the prediction.

    Parameters
    ----------
    *generators : Term or Superposition
        One for each component of the state, which is a tuple of tensors; a predictor returns a tuple of predictions.
    """

    def __init__(self, *generators: Any) -> None:
        self.generators = tuple(as_generator(g) for g in generators)

    def __repr__(self) -> str:
        return f"ProductGenerator({', '.join(map(repr, self.generators))})"

    def check(self) -> ProductGenerator:
        """Itself; its components are checked when it is made."""
        return self

    def drift(self, prediction: Any, t: Tensor) -> tuple:
        """Drift of each component."""
        return tuple(g.drift(p, t) for g, p in zip(self.generators, prediction, strict=True))

    def kick(self, x: tuple, t: Tensor, h: Tensor, source: Source) -> tuple:
        """Brownian part of each component."""
        return tuple(g.kick(a, t, h, source) for g, a in zip(self.generators, x, strict=True))

    def nudge(self, x: tuple, h: Tensor, drift: tuple, kick: tuple | None = None, share: float = 1.0) -> tuple:
        """Each component moved along its drift and a share of its kick."""
        rows = zip(self.generators, x, drift, kick or (None,) * len(x), strict=True)
        return tuple(g.nudge(a, h, u, k, share) for g, a, u, k in rows)

    def average(self, x: tuple, drift: tuple, y: tuple, other: tuple, share: float) -> tuple:
        """Averaged drift of each component."""
        rows = zip(self.generators, x, drift, y, other, strict=True)
        return tuple(g.average(a, u, b, v, share) for g, a, u, b, v in rows)

    def advance(
        self, x: tuple, t: Tensor, h: Tensor, drift: tuple, kick: tuple, prediction: Any, source: Source
    ) -> tuple:
        """One step of each component."""
        rows = zip(self.generators, x, drift, kick, prediction, strict=True)
        return tuple(g.advance(a, t, h, u, k, p, source) for g, a, u, k, p in rows)

    def largest_hazard(self, x: tuple, t: Tensor, h: Tensor, prediction: Any, quantile: float, source: Source) -> float:
        """The largest of the components'."""
        rows = zip(self.generators, x, prediction, strict=True)
        return max(g.largest_hazard(a, t, h, p, quantile, source) for g, a, p in rows)

    def drift_error(self, x: tuple, h: Tensor, drift: tuple, y: tuple, other: tuple, quantile: float) -> float:
        """The largest of the components'."""
        rows = zip(self.generators, x, drift, y, other, strict=True)
        return max(g.drift_error(a, h, u, b, v, quantile) for g, a, u, b, v in rows)
