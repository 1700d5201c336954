"""Paths on tokens beyond masks and uniform noise: any source law, any schedule, and paths that go by a distance.

Both are conditional laws ``p_t(x | z)`` in closed form, so `FiniteData` has their exact posterior, and both move by the
jump of least kinetic energy, whose flux from x to y is ``[p_t(x) dp_t(y) - dp_t(x) p_t(y)]_+`` (Shaul et al. 2024,
arXiv 2412.03487): for mixtures of a source with z the jump to z, for paths of a distance one to tokens nearer to z.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from protgm.matching.clocks import Clock, LinearClock
from protgm.matching.ctmc import draw_tokens
from protgm.matching.spaces import Categorical, check_time
from protgm.streams import Source, rand

__all__ = ["DistancePath", "KineticClock", "SourcePath", "TokenClock"]

_NODES = 8


@runtime_checkable
class TokenClock(Protocol):
    """A clock that depends on the clean token: kappa(t, z) grows from 0 to 1."""

    def at_token(self, t: Tensor, z: Tensor) -> Tensor:
        """kappa(t, z), shape (...)."""
        ...

    def derivative_at_token(self, t: Tensor, z: Tensor) -> Tensor:
        """d kappa / dt, shape (...)."""
        ...


@dataclass(frozen=True, eq=False)
class KineticClock:
    """The schedule of least kinetic energy from a source law to a token, a great circle between their square roots.

    ``1 - kappa = sin^2((1 - t) W) / sin^2 W`` with ``cos W = sqrt(source(z))``: ``kappa = sin^2(pi t / 2)`` where the
    source is a mask, nearly ``t (2 - t)`` for a token that the source gives almost surely.

    Parameters
    ----------
    source : Tensor, shape (states,)
        Probabilities of the source.
    """

    source: Tensor

    def _angle(self, t: Tensor, z: Tensor) -> Tensor:
        return torch.arccos(torch.sqrt(self.source.to(t)[z]).clamp_max(1 - 1e-6))

    def at_token(self, t: Tensor, z: Tensor) -> Tensor:
        """kappa(t, z), shape (...)."""
        w = self._angle(t, z)
        return 1 - (torch.sin((1 - t) * w) / torch.sin(w)).square()

    def derivative_at_token(self, t: Tensor, z: Tensor) -> Tensor:
        """d kappa / dt, shape (...)."""
        w = self._angle(t, z)
        return w * torch.sin(2 * (1 - t) * w) / torch.sin(w).square()


@dataclass(frozen=True, eq=False)
class SourcePath:
    """``p_t(x | z) = kappa delta_z + (1 - kappa) source``: tokens change, one by one, from a draw of any law to z.

    Parameters
    ----------
    source : Tensor, shape (states,)
        Probabilities of the source; they are divided by their sum.
    size : int
        Number of real tokens; states beyond them, such as a mask, are seen in the noise only.
    clock : Clock or TokenClock
        How far a token has gone at t; a `TokenClock` may let every token go its own way, such as `KineticClock`.

    Raises
    ------
    ValueError
        If the source is no law on ``size`` or ``size + 1`` states.
    """

    source: Tensor
    size: int
    clock: Clock | TokenClock = field(default_factory=LinearClock)

    def __post_init__(self) -> None:
        law = self.source
        if law.dim() != 1 or len(law) not in (self.size, self.size + 1):
            raise ValueError(
                f"SourcePath: the source needs shape ({self.size},) or, with a mask, ({self.size + 1},), "
                f"got {tuple(law.shape)}"
            )
        if bool((law < 0).any()) or not bool(law.isfinite().all()) or not float(law.sum()) > 0:
            raise ValueError("SourcePath: the source's probabilities must not be negative, and not all zero")
        object.__setattr__(self, "source", law / law.sum())

    @property
    def space(self) -> Categorical:
        """The tokens, with their mask where the source has one."""
        return Categorical(self.size, mask=len(self.source) > self.size)

    def _kappa(self, t: Tensor, z: Tensor) -> Tensor:
        return self.clock.at(t) if isinstance(self.clock, Clock) else self.clock.at_token(t, z)

    def _speed(self, t: Tensor, z: Tensor) -> Tensor:
        return self.clock.derivative(t) if isinstance(self.clock, Clock) else self.clock.derivative_at_token(t, z)

    def prior(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Draws of the source, shape (*shape)."""
        return draw_tokens(self.source.expand((*shape, len(self.source))), generator=generator)

    @property
    def coupled_targets(self) -> frozenset[str]:
        """The rate and what it aims at: a token stays at its noise, whichever that is, until it is z."""
        return frozenset({"rate", "clean"})

    def sample(self, z: Tensor, t: Tensor, *, noise: Tensor | None = None, generator: Source = None) -> Tensor:
        """z with probability kappa, else the noise, a draw of the source where not given; shape (...)."""
        check_time(z, 0, t)
        if noise is None:
            noise = self.prior(z.shape, generator=generator).to(z.device)
        return torch.where(rand(z.shape, generator, device=z.device) < self._kappa(t, z), z, noise)

    def probability(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``p_t(x | z)``, shape (...)."""
        kappa = self._kappa(t, z)
        return kappa * (x == z) + (1 - kappa) * self.source.to(kappa)[x]

    def probability_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d p_t(x | z) / dt``, shape (...)."""
        speed = self._speed(t, z)
        return speed * ((x == z).to(speed) - self.source.to(speed)[x])

    def rates(self, x: Tensor, posterior: Tensor, t: Tensor) -> Tensor:
        """Rates of leaving x for every state, shape (..., states); 0 for x itself.

        Given probabilities (..., size) of the clean token; the conditional rates where they are one-hot.
        """
        z, now = torch.arange(self.size, device=x.device), t.unsqueeze(-1)
        rate = self._speed(now, z) / (1 - self._kappa(now, z)).clamp_min(1e-6) * posterior
        rate = torch.nn.functional.pad(rate, (0, self.space.states - self.size)).expand(*x.shape, -1)
        return rate.scatter(-1, x.unsqueeze(-1), 0.0)

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integrated rate of the change to z over [t, t + h], exactly, shape (...); infinite when kappa reaches 1."""
        left, then = ((1 - self._kappa(v, z)).clamp_min(floor) for v, floor in ((t, 1e-30), (t + h, 1e-38)))
        return torch.where(x != z, torch.log(left) - torch.log(then), 0.0)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """z, shape (...)."""
        return z

    def balance_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integrated rate of a redraw from ``p_t(. | z)`` itself, at rate 1 per unit strength: trivially in balance."""
        return h.expand(x.shape)

    def balance_move(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """A fresh draw of ``p_t(. | z)``, shape (...)."""
        return self.sample(z, t, generator=generator)


def odds_squared(t: Tensor) -> Tensor:
    """``4 (t / (1 - t))^2``, a sharpness that is 0 at noise and infinite at data."""
    return 4 * (t / (1 - t).clamp_min(1e-3)).square()


@dataclass(frozen=True, eq=False)
class DistancePath:
    """``p_t(x | z) ~ exp(-b(t) d(x, z))``: from uniform noise by near tokens to z, such as grey values or amino acids.

    Parameters
    ----------
    distance : Tensor, shape (size, size)
        0 on the diagonal, positive elsewhere.
    sharpness : callable
        b(t), growing from 0 and differentiable; at t = 1 large enough that nothing but z is left.
    """

    distance: Tensor
    sharpness: Callable[[Tensor], Tensor] = odds_squared

    def __post_init__(self) -> None:
        d = self.distance
        if d.dim() != 2 or d.shape[0] != d.shape[1]:
            raise ValueError(f"DistancePath: the distances must be a square matrix, got {tuple(d.shape)}")
        if bool((d.diagonal() != 0).any()) or not bool((d + torch.eye(len(d)).to(d) > 0).all()):
            raise ValueError("DistancePath: distances must be 0 on the diagonal and positive elsewhere")

    @property
    def space(self) -> Categorical:
        """The tokens."""
        return Categorical(len(self.distance))

    def _law(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities of every token given z, its distances, and db/dt, shapes (..., size), (..., size), (...)."""
        b, speed = torch.func.jvp(self.sharpness, (t,), (torch.ones_like(t),))[:2]
        away = self.distance.to(t)[z]
        return torch.softmax(-b.unsqueeze(-1) * away, dim=-1), away, speed

    def prior(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Uniform tokens, shape (*shape)."""
        return self.space.uniform(shape, generator=generator)

    def sample(self, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """A draw of ``p_t(. | z)``, shape (...)."""
        check_time(z, 0, t)
        return draw_tokens(self._law(z, t)[0], generator=generator)

    def probability(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``p_t(x | z)``, shape (...)."""
        law, _, _ = self._law(z, t)
        return _pick(law, x)

    def probability_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``dp/dt = b' p (<d> - d)``, shape (...)."""
        law, away, speed = self._law(z, t)
        return speed * _pick(law * ((law * away).sum(-1, keepdim=True) - away), x)

    def _leaving(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Rates ``p_t(y | z) b' [d(x, z) - d(y, z)]_+`` of every y, shape (..., size)."""
        law, away, speed = self._law(z, t)
        return speed.unsqueeze(-1) * law * (_pick(away, x).unsqueeze(-1) - away).clamp_min(0)

    def rates(self, x: Tensor, posterior: Tensor, t: Tensor) -> Tensor:
        """Rates of leaving x for every token, shape (..., size); 0 for x itself.

        Given probabilities (..., size) of the clean token; the conditional rates where they are one-hot.
        """
        z = torch.arange(len(self.distance), device=x.device)
        rate = self._leaving(x.unsqueeze(-1), z, t.unsqueeze(-1))
        return (posterior.unsqueeze(-1) * rate).sum(-2)

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integrated rate of leaving x over [t, t + h] (midpoint rule), shape (...)."""
        total = torch.zeros((), dtype=t.dtype, device=t.device)
        for i in range(_NODES):
            total = total + self._leaving(x, z, t + h * ((i + 0.5) / _NODES)).sum(-1)
        return total * h / _NODES

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where a jump at time t from x lands: a token nearer to z. Shape (...)."""
        rate = self._leaving(x, z, t)
        # A token that does not leave may be asked for where no rate is left: it stays.
        return torch.where(rate.sum(-1) > 0, draw_tokens(rate, generator=generator), x)

    def balance_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integrated rate of a redraw from ``p_t(. | z)`` itself, at rate 1 per unit strength: trivially in balance."""
        return h.expand(x.shape)

    def balance_move(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """A fresh draw of ``p_t(. | z)``, shape (...)."""
        return self.sample(z, t, generator=generator)


def _pick(values: Tensor, x: Tensor) -> Tensor:
    """The value of token x in (..., size), over a common batch shape."""
    shape = torch.broadcast_shapes(values.shape[:-1], x.shape)
    rows = values.expand(*shape, values.shape[-1])
    return torch.gather(rows, -1, x.expand(shape).unsqueeze(-1)).squeeze(-1)
