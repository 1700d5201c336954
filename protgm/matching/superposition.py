"""Superpositions: weighted sums of terms on one path, with what a solver asks of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from protgm.matching.jumps import jump_or_stay
from protgm.matching.protocols import NoisyPath, Prediction, tangent_dim
from protgm.matching.spaces import Space, check_time, expand
from protgm.streams import Source, Streams, rand

if TYPE_CHECKING:
    from protgm.matching.generators import Term

__all__ = ["Proposal", "Superposition", "Weight", "weight_at"]

Weight = float | Callable[[Tensor], Tensor]
Proposal = tuple[Tensor, Tensor, Callable[..., Tensor]]
"""An integrated hazard, the clean point a jump aims at, and ``land(x, z, t, generator=...)``."""
_CHECK_AT = tuple(i / 512 for i in range(513))
"""Times at which a sum is checked when it is made; whatever falls between is checked where a step uses it."""


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

    def __init__(self, parts: tuple[tuple[Weight, Term], ...], *, complete: bool = True) -> None:
        self.parts = tuple(parts)
        if not self.parts:
            raise ValueError("Superposition: needs at least one term")
        self.path: NoisyPath = self.parts[0][1].path
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

    def __add__(self, other: Term | Superposition) -> Superposition:
        more = other.parts if isinstance(other, Superposition) else ((1.0, other),)
        return Superposition((*self.parts, *more), complete=False)

    def check(self) -> Superposition:
        """Refuse weights that are negative or whose nets do not sum to one, at any of many times; returns itself."""
        self._weights(torch.tensor(_CHECK_AT, dtype=torch.float64))
        return self

    def _weights(self, t: Tensor) -> list[Tensor]:
        """The weight of each term at t, checked."""
        weights = [weight_at(w, t).expand(t.shape) for w, _ in self.parts]
        for w, (_, term) in zip(weights, self.parts, strict=True):
            wrong = (w < 0) | ~w.isfinite()
            if bool(wrong.any()):
                value, when = float(w[wrong][0]), float(t[wrong][0])
                raise ValueError(
                    f"Superposition: the weight of {term!r} is {value:g} at t = {when:g}; it must not be negative"
                )
        total = torch.stack([w * term.net for w, (_, term) in zip(weights, self.parts, strict=True)]).sum(0)
        wrong = (total - 1).abs() > 1e-4
        if bool(wrong.any()):
            raise ValueError(
                f"Superposition: the weights of {self!r} carry the law {float(total[wrong][0]):g} times at "
                f"t = {float(t[wrong][0]):g}; they must sum to one (backward terms count negative, Langevin and "
                "balance terms not at all)"
            )
        return weights

    def check_time(self, x: Tensor, t: Tensor) -> None:
        """Refuse a time that does not fit the state."""
        check_time(x, self.path.space.event_dim, t)

    # What a solver asks for.
    def drift(self, prediction: Prediction, t: Tensor) -> Tensor | None:
        """Sum of the drifts, or None where no term has one."""
        total: Tensor | None = None
        for weight, (_, term) in zip(self._weights(t), self.parts, strict=True):
            part = term.drift(prediction, t)
            if part is not None:
                part = expand(weight, part.dim() - weight.dim()) * part
                total = part if total is None else total + part
        return total

    def kick(self, x: Tensor, t: Tensor, h: Tensor, source: Source) -> Tensor | None:
        """The Brownian part of a step, a tangent at x drawn once and shared by the stages of a solver.

        None without one.
        """
        variance: Tensor | None = None
        for weight, term in self.parts:
            g = term.spread(t + h / 2)
            if g is not None:
                part = weight_at(weight, t + h / 2) * g.square() * h
                variance = part if variance is None else variance + part
        if variance is None:
            return None
        space = self._space()
        return expand(torch.sqrt(variance), space.tangent_dim) * space.noise(x, generator=source)

    def nudge(
        self, x: Tensor, h: Tensor, drift: Tensor | None, kick: Tensor | None = None, share: float = 1.0
    ) -> Tensor:
        """x moved along the drift for a time h, and along a share of the kick."""
        tangent = None if drift is None else expand(h, tangent_dim(self.path)) * drift
        if kick is not None:
            tangent = share * kick if tangent is None else tangent + share * kick
        return x if tangent is None else self._space().move(x, tangent)

    def _space(self) -> Space:
        """The path's space, which has tangents wherever a term moves along one."""
        space = self.path.space
        assert isinstance(space, Space)
        return space

    def average(self, x: Tensor, drift: Tensor | None, y: Tensor, other: Tensor | None, share: float) -> Tensor | None:
        """``(1 - share) drift + share other``, the latter carried from y to x."""
        if drift is None or other is None:
            return drift
        return (1 - share) * drift + share * self._space().transport(other, y, x)

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
        for weight_now, (_, term) in zip(self._weights(t + h / 2), self.parts, strict=True):
            proposal = term.jump(prediction, x, t, h, source)
            if proposal is not None:
                hazard, z, land = proposal
                weight_now = expand(weight_now, hazard.dim() - weight_now.dim())
                hazard = torch.where(weight_now > 0, weight_now * hazard, 0.0).nan_to_num(posinf=torch.inf)
                out = _take_jumps(event, out, x, z, t + h / 2, hazard, land, source)
        return out

    def largest_hazard(
        self, x: Tensor, t: Tensor, h: Tensor, prediction: Prediction, quantile: float, source: Source
    ) -> float:
        """A high quantile, over the batch, of the integrated hazard of the step."""
        total: Tensor | None = None
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
        gap = self._space().transport(other, y, x) - drift
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
