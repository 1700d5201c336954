"""Any manifold of geomstats as a state space, through its numpy backend, imported when the first one is made.

geomstats 2.8 does not import under numpy >= 2.4, which dropped two names it reads; they are lent to it for the time of
the import and taken back. Its pytorch backend would change torch's default dtype, so it is not used: points cross as
float64 arrays, without gradient.
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

from protgm.streams import Source, randn

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
    """A manifold by its name in geomstats, such as ``manifold("Hypersphere", dim=2)``; `Manifold` takes any other.

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
    """A geomstats manifold as a `Space`.

    Its points are arrays of the shape geomstats gives them, such as (3,) or (2, 2).

    Parameters
    ----------
    space : geomstats manifold with a metric
    """

    def __init__(self, space: Any) -> None:
        if getattr(space, "metric", None) is None:
            raise ValueError(f"Manifold: {type(space).__name__} has no metric")
        self._space = space
        self._shape = tuple(space.shape)

    @property
    def event_dim(self) -> int:
        """Trailing dimensions of a point."""
        return len(self._shape)

    @property
    def tangent_dim(self) -> int:
        """Trailing dimensions of a tangent: those of a point."""
        return len(self._shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifold) and other._space is self._space

    def __hash__(self) -> int:
        return hash((Manifold, id(self._space)))

    def __repr__(self) -> str:
        return f"Manifold({type(self._space).__name__}, dimension {self._space.dim})"

    def _call(self, function: Callable[..., Any], like: Tensor, *arguments: Tensor) -> Tensor:
        rows = torch.broadcast_shapes(*(a.shape for a in arguments))
        flat = [a.expand(rows).reshape(-1, *self._shape).detach().cpu().double().numpy() for a in arguments]
        result = np.asarray(function(*flat))
        return torch.from_numpy(np.ascontiguousarray(result)).reshape(rows).to(like)

    def move(self, x: Tensor, tangent: Tensor) -> Tensor:
        """Exponential map, shape (..., *event)."""
        moved = self._call(lambda p, v: self._space.metric.exp(v, p), x, x, tangent)
        return self._call(self._space.projection, x, moved) if hasattr(self._space, "projection") else moved

    def toward(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm, shape (..., *event)."""
        return self._call(lambda p, q: self._space.metric.log(q, p), x, x, y)

    def noise(self, x: Tensor, *, generator: Source = None) -> Tensor:
        """A standard normal tangent in the manifold's own metric, shape (..., *event).

        Projected unit vectors ``v_i`` span the tangent space; with their Gram matrix G, ``sum_i a_i v_i`` is standard
        normal for ``a = G^(-1/2) e``, e standard normal and the root that of the pseudo-inverse.
        """
        ambient = randn(x.shape, generator, dtype=torch.float64)

        def draw(p: Any, e: Any) -> Any:
            size = int(np.prod(self._shape))
            units = np.eye(size).reshape(size, *self._shape)
            spanning = np.stack([self._space.to_tangent(np.broadcast_to(u, p.shape).copy(), p) for u in units], axis=1)
            gram = np.empty((len(p), size, size))
            for i in range(size):
                for j in range(i + 1):
                    gram[:, i, j] = self._space.metric.inner_product(spanning[:, i], spanning[:, j], p)
            values, vectors = np.linalg.eigh(gram, UPLO="L")
            root = np.where(values > 1e-9 * values[:, -1:], np.abs(values).clip(1e-300) ** -0.5, 0.0)
            weights = np.einsum("nij,nj,nkj,nk->ni", vectors, root, vectors, e.reshape(len(p), size))
            return np.einsum("ni,ni...->n...", weights, spanning)

        return self._call(draw, x, x, ambient)

    def transport(self, tangent: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Parallel transport along the geodesic, shape (..., *event).

        By a pole ladder where no closed form is known.
        """
        metric = self._space.metric

        def carry(v: Any, p: Any, q: Any) -> Any:
            try:
                return metric.parallel_transport(v, p, end_point=q)
            except NotImplementedError:
                ladder = metric.ladder_parallel_transport(v, p, metric.log(q, p), n_rungs=2)
                return ladder["transported_tangent_vec"]

        return self._call(carry, x, tangent, x, y)

    def uniform(self, shape: Sequence[int], *, generator: Source = None) -> Tensor:
        """geomstats' random points, shape (*shape, *event), seeded from ``generator``; numpy's own state is restored.

        Uniform where the manifold is compact, otherwise whatever geomstats draws there.
        """
        seed = int(torch.randint(2**31, (), generator=generator if isinstance(generator, torch.Generator) else None))
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            count = max(1, int(np.prod(shape)))
            points = np.asarray(self._space.random_point(n_samples=count))
        finally:
            np.random.set_state(before)  # noqa: NPY002
        return torch.from_numpy(points.reshape(*shape, *self._shape)).to(torch.get_default_dtype())
