"""How far a set of structures is from natives, with what natives among themselves reach as the floor.

Distances of the distributions of dihedrals and secondary structure (Jensen-Shannon divergence, Lin 1991, in bits: 0 for
equal, 1 for disjoint laws), and of distance maps and shape (Frechet distance of Gaussians, Dowson & Landau 1982;
maximum mean discrepancy, Gretton et al. 2012, with a Gaussian kernel).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from protgm.checks import check_kind, points, whole
from protgm.metrics.features import Features

__all__ = ["DISTANCES", "Distance", "Space", "compare", "frechet", "jensen_shannon", "match_lengths", "mmd"]

#: Name and meaning of each distance to natives.
DISTANCES = {
    "dihedrals_js": ("phi/psi, Jensen-Shannon (bits)", "divergence of the phi/psi histograms of all residues"),
    "secondary_js": ("H/E/C, Jensen-Shannon (bits)", "divergence of the shares of helix, strand and coil"),
    "shape_mmd": ("shape, MMD^2", "shares and lengths of helices and strands, relative Rg"),
    "distances_mmd": ("CA distance maps, MMD^2", "shares of CA distances by sequence separation, a vector each"),
    "distances_frechet": ("CA distance maps, Frechet", "the same vectors, as Gaussians"),
}

_COMPONENTS = 8  # principal components of natives' distance maps that are compared


@dataclass(frozen=True)
class Distance:
    """One distance of a set to natives.

    ``low`` and ``high`` are the value's 95 % interval (bootstrap over structures, less the bootstrap's own bias);
    ``floor``, ``floor_low`` and ``floor_high`` are the mean and 95 % range of natives against other natives, sets as
    large as those compared. A set is told from natives where ``value`` lies above ``floor_high``.
    """

    value: float
    low: float
    high: float
    floor: float
    floor_low: float
    floor_high: float

    def to_dict(self) -> dict[str, float]:
        """Names and values."""
        return asdict(self)


def jensen_shannon(p: NDArray[np.floating], q: NDArray[np.floating]) -> float:
    """Divergence of two histograms (counts, any shape) in bits."""
    a, b = (points(name, x, "...", missing=False).astype(np.float64).ravel() for name, x in (("p", p), ("q", q)))
    if a.shape != b.shape:
        raise ValueError(f"q: as many counts as those of p are wanted, {len(a)}; got {len(b)}")
    if not a.sum() or not b.sum():
        return float("nan")
    a, b = a / a.sum(), b / b.sum()
    mean = (a + b) / 2

    def relative(x: NDArray[np.float64]) -> float:
        there = x > 0
        return float((x[there] * np.log2(x[there] / mean[there])).sum())

    return max((relative(a) + relative(b)) / 2, 0.0)


def frechet(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of Gaussians fitted to the rows of ``x`` (N, D) and ``y`` (M, D)."""
    x, y = (points(name, z, "N", "D", missing=False).astype(np.float64) for name, z in (("x", x), ("y", y)))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y: rows of {x.shape[1]} numbers are wanted as those of x, got {y.shape[1]}")
    if min(len(x), len(y)) < 2:
        return float("nan")
    shift = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    first, second = (np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    # tr (C1 C2)^(1/2) = tr (C1^(1/2) C2 C1^(1/2))^(1/2), whose matrix is symmetric.
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(max(shift + np.trace(first) + np.trace(second) - 2 * cross, 0.0))


def mmd(kernel: NDArray[np.floating], x: NDArray[np.integer], y: NDArray[np.integer]) -> float:
    """Unbiased squared MMD (Gretton et al. 2012, eq. 3); ``kernel`` (N, N) of all, ``x`` and ``y`` rows of the sets.

    A structure that a bootstrap drew twice is not paired with itself.
    """
    if min(len(x), len(y)) < 2:
        return float("nan")

    def within(rows: NDArray[np.integer]) -> float:
        block = kernel[np.ix_(rows, rows)]
        other = rows[:, None] != rows[None, :]
        return float(block[other].mean()) if other.any() else float("nan")

    return within(x) + within(y) - 2 * float(kernel[np.ix_(x, y)].mean())


@dataclass(frozen=True, eq=False)
class Space:
    """Where vectors are compared: centred and scaled by natives, reduced to their principal components."""

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    @classmethod
    def of_natives(cls, vectors: NDArray[np.floating], components: int = _COMPONENTS) -> Space:
        """From natives' vectors, shape (M, D)."""
        x = np.asarray(vectors, dtype=np.float64)
        mean = x.mean(axis=0)
        _, scale, axes = np.linalg.svd(x - mean, full_matrices=False)
        kept = min(components, int((scale > 1e-9 * max(scale.max(initial=0.0), 1e-300)).sum()))
        # Every component counts in units of natives' standard deviation.
        width = scale[:kept, None] / np.sqrt(max(len(x) - 1, 1))
        return cls(mean, axes[:kept] / width)

    def __call__(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Coordinates, shape (N, components)."""
        return (np.asarray(vectors, dtype=np.float64) - self.mean) @ self.axes.T


def _gaussian_kernel(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(-d^2 / 2 s^2) of all pairs of rows, s the median distance."""
    square = (x**2).sum(axis=1)
    d2 = np.maximum(square[:, None] + square[None, :] - 2 * x @ x.T, 0.0)
    width = np.median(d2[np.triu_indices(len(x), k=1)]) if len(x) > 1 else 1.0
    kernel: NDArray[np.float64] = np.exp(-d2 / (2 * max(float(width), 1e-12)))
    return kernel


def match_lengths(
    lengths: NDArray[np.integer], natives: NDArray[np.integer], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of ``count`` natives, none twice, whose lengths are as close as can be to those of the samples.

    Every sample in turn takes the nearest native that is left, in random order.
    """
    for name, given in (("lengths", lengths), ("natives", natives)):
        points(name, given, "N")
    count = min(whole("count", count, least=0), len(natives))
    order = rng.permutation(len(natives))
    order = order[np.argsort(np.asarray(natives)[order], kind="stable")]
    values = np.asarray(natives)[order]
    free = np.ones(len(order), dtype=bool)
    wanted = np.concatenate([rng.permutation(lengths) for _ in range(-(-count // max(len(lengths), 1)))])[:count]
    taken = []
    for length in wanted:
        low = int(np.searchsorted(values, length, side="left"))
        high = int(np.searchsorted(values, length, side="right"))
        ties = low + np.flatnonzero(free[low:high])
        if len(ties):
            best = int(rng.choice(ties))
        else:
            left = np.flatnonzero(free)
            best = int(left[np.argmin(np.abs(values[left] - length))])
        free[best] = False
        taken.append(order[best])
    return np.sort(np.asarray(taken, dtype=np.int64))


def compare(samples: Features, natives: Features, *, draws: int = 200, seed: int = 0) -> dict[str, Distance]:
    """Distances of samples to natives, with bootstrap intervals and the natives' own floor.

    Parameters
    ----------
    samples, natives : Features
        Natives should have the samples' lengths (`match_lengths`) and be at least as many.
    draws : int
        Bootstrap draws, and splits of the natives for the floor.
    seed : int

    Returns
    -------
    dict
        By the names of `DISTANCES`.
    """
    for name, given in (("samples", samples), ("natives", natives)):
        check_kind(name, given, Features)
    count = len(samples)
    space, shape = Space.of_natives(natives.distances), Space.of_natives(natives.shape)
    x, y = space(samples.distances), space(natives.distances)
    kernels = {
        "distances_mmd": _gaussian_kernel(np.concatenate((x, y))),
        "shape_mmd": _gaussian_kernel(np.concatenate((shape(samples.shape), shape(natives.shape)))),
    }
    every = np.concatenate((x, y))
    dihedrals = np.concatenate((samples.dihedrals, natives.dihedrals))
    states = np.concatenate((samples.secondary, natives.secondary))

    def histogram(table: NDArray[np.floating]) -> Callable[[NDArray[np.integer], NDArray[np.integer]], float]:
        return lambda a, b: jensen_shannon(table[a].sum(axis=0), table[b].sum(axis=0))

    measures: dict[str, Callable[[NDArray[np.integer], NDArray[np.integer]], float]] = {
        "dihedrals_js": histogram(dihedrals),
        "secondary_js": histogram(states),
        "shape_mmd": lambda a, b: mmd(kernels["shape_mmd"], a, b),
        "distances_mmd": lambda a, b: mmd(kernels["distances_mmd"], a, b),
        "distances_frechet": lambda a, b: frechet(every[a], every[b]),
    }
    mine, theirs = np.arange(count), count + np.arange(len(natives))
    rng = np.random.default_rng(seed)
    boot = [(rng.choice(mine, count), rng.choice(theirs, len(theirs))) for _ in range(draws)]
    # The floor: as many natives as there are samples, against the others.
    size = min(count, len(natives) // 2)
    splits = [np.split(rng.permutation(theirs), [size]) for _ in range(draws)]
    found = {}
    for name, measure in measures.items():
        value = measure(mine, theirs)
        drawn = [measure(a, b) for a, b in boot]
        # A set drawn with replacement is rougher than the set itself, which adds to the distance: that bias is removed.
        low, high = (bound + value - float(np.mean(drawn)) for bound in _range(drawn))
        low = low if name.endswith("_mmd") else max(low, 0.0)
        floor = [measure(a, b) for a, b in splits]
        floor_low, floor_high = _range(floor)
        mean = float(np.mean(floor)) if np.isfinite(floor).all() else float("nan")
        found[name] = Distance(value, low, high, mean, floor_low, floor_high)
    return found


def _range(values: list[float]) -> tuple[float, float]:
    known = np.asarray(values)[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
