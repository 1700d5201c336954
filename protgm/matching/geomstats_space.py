"""Any manifold of geomstats as a state space, through its numpy backend, imported when the first one is made.

geomstats 2.8 does not import under numpy >= 2.4, which dropped two names it reads; they are lent to it for the time of the import and
taken back. Its pytorch backend would change torch's default dtype, so it is not used: points cross as float64 arrays, without gradient.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from protgm.lie.random import Source, randn

__all__ = ["Manifold", "manifold"]


@contextmanager
def _lent_names() -> Iterator[None]:
    lent = {"trapz": getattr(np, "trapezoid", None), "in1d": getattr(np, "isin", None)}
    lent = {k: v for k, v in lent.items() if v is not None and k not in vars(np)}
    for name, function in lent.items():
        setattr(np, name, function)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it uses an import hook of an old kind
            yield
    finally:
        for name in lent:
            delattr(np, name)


def manifold(name: str, **settings: Any) -> Manifold:
    """A manifold by its name in geomstats, such as ``manifold("Hypersphere", dim=2)`` or ``manifold("Hyperboloid", dim=2)``.

    Raises
    ------
    ValueError
        If geomstats is not installed, runs on another backend, or has no such manifold.
    """
    modules = {"Hypersphere": "hypersphere", "Hyperboloid": "hyperboloid", "PoincareBall": "poincare_ball",
               "SPDMatrices": "spd_matrices", "Grassmannian": "grassmannian", "Stiefel": "stiefel"}  # fmt: skip
    if name not in modules:
        raise ValueError(f"manifold: unknown {name!r}; use one of {', '.join(modules)}, or Manifold(space) for others")
    before = os.environ.get("GEOMSTATS_BACKEND")
    if before not in (None, "numpy"):
        raise ValueError(f"manifold: GEOMSTATS_BACKEND is {before!r}; only numpy is supported, unset it")
    try:
        with _lent_names():
            module = importlib.import_module(f"geomstats.geometry.{modules[name]}")
    except ModuleNotFoundError as error:
        raise ValueError(f"manifold: geomstats is not installed ({error}); pip install geomstats") from None
    return Manifold(getattr(module, name)(**settings))


class Manifold:
    """A geomstats manifold whose points are vectors (..., d), as a `Space`.

    Parameters
    ----------
    space : geomstats manifold with a metric
    """

    event_dim = 1
    tangent_dim = 1

    def __init__(self, space: Any) -> None:
        if not hasattr(space, "metric"):
            raise ValueError(f"Manifold: {type(space).__name__} has no metric")
        self._space = space

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifold) and other._space is self._space

    def __hash__(self) -> int:
        return hash((Manifold, id(self._space)))

    def _call(self, function: Callable[..., Any], like: Tensor, *arguments: Tensor) -> Tensor:
        rows = torch.broadcast_shapes(*(a.shape for a in arguments))
        flat = [a.expand(rows).reshape(-1, rows[-1]).detach().cpu().double().numpy() for a in arguments]
        result = np.asarray(function(*flat))
        return torch.from_numpy(np.ascontiguousarray(result)).reshape(rows).to(like)

    def move(self, x: Tensor, tangent: Tensor) -> Tensor:
        """Exponential map, shape (..., d)."""
        moved = self._call(lambda p, v: self._space.metric.exp(v, p), x, x, tangent)
        return self._call(self._space.projection, x, moved) if hasattr(self._space, "projection") else moved

    def toward(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm, shape (..., d)."""
        return self._call(lambda p, q: self._space.metric.log(q, p), x, x, y)

    def noise(self, x: Tensor, *, generator: Source = None) -> Tensor:
        """Normal noise on the tangent space of an embedded manifold with the metric of its surroundings, shape (..., d)."""
        ambient = randn(x.shape, generator, dtype=x.dtype, device=x.device)
        return self._call(lambda v, p: self._space.to_tangent(v, p), x, ambient, x)

    def transport(self, tangent: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Parallel transport along the geodesic, shape (..., d)."""

        def carry(v: Any, p: Any, q: Any) -> Any:
            return self._space.metric.parallel_transport(v, p, end_point=q)

        return self._call(carry, x, tangent, x, y)

    def uniform(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """The manifold's own random points, shape (*shape, d), seeded from ``generator`` through numpy's state, which is restored."""
        seed = int(torch.randint(2**31, (), generator=generator if isinstance(generator, torch.Generator) else None))
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            count = max(1, int(np.prod(shape)))
            points = np.asarray(self._space.random_point(n_samples=count))
        finally:
            np.random.set_state(before)  # noqa: NPY002
        return torch.from_numpy(points.reshape(*shape, -1)).to(torch.get_default_dtype())
