"""Continuous-time Markov chains on tokens.

The masking path and the uniform path, with a detailed-balance term of any size.

Tokens are int64 ``(...)``, posteriors over clean tokens are probabilities ``(..., K)``. The path keeps the clean token
with probability ``kappa(t)`` and holds a draw of the source (the mask, or a uniform token) otherwise; its rate to the
clean token is ``kappa' / (1 - kappa)`` (Campbell et al. 2024; Gat et al. 2024). The "balance" moves are a pair of
opposite moves, remasking (or a redraw) and its repair, in detailed balance with ``p_t``: at any strength they leave
every marginal as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from protgm.matching.clocks import Clock, LinearClock
from protgm.matching.mixture import clock_hazard, clock_rate
from protgm.matching.spaces import Categorical, check_time
from protgm.streams import Source, rand

__all__ = ["MaskingPath", "UniformPath", "draw_tokens"]


def draw_tokens(probability: Tensor, *, generator: Source = None) -> Tensor:
    """One token per row of probabilities, shape (..., K) -> (...)."""
    cumulative = probability.cumsum(-1)
    u = rand((*probability.shape[:-1], 1), generator, dtype=probability.dtype, device=probability.device)
    return (u * cumulative[..., -1:] > cumulative[..., :-1]).sum(-1)


@dataclass(frozen=True)
class MaskingPath:
    """Tokens appear, one by one, where there was a mask.

    Parameters
    ----------
    size : int
        Number of real tokens; token ``size`` is the mask.
    clock : Clock
    """

    size: int
    clock: Clock = field(default_factory=LinearClock)

    @property
    def space(self) -> Categorical:
        """The tokens with their mask."""
        return Categorical(self.size, mask=True)

    def prior(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Masks only, shape (*shape)."""
        return torch.full(tuple(shape), self.size)

    def sample(self, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """z where it is unmasked already (probability kappa), shape (...)."""
        check_time(z, 0, t)
        return torch.where(rand(z.shape, generator, device=z.device) < self.clock.at(t), z, self.size)

    def probability(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``p_t(x | z)``, shape (...)."""
        kappa = self.clock.at(t)
        return kappa * (x == z) + (1 - kappa) * (x == self.size)

    def probability_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d p_t(x | z) / dt``, shape (...)."""
        return self.clock.derivative(t) * ((x == z).to(t.dtype) - (x == self.size).to(t.dtype))

    def rates(self, x: Tensor, posterior: Tensor, t: Tensor) -> Tensor:
        """Rates of leaving x for every state, shape (..., K + 1); 0 for x itself.

        ``posterior`` (..., K) has the probabilities of the clean token; where it is one-hot, rates are the conditional
        ones.
        """
        rate = torch.where(x == self.size, clock_rate(self.clock, t), 0.0).unsqueeze(-1)
        return torch.nn.functional.pad(rate * posterior, (0, 1))

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integrated rate of unmasking over [t, t + h], exactly, shape (...)."""
        return torch.where(x == self.size, clock_hazard(self.clock, t, h), 0.0)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """z, shape (...)."""
        return z

    def balance_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integrated rate of the detailed-balance move per unit strength: remask at 1, unmask at kappa/(1 - kappa).

        Shape (...).
        """
        kappa = self.clock.at(t + h / 2)
        return torch.where(x == self.size, kappa / (1 - kappa).clamp_min(1e-6), torch.ones_like(kappa)) * h

    def balance_move(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Where the detailed-balance move goes: the mask, or from it z. Shape (...)."""
        return torch.where(x == self.size, z, self.size)


@dataclass(frozen=True)
class UniformPath:
    """Tokens change, one by one, from a uniform draw to the clean token.

    Parameters
    ----------
    size : int
        Number of tokens.
    clock : Clock
    """

    size: int
    clock: Clock = field(default_factory=LinearClock)

    @property
    def space(self) -> Categorical:
        """The tokens."""
        return Categorical(self.size)

    def prior(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Uniform tokens, shape (*shape)."""
        return self.space.uniform(shape, generator=generator)

    def sample(self, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """z with probability kappa, else a uniform token, shape (...)."""
        check_time(z, 0, t)
        noise = self.prior(z.shape, generator=generator).to(z.device)
        return torch.where(rand(z.shape, generator, device=z.device) < self.clock.at(t), z, noise)

    def probability(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``p_t(x | z)``, shape (...)."""
        kappa = self.clock.at(t)
        return kappa * (x == z) + (1 - kappa) / self.size

    def probability_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d p_t(x | z) / dt``, shape (...)."""
        return self.clock.derivative(t) * ((x == z).to(t.dtype) - 1 / self.size)

    def rates(self, x: Tensor, posterior: Tensor, t: Tensor) -> Tensor:
        """Rates of leaving x for every token, shape (..., K); 0 for x itself.

        ``posterior`` (..., K) has the probabilities of the clean token; where it is one-hot, rates are the conditional
        ones.
        """
        rate = clock_rate(self.clock, t).unsqueeze(-1) * posterior
        return rate.scatter(-1, x.unsqueeze(-1), 0.0)

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integrated rate of the change to z over [t, t + h], exactly, shape (...)."""
        return torch.where(x != z, clock_hazard(self.clock, t, h), 0.0)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """z, shape (...)."""
        return z

    def balance_hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Integrated rate of a redraw from ``p_t(. | z)`` itself, at rate 1 per unit strength: trivially in balance.

        Shape (...).
        """
        return h.expand(x.shape) if h.dim() == 0 else h

    def balance_move(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """A fresh draw of ``p_t(. | z)``, shape (...)."""
        return self.sample(z, t, generator=generator)
