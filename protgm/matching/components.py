"""What `GeneratorMatching` trains on each of its paths, and what that gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import Diffusion, Flow, Jump, Term
from protgm.matching.heads import Head, Mixture, Regression, Tokens, posterior_head, score_head, velocity_head
from protgm.matching.predictions import Learned
from protgm.matching.product import ProductPath
from protgm.matching.protocols import NoisyPath, ReversiblePath
from protgm.matching.so3_heat import HeatKernelPath
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.spaces import Categorical
from protgm.matching.superposition import Superposition, Weight
from protgm.streams import Source

__all__ = ["METHODS", "Component", "build"]

METHODS = ("flow", "score", "diffusion", "jump", "superposition")


@dataclass(frozen=True)
class Component:
    """One path with what is trained on it."""

    path: NoisyPath
    method: str
    shape: tuple[int, ...]
    heads: dict[str, Head]

    @property
    def size(self) -> int:
        """Numbers that the network gives for each element."""
        return sum(head.size for head in self.heads.values())

    def split(self, out: Tensor, batch: int) -> dict[str, Tensor]:
        """The network's output by heads."""
        elements = self.shape[: len(self.shape) - self.path.space.event_dim]
        if out.shape != (batch, *elements, self.size):
            wanted = " + ".join(f"{name} {head.size}" for name, head in self.heads.items())
            raise ValueError(
                f"GeneratorMatching: the network must give shape {(batch, *elements, self.size)} for "
                f"method={self.method!r} on {type(self.path).__name__} ({wanted} numbers), got {tuple(out.shape)}"
            )
        return dict(zip(self.heads, torch.split(out, [h.size for h in self.heads.values()], -1), strict=True))

    def answers(self, out: dict[str, Tensor], x: Tensor, t: Tensor) -> Learned:
        """The prediction at (x, t), with what one head gives of another."""

        def velocity() -> Tensor:
            head = self.heads.get("velocity")
            if isinstance(head, Regression):
                return head.value(out["velocity"], t)
            return _velocity_from_score(self.path, score(), x, t)

        def score() -> Tensor:
            head = self.heads.get("score")
            if isinstance(head, Regression):
                return head.value(out["score"], t)
            return _score_from_velocity(self.path, velocity(), x, t)

        def draw(*, generator: Source = None) -> Tensor:
            head = self.heads["posterior"]
            assert isinstance(head, Tokens | Mixture)
            return head.draw(out["posterior"], x, t, generator)

        has = self.gives()
        return Learned(
            velocity_of=velocity if "velocity" in has else None,
            score_of=score if "score" in has else None,
            draw_of=draw if "posterior" in has else None,
        )

    def gives(self) -> set[str]:
        """Heads that are trained, and what they determine."""
        linked = {"velocity", "score"}
        return set(self.heads) | (linked if _linked(self.path) and linked & set(self.heads) else set())

    def generator(self, noise: Weight | None, jump_weight: float) -> Term | Superposition:
        """What the method samples with."""
        path: Any = self.path
        if self.method == "flow":
            return Flow(path)
        if self.method == "jump":
            return Jump(path)
        if self.method == "superposition":
            return (1 - jump_weight) * Flow(path) + jump_weight * Jump(path)
        if noise is None and isinstance(path, AntipodalVMFPath):
            noise = path.gentle_noise
        if noise is None and not isinstance(path, ReversiblePath):
            raise ValueError(f"GeneratorMatching: {type(path).__name__} reverses no diffusion; say how much `noise=`")
        return Diffusion(path, noise)


def _linked(path: NoisyPath) -> bool:
    """Whether velocity and score determine each other."""
    return isinstance(path, GaussianPath | HeatKernelPath)


def _velocity_from_score(path: NoisyPath, score: Tensor, x: Tensor, t: Tensor) -> Tensor:
    if isinstance(path, GaussianPath):
        return path.velocity(x, path.clean_from_score(score, x, t), t)
    assert isinstance(path, HeatKernelPath)
    return 0.5 * path.tau_derivative(t).abs().unsqueeze(-1) * score


def _score_from_velocity(path: NoisyPath, velocity: Tensor, x: Tensor, t: Tensor) -> Tensor:
    if isinstance(path, GaussianPath):
        return path.score_from_velocity(velocity, x, t)
    assert isinstance(path, HeatKernelPath)
    return 2 * velocity / path.tau_derivative(t).abs().unsqueeze(-1)


def _one(path: NoisyPath, method: str, shape: Sequence[int], components: int, spread: float) -> Component:
    if method not in METHODS:
        raise ValueError(f"GeneratorMatching: unknown method {method!r}; use one of {', '.join(METHODS)}")
    point = tuple(shape)
    event = point[len(point) - path.space.event_dim :]
    if len(event) < path.space.event_dim:
        raise ValueError(f"GeneratorMatching: shape {point} has fewer dimensions than a point of {path.space}")
    heads: dict[str, Head] = {}
    if method in ("flow", "diffusion", "superposition"):
        heads["velocity"] = velocity_head(path, event)
    if method == "score" or (method == "diffusion" and not _linked(path)):
        heads["score"] = score_head(path, event)
    if method in ("jump", "superposition"):
        heads["posterior"] = posterior_head(path, event, components, spread)
    if method == "score" and not _linked(path):
        raise ValueError(
            f"GeneratorMatching: the score of {type(path).__name__} does not give its velocity; use method='diffusion'"
        )
    return Component(path, method, point, heads)


def build(
    path: NoisyPath | ProductPath, method: str | Sequence[str], shape: Any, components: int, spread: float
) -> tuple[Component, ...]:
    """One component for each path; arguments as for `GeneratorMatching`."""
    if not isinstance(path, ProductPath):
        if not isinstance(method, str):
            raise ValueError(f"GeneratorMatching: one path takes one method, got {method!r}")
        return (_one(path, method, shape, components, spread),)
    words = [method] * len(path.paths) if isinstance(method, str) else list(method)
    if len(words) != len(path.paths) or len(shape) != len(path.paths):
        raise ValueError(
            f"GeneratorMatching: a product of {len(path.paths)} paths needs as many shapes (and methods, or one for "
            f"all), got {shape!r} and {method!r}"
        )
    if isinstance(method, str) and method in METHODS:  # on tokens there are jumps only
        words = ["jump" if isinstance(p.space, Categorical) else method for p in path.paths]
    rows = zip(path.paths, words, shape, strict=True)
    return tuple(_one(p, word, s, components, spread) for p, word, s in rows)
