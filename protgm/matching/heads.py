"""What a network of `GeneratorMatching` gives for one path: named heads, their sizes, losses and predictions.

A velocity and a score are regressed over a scale that makes them of order one at every t. A posterior, from which a
jump draws the clean point, is a mixture in coordinates of the same kind, trained by its negative log-likelihood: of
each coordinate where coordinates jump singly (R^d), of the whole point elsewhere, of logits on tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from protgm.matching.ctmc import MaskingPath, draw_tokens
from protgm.matching.euclidean import GaussianPath
from protgm.matching.losses import conditional_target
from protgm.matching.protocols import FlowPath, JumpPath, NoisyPath, ScorePath
from protgm.matching.so3_heat import HeatKernelPath
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.spaces import Categorical, CentredPoints, Euclidean, Space, expand
from protgm.streams import Source, randn

__all__ = ["Head", "Mixture", "Regression", "Tokens", "posterior_head", "score_head", "velocity_head"]

_NARROWEST = 1e-2
"""Of a mixture's components, over the scale of the posterior."""


@runtime_checkable
class ScaledFlow(FlowPath, Protocol):
    """A path that says how large its velocity is."""

    def velocity_scale(self, t: Tensor) -> Tensor:
        """What to divide the velocity by, shape (...)."""
        ...


@runtime_checkable
class ScaledScore(ScorePath, Protocol):
    """A path that says how large its score is."""

    def score_scale(self, t: Tensor) -> Tensor:
        """What to divide the score by, shape (...)."""
        ...


class Head(Protocol):
    """A part of a network's output."""

    @property
    def size(self) -> int:
        """How many numbers of the output are its own, for each element."""
        ...

    def loss(self, out: Tensor, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """For each element, shape (...)."""
        ...


@dataclass(frozen=True)
class Regression:
    """A velocity or a score, by squared error over its scale.

    Parameters
    ----------
    path : a path
    kind : {"velocity", "score"}
    shape : tuple of int
        Of one tangent.
    """

    path: NoisyPath
    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers of a tangent."""
        return math.prod(self.shape)

    def _scale(self, t: Tensor) -> Tensor:
        return expand(_velocity_scale(self.path, t) if self.kind == "velocity" else _score_scale(self.path, t), 1)

    def loss(self, out: Tensor, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Mean square over the tangent's numbers, shape (...)."""
        target = conditional_target(self.path, x, z, t, "velocity" if self.kind == "velocity" else "score")
        flat = target.flatten(target.dim() - len(self.shape))
        return (out - flat / self._scale(t)).square().mean(-1)

    def value(self, out: Tensor, t: Tensor) -> Tensor:
        """The predicted tangent, shape (..., *tangent)."""
        return (out * self._scale(t)).reshape(*out.shape[:-1], *self.shape)


@dataclass(frozen=True)
class Tokens:
    """The posterior of tokens: logits, by cross-entropy; on the masking path of masked tokens alone.

    Parameters
    ----------
    path : a path on tokens
    size : int
        Real tokens.
    """

    path: NoisyPath
    size: int

    def loss(self, out: Tensor, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Surprise of the clean token, shape (...)."""
        surprise = -torch.gather(torch.log_softmax(out, -1), -1, z.unsqueeze(-1)).squeeze(-1)
        return torch.where(x == self.size, surprise, 0.0) if isinstance(self.path, MaskingPath) else surprise

    def draw(self, out: Tensor, x: Tensor, t: Tensor, source: Source) -> Tensor:
        """Clean tokens, shape (...)."""
        return draw_tokens(torch.softmax(out, -1), generator=source)


@dataclass(frozen=True)
class Mixture:
    """The posterior of points: a mixture of normal laws in coordinates around a guess, on the posterior's scale.

    On R^d with a Gaussian path the guess is the mean for data of unit normal law, and each coordinate has a mixture of
    its own; elsewhere the coordinates are a tangent at x (of R^d: the point itself) and the mixture is joint.

    Parameters
    ----------
    path : a path with a jump
    dimension : int
        Numbers of a tangent.
    components : int
    spread : float
        Standard deviation of the data, in its own units.
    """

    path: NoisyPath
    dimension: int
    components: int
    spread: float

    @property
    def _single(self) -> bool:
        """Whether coordinates jump singly."""
        return isinstance(self.path, GaussianPath)

    @property
    def size(self) -> int:
        """Weights, means and widths."""
        k, d = self.components, self.dimension
        return 3 * k * d if self._single else k * (1 + 2 * d)

    def _parts(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights (..., [d,] K), means and widths (..., K, [d]) in units of the posterior's scale."""
        k, d = self.components, self.dimension
        if self._single:
            parts = out.reshape(*out.shape[:-1], d, 3, k)
            logits, mean, width = parts[..., 0, :], parts[..., 1, :], parts[..., 2, :]
        else:
            logits, rest = out[..., :k], out[..., k:].reshape(*out.shape[:-1], 2, k, d)
            mean, width = rest[..., 0, :, :], rest[..., 1, :, :]
        return torch.log_softmax(logits, -1), mean, torch.nn.functional.softplus(width) + _NARROWEST

    def _guess(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Origin and scale of the coordinates."""
        s = self.spread
        if isinstance(self.path, GaussianPath):
            alpha, sigma = self.path.schedule.alpha(t) * s, self.path.schedule.sigma(t) * self.path.scale
            total = (alpha.square() + sigma.square()).clamp_min(1e-12)
            return expand(alpha * s / total, 1) * x, expand((s * sigma / torch.sqrt(total)).clamp_min(1e-4 * s), 1)
        if isinstance(self.path, AntipodalVMFPath):
            return x, expand(2 / torch.sqrt(self.path.schedule.kappa(t) + 1), 1)
        if isinstance(self.path, HeatKernelPath):
            return x, expand(torch.sqrt(self.path.tau(t)).clamp_max(2.0), 1)
        return x, torch.full((1,), s, dtype=x.dtype, device=x.device)

    def loss(self, out: Tensor, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Negative log-likelihood of the clean point over its coordinates; 0 where x is there already. Shape (...)."""
        log_weight, mean, width = self._parts(out)
        origin, scale = self._guess(x, t)
        space = self.path.space
        assert isinstance(space, Space)
        if self._single:
            unit = ((z - origin) / scale).unsqueeze(-1)
            log_p = -0.5 * ((unit - mean) / width).square() - torch.log(width)
            return -torch.logsumexp(log_weight + log_p, -1).mean(-1)
        tangent = z if isinstance(space, Euclidean) else space.toward(x, z)
        unit = (tangent / scale).unsqueeze(-2)
        log_p = (-0.5 * ((unit - mean) / width).square() - torch.log(width)).sum(-1)
        surprise = -torch.logsumexp(log_weight + log_p, -1) / self.dimension
        there = (x == z).flatten(x.dim() - space.event_dim).all(-1)
        return torch.where(there, 0.0, surprise)

    def draw(self, out: Tensor, x: Tensor, t: Tensor, source: Source) -> Tensor:
        """Clean points, shape (..., *event)."""
        log_weight, mean, width = self._parts(out)
        origin, scale = self._guess(x, t)
        chosen = draw_tokens(log_weight.exp(), generator=source).unsqueeze(-1)
        if not self._single:
            chosen = chosen.unsqueeze(-1).expand(*chosen.shape, self.dimension)
        axis = -1 if self._single else -2
        mean, width = (torch.gather(v, axis, chosen).squeeze(axis) for v in (mean, width))
        unit = mean + width * randn(mean.shape, source, dtype=mean.dtype, device=mean.device)
        space = self.path.space
        assert isinstance(space, Space)
        if self._single:
            return origin + scale * unit
        return scale * unit if isinstance(space, Euclidean) else space.move(x, scale * unit)


def _velocity_scale(path: NoisyPath, t: Tensor) -> Tensor:
    """What to divide a velocity by to have a target of order one, shape (...)."""
    if isinstance(path, GaussianPath):
        s = path.schedule
        return torch.sqrt(s.alpha_derivative(t).square() + (s.sigma_derivative(t) * path.scale).square())
    if isinstance(path, HeatKernelPath):
        return 0.5 * path.tau_derivative(t).abs() * _score_scale(path, t)
    return path.velocity_scale(t) if isinstance(path, ScaledFlow) else torch.ones_like(t)


def _score_scale(path: NoisyPath, t: Tensor) -> Tensor:
    """The same of a score."""
    if isinstance(path, GaussianPath):
        return 1 / (path.schedule.sigma(t) * path.scale).clamp_min(path.floor)
    if isinstance(path, AntipodalVMFPath):
        return 0.5 * torch.sqrt(path.schedule.kappa(t))
    if isinstance(path, HeatKernelPath):
        return torch.rsqrt(path.tau(t))
    return path.score_scale(t) if isinstance(path, ScaledScore) else torch.ones_like(t)


def _tangent_shape(path: NoisyPath, event: tuple[int, ...]) -> tuple[int, ...]:
    """Of one element's tangent, for points of this shape."""
    space = path.space
    if isinstance(space, Categorical):
        return ()
    return event if space.tangent_dim == space.event_dim else (3,)


def _refuse(path: NoisyPath, head: str) -> ValueError:
    has = [w for w, kind in (("flow", FlowPath), ("score", ScorePath), ("jump", JumpPath)) if isinstance(path, kind)]
    return ValueError(
        f"GeneratorMatching: {type(path).__name__} has no {head}; it has {' and '.join(has) or 'nothing'}"
    )


def velocity_head(path: NoisyPath, event: tuple[int, ...]) -> Regression:
    """A head for the velocity of a path with a flow."""
    if not isinstance(path, FlowPath):
        raise _refuse(path, "flow")
    return Regression(path, "velocity", _tangent_shape(path, event))


def score_head(path: NoisyPath, event: tuple[int, ...]) -> Regression:
    """A head for the score of a path with one."""
    if not isinstance(path, ScorePath):
        raise _refuse(path, "score")
    return Regression(path, "score", _tangent_shape(path, event))


def posterior_head(path: NoisyPath, event: tuple[int, ...], components: int, spread: float) -> Tokens | Mixture:
    """A head for the posterior of a path with a jump."""
    if not isinstance(path, JumpPath) or isinstance(path.space, CentredPoints):
        raise _refuse(path, "jump")
    if isinstance(path.space, Categorical):
        return Tokens(path, path.space.size)
    return Mixture(path, math.prod(_tangent_shape(path, event)), components, spread)
