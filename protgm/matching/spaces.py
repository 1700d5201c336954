"""State spaces: what a point is, how a tangent moves it, what noise looks like there.

A space is told by three operations. ``move`` follows a tangent (the exponential map), ``toward`` is its inverse (the
logarithm), ``noise`` draws a standard normal tangent. Batch dimensions lead; ``event_dim`` trailing dimensions make one
point and ``tangent_dim`` one tangent. A time has the batch shape, so each element may have its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from protgm.lie import so3
from protgm.streams import Source, rand, randn

__all__ = [
    "Categorical",
    "CentredPoints",
    "Euclidean",
    "ProductSpace",
    "Rotations",
    "Space",
    "Torus",
    "check_time",
    "expand",
    "rigid_frames",
]


def expand(value: Tensor, trailing: int) -> Tensor:
    """Add ``trailing`` dimensions of size one, so that a batch-shaped value multiplies points, shape (..., 1, ...)."""
    return value.reshape(value.shape + (1,) * trailing)


def check_time(x: Tensor, event_dim: int, t: Tensor) -> None:
    """Refuse a time that would be read along another dimension of the batch than the reader thinks.

    A time is one number, or has as many dimensions as the batch, of its sizes or 1.

    Raises
    ------
    ValueError
        For any other shape, such as (8,) for a batch of (8, 8).
    """
    batch = x.shape[: x.dim() - event_dim]
    fits = len(t.shape) == len(batch) and all(n in (1, m) for n, m in zip(t.shape, batch, strict=True))
    if t.dim() and batch and not fits:
        raise ValueError(
            f"t of shape {tuple(t.shape)} does not fit a batch of shape {tuple(batch)}: a time is one number, or has "
            f"{len(batch)} dimension{'s' * (len(batch) > 1)}, each of size 1 or the batch's"
        )


@runtime_checkable
class Space(Protocol):
    """A space with tangents."""

    @property
    def event_dim(self) -> int:
        """Trailing dimensions of a point."""
        ...

    @property
    def tangent_dim(self) -> int:
        """Trailing dimensions of a tangent."""
        ...

    def move(self, x: Tensor, tangent: Tensor) -> Tensor:
        """The point reached from x along a tangent."""
        ...

    def toward(self, x: Tensor, y: Tensor) -> Tensor:
        """The tangent at x whose end is y."""
        ...

    def noise(self, x: Tensor, *, generator: Source = None) -> Tensor:
        """A standard normal tangent at x."""
        ...

    def transport(self, tangent: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """A tangent at x carried to y."""
        ...


@dataclass(frozen=True)
class Euclidean:
    """R^d: points and tangents are ``(..., d)``."""

    event_dim: int = 1
    tangent_dim: int = 1

    def move(self, x: Tensor, tangent: Tensor) -> Tensor:
        """x + tangent, shape (..., d)."""
        return x + tangent

    def toward(self, x: Tensor, y: Tensor) -> Tensor:
        """y - x, shape (..., d)."""
        return y - x

    def noise(self, x: Tensor, *, generator: Source = None) -> Tensor:
        """Standard normal numbers, shape (..., d)."""
        return randn(x.shape, generator, dtype=x.dtype, device=x.device)

    def transport(self, tangent: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The tangent itself: the space is flat."""
        return tangent


@dataclass(frozen=True)
class Torus:
    """Angles: points ``(..., d)`` in [-pi, pi), tangents ``(..., d)`` in radians."""

    event_dim: int = 1
    tangent_dim: int = 1

    def wrap(self, x: Tensor) -> Tensor:
        """The same angles in [-pi, pi), shape (..., d)."""
        return torch.remainder(x + math.pi, 2 * math.pi) - math.pi

    def move(self, x: Tensor, tangent: Tensor) -> Tensor:
        """x + tangent, wrapped, shape (..., d)."""
        return self.wrap(x + tangent)

    def toward(self, x: Tensor, y: Tensor) -> Tensor:
        """y - x by the shorter way, shape (..., d)."""
        return self.wrap(y - x)

    def noise(self, x: Tensor, *, generator: Source = None) -> Tensor:
        """Standard normal numbers, shape (..., d)."""
        return randn(x.shape, generator, dtype=x.dtype, device=x.device)

    def transport(self, tangent: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The tangent itself: the space is flat."""
        return tangent

    def uniform(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Uniform angles, shape ``shape``, whose last dimension is d."""
        return 2 * math.pi * rand(shape, generator) - math.pi


@dataclass(frozen=True)
class CentredPoints:
    """Point sets (..., N, d) with their centre of mass at the origin; each point is an element with its own time."""

    event_dim: int = 1
    tangent_dim: int = 1

    def project(self, x: Tensor) -> Tensor:
        """x with its centre of mass removed, shape (..., N, d)."""
        return x - x.mean(-2, keepdim=True)

    def move(self, x: Tensor, tangent: Tensor) -> Tensor:
        """x + tangent, centred, shape (..., N, d)."""
        return self.project(x + tangent)

    def toward(self, x: Tensor, y: Tensor) -> Tensor:
        """y - x, centred, shape (..., N, d)."""
        return self.project(y - x)

    def noise(self, x: Tensor, *, generator: Source = None) -> Tensor:
        """Normal noise on the centred subspace, shape (..., N, d)."""
        return self.project(randn(x.shape, generator, dtype=x.dtype, device=x.device))

    def transport(self, tangent: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The tangent itself: the space is flat."""
        return tangent


@dataclass(frozen=True)
class Rotations:
    """SO(3): points ``(..., 3, 3)``, body-frame tangents ``(..., 3)`` in radians."""

    event_dim: int = 2
    tangent_dim: int = 1

    def move(self, x: Tensor, tangent: Tensor) -> Tensor:
        """``x exp(tangent)``, shape (..., 3, 3)."""
        return x @ so3.exp(tangent)

    def toward(self, x: Tensor, y: Tensor) -> Tensor:
        """``log(x^T y)``, shape (..., 3)."""
        return so3.log(so3.relative(x, y))

    def noise(self, x: Tensor, *, generator: Source = None) -> Tensor:
        """Standard normal tangents, shape (..., 3)."""
        return randn(x.shape[:-1], generator, dtype=x.dtype, device=x.device)

    def transport(self, tangent: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The tangent itself: body-frame tangents turn along."""
        return tangent

    def uniform(self, shape: Sequence[int], *, generator: Source = None, dtype: torch.dtype | None = None) -> Tensor:
        """Haar-uniform rotations, shape (*shape, 3, 3)."""
        return so3.random_uniform(shape, generator=generator, dtype=dtype)


@dataclass(frozen=True)
class Categorical:
    """Tokens 0 ... size - 1, int64 tensors ``(...)``; with ``mask`` one further token, ``size``, means "not known yet".

    Parameters
    ----------
    size : int
        Number of real tokens.
    mask : bool
    """

    size: int
    mask: bool = False

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(f"Categorical: need at least 2 tokens, got {self.size}")

    @property
    def event_dim(self) -> int:
        """0: a point is one number."""
        return 0

    @property
    def states(self) -> int:
        """Number of states, the mask among them."""
        return self.size + int(self.mask)

    def uniform(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """Uniform tokens, never the mask, shape (*shape)."""
        return (rand(shape, generator) * self.size).long().clamp_max(self.size - 1)


@dataclass(frozen=True)
class ProductSpace:
    """A tuple of spaces; its points are tuples of tensors, its operations act component by component."""

    spaces: tuple[Space | Categorical, ...]

    def __post_init__(self) -> None:
        if not self.spaces:
            raise ValueError("ProductSpace: needs at least one space")

    def move(self, x: Sequence[Tensor], tangent: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """The moved components; tokens stay, whatever their tangent."""
        rows = zip(self.spaces, x, tangent, strict=True)
        return tuple(a if isinstance(s, Categorical) or u is None else s.move(a, u) for s, a, u in rows)

    def toward(self, x: Sequence[Tensor], y: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """The tangents from x to y, None for tokens."""
        rows = zip(self.spaces, x, y, strict=True)
        return tuple(None if isinstance(s, Categorical) else s.toward(a, b) for s, a, b in rows)

    def noise(self, x: Sequence[Tensor], *, generator: Source = None) -> tuple[Tensor | None, ...]:
        """Standard normal tangents of each component, None for tokens."""
        rows = zip(self.spaces, x, strict=True)
        return tuple(None if isinstance(s, Categorical) else s.noise(a, generator=generator) for s, a in rows)

    def transport(
        self, tangent: Sequence[Tensor | None], x: Sequence[Tensor], y: Sequence[Tensor]
    ) -> tuple[Tensor | None, ...]:
        """The tangents at x carried to y."""
        rows = zip(self.spaces, tangent, x, y, strict=True)
        return tuple(None if isinstance(s, Categorical) or u is None else s.transport(u, a, b) for s, u, a, b in rows)


def rigid_frames() -> ProductSpace:
    """SE(3)^N up to a common translation: centred positions (..., N, 3) and rotations (..., N, 3, 3)."""
    return ProductSpace((CentredPoints(), Rotations()))
