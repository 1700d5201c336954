"""Products: tuples of paths whose components are noised independently at one time, and their generators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from torch import Tensor

from protgm.matching.generators import Term
from protgm.matching.protocols import Path, Prediction, time_for
from protgm.matching.spaces import ProductSpace
from protgm.matching.superposition import Superposition
from protgm.streams import Source

__all__ = ["ProductGenerator", "ProductPath", "as_generator"]

Tangents = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class ProductPath:
    """Several paths side by side; its points are tuples of tensors whose leading dimensions are one batch.

    Parameters
    ----------
    paths : tuple of paths
    """

    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("ProductPath: needs at least one path")

    @property
    def space(self) -> ProductSpace:
        """The product of the paths' spaces."""
        return ProductSpace(tuple(path.space for path in self.paths))

    def prior(self, shapes: Sequence[Sequence[int]], *, generator: Source = None) -> tuple[Tensor, ...]:
        """Draws of each path's prior, of the shape that it takes."""
        return tuple(p.prior(shape, generator=generator) for p, shape in zip(self.paths, shapes, strict=True))

    def sample(self, z: Sequence[Tensor], t: Tensor, *, generator: Source = None) -> tuple[Tensor, ...]:
        """Draw each component at its path's law given z; a time per row of the batch is every component's."""
        rows = zip(self.paths, z, strict=True)
        return tuple(p.sample(a, time_for(p, a, t), generator=generator) for p, a in rows)


@overload
def as_generator(generator: Term | Superposition) -> Superposition: ...
@overload
def as_generator(generator: ProductGenerator) -> ProductGenerator: ...
def as_generator(generator: Term | Superposition | ProductGenerator) -> Superposition | ProductGenerator:
    """A single term becomes a superposition of itself; a sum is checked."""
    if isinstance(generator, ProductGenerator):
        return generator
    return generator.check() if isinstance(generator, Superposition) else Superposition(((1.0, generator),))


class ProductGenerator:
    """A generator on a product of spaces: one generator per component, each seeing its own part of the prediction.

    A time with fewer dimensions than a component's batch is that of its leading ones.

    Parameters
    ----------
    *generators : Term or Superposition
        One for each component of the state, which is a tuple of tensors; a predictor returns a tuple of predictions.
    """

    def __init__(self, *generators: Term | Superposition) -> None:
        self.generators = tuple(as_generator(g) for g in generators)

    def __repr__(self) -> str:
        return f"ProductGenerator({', '.join(map(repr, self.generators))})"

    def _times(self, x: Sequence[Tensor], t: Tensor) -> list[Tensor]:
        return [time_for(g.path, a, t) for g, a in zip(self.generators, x, strict=True)]

    def check_time(self, x: tuple[Tensor, ...], t: Tensor) -> None:
        """Refuse a time that does not fit a component."""
        for g, a, now in zip(self.generators, x, self._times(x, t), strict=True):
            g.check_time(a, now)

    def drift(self, prediction: Sequence[Prediction], t: Tensor) -> Tangents:
        """Drift of each component."""
        return tuple(g.drift(p, t) for g, p in zip(self.generators, prediction, strict=True))

    def kick(self, x: tuple[Tensor, ...], t: Tensor, h: Tensor, source: Source) -> Tangents:
        """Brownian part of each component."""
        rows = zip(self.generators, x, self._times(x, t), self._times(x, h), strict=True)
        return tuple(g.kick(a, now, width, source) for g, a, now, width in rows)

    def nudge(
        self, x: tuple[Tensor, ...], h: Tensor, drift: Tangents, kick: Tangents | None = None, share: float = 1.0
    ) -> tuple[Tensor, ...]:
        """Each component moved along its drift and a share of its kick."""
        rows = zip(self.generators, x, self._times(x, h), drift, kick or (None,) * len(x), strict=True)
        return tuple(g.nudge(a, width, u, k, share) for g, a, width, u, k in rows)

    def average(
        self, x: tuple[Tensor, ...], drift: Tangents, y: tuple[Tensor, ...], other: Tangents, share: float
    ) -> Tangents:
        """Averaged drift of each component."""
        rows = zip(self.generators, x, drift, y, other, strict=True)
        return tuple(g.average(a, u, b, v, share) for g, a, u, b, v in rows)

    def advance(
        self,
        x: tuple[Tensor, ...],
        t: Tensor,
        h: Tensor,
        drift: Tangents,
        kick: Tangents,
        prediction: Sequence[Prediction],
        source: Source,
    ) -> tuple[Tensor, ...]:
        """One step of each component."""
        times, widths = self._times(x, t), self._times(x, h)
        rows = zip(self.generators, x, times, widths, drift, kick, prediction, strict=True)
        return tuple(g.advance(a, now, width, u, k, p, source) for g, a, now, width, u, k, p in rows)

    def largest_hazard(
        self,
        x: tuple[Tensor, ...],
        t: Tensor,
        h: Tensor,
        prediction: Sequence[Prediction],
        quantile: float,
        source: Source,
    ) -> float:
        """The largest of the components'."""
        rows = zip(self.generators, x, prediction, strict=True)
        return max(g.largest_hazard(a, t, h, p, quantile, source) for g, a, p in rows)

    def drift_error(
        self, x: tuple[Tensor, ...], h: Tensor, drift: Tangents, y: tuple[Tensor, ...], other: Tangents, quantile: float
    ) -> float:
        """The largest of the components'."""
        rows = zip(self.generators, x, drift, y, other, strict=True)
        return max(g.drift_error(a, h, u, b, v, quantile) for g, a, u, b, v in rows)
