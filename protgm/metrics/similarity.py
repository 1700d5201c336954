"""How alike structures are: TM-scores, clusters, diversity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protgm.alignment.tm import SHORTEST, check_pairs, tm_scores
from protgm.checks import points, whole
from protgm.metrics.metric import Metric, register
from protgm.workers import chunked_map

__all__ = ["SAME_FOLD", "clusters", "clusters_among", "tm_matrix", "tm_pairs", "tm_score"]

#: TM-score from which on two structures generally share a fold (Xu & Zhang 2010, Bioinformatics 26:889).
SAME_FOLD = 0.5

register(Metric("cluster", "cluster at TM 0.5, 0 the largest", column=4))
register(Metric("pair_tm", "TM-score of two structures, the mean of both normalisations", good="low"))
register(
    Metric("sample_tm", "TM-score to the nearest other sample, normalised by this one's length", good="low", column=5)
)
register(Metric("nearest_sample", "the nearest other sample"))

_CHUNK = 128  # pairs per job of a worker

#: Job of a worker: two (L, 3) arrays of CA positions.
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def tm_score(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Align two chains by structure, in the order of their sequences, and score the alignment.

    The method is TM-align's (Zhang & Skolnick 2005, NAR 33:2302), the code our own (`protgm.alignment`). Many pairs are
    scored faster by `tm_pairs` and `tm_matrix`.

    Parameters
    ----------
    first, second : array, shape (L, 3) and (M, 3)
        CA positions in Angstrom; residues with NaN are left out.

    Returns
    -------
    tm_first, tm_second : float
        TM-score normalised by the length of the first, of the second; NaN where one has fewer than 5 residues.
    rmsd : float
        Of the aligned residues, Angstrom.

    Raises
    ------
    ValueError
        If an array is of another shape, holds no real numbers, or infinite ones.
    """
    one, two, rmsd = tm_pairs([(_chain(first, "first"), _chain(second, "second"))])[0].tolist()
    return one, two, rmsd


def _chain(ca: ArrayLike, name: str) -> NDArray[np.float32]:
    """CA positions, checked; without the residues that are missing."""
    x = np.asarray(ca)
    if x.dtype.kind not in "iuf":
        raise ValueError(f"{name}: CA positions must be real numbers, got dtype {x.dtype}")
    if x.ndim != 2 or x.shape[1] != 3:
        raise ValueError(f"{name}: CA positions must have the shape (residues, 3), got {x.shape}")
    if np.isinf(x).any():
        row = int(np.flatnonzero(np.isinf(x).any(axis=1))[0])
        raise ValueError(f"{name}: the position of residue {row} (from 0) is infinite; mark a missing residue with NaN")
    x = x[~np.isnan(x).any(axis=1)]
    # Far from the origin float32 would lose digits.
    chain: NDArray[np.float32] = (x - x.mean(axis=0, dtype=np.float64) if len(x) else x).astype(np.float32)
    return chain


def _score_chunk(pairs: Sequence[Pair]) -> list[tuple[float, ...]]:
    rows = np.full((len(pairs), 3), np.nan)
    long = [k for k, (a, b) in enumerate(pairs) if min(len(a), len(b)) >= SHORTEST]
    rows[long] = tm_scores([pairs[k] for k in long])
    return [tuple(row) for row in rows.tolist()]


def _no_score(pair: Pair) -> list[tuple[float, ...]]:
    return [(float("nan"),) * 3]


def tm_pairs(
    pairs: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    workers: int = 1,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """`tm_score` of many pairs, spread over processes.

    Parameters
    ----------
    pairs : sequence of (array, array)
        CA positions in Angstrom, shapes (L, 3) and (M, 3); residues with NaN are left out.
    workers : int
    advance : callable, optional
        Told how many more pairs are done.

    Returns
    -------
    ndarray, shape (P, 3)
        As `tm_score`; NaN for a pair that a worker died of.

    Raises
    ------
    ValueError
        As `tm_score`.
    """
    check_pairs("pairs", pairs)
    checked: dict[int, NDArray[np.float32]] = {}
    chains: list[Pair] = []
    for k, (first, second) in enumerate(pairs):
        for x, name in ((first, "first"), (second, "second")):
            if id(x) not in checked:
                checked[id(x)] = _chain(x, f"{name} of pair {k}")
        chains.append((checked[id(first)], checked[id(second)]))
    # The shorter chain first, and alike lengths together: little is filled up.
    turned = np.array([len(a) > len(b) for a, b in chains], dtype=bool)
    chains = [(b, a) if turn else (a, b) for (a, b), turn in zip(chains, turned, strict=True)]
    order = _alike(np.array([(len(a), len(b)) for a, b in chains]).reshape(-1, 2))
    scores = np.empty((len(chains), 3), dtype=np.float32)
    at = 0
    # A worker takes seconds to start: not worth it for a few pairs.
    used = 1 if len(chains) < 2 * _CHUNK else workers
    ordered = [chains[k] for k in order]
    for done, result in chunked_map(_score_chunk, ordered, _no_score, workers=used, chunk=_CHUNK):
        scores[order[at : at + len(result)]] = np.asarray(result, dtype=np.float32).reshape(-1, 3)
        at += len(result)
        if advance is not None:
            advance(done)
    scores[turned] = scores[turned][:, [1, 0, 2]]
    return scores


def _alike(lengths: NDArray[np.integer]) -> NDArray[np.integer]:
    """An order in which every `_CHUNK` rows of ``lengths`` (P, 2), and every half of them, are about the same."""
    order = np.arange(len(lengths))
    if len(order) <= _CHUNK // 4:
        return order
    wider = np.ptp(np.log(np.maximum(lengths, 1)), axis=0).argmax()
    order = order[np.argsort(lengths[:, wider], kind="stable")]
    half = len(order) // 2
    half += -half % _CHUNK if half > _CHUNK else 0
    return np.concatenate([part[_alike(lengths[part])] for part in (order[:half], order[half:])])


def tm_matrix(
    structures: Sequence[ArrayLike], *, workers: int = 1, advance: Callable[[int], None] | None = None
) -> NDArray[np.float32]:
    """TM-scores of all against all.

    Parameters
    ----------
    structures : sequence of array, shape (L, 3)
        CA positions in Angstrom.
    workers : int
    advance : callable, optional
        Told how many more of the N (N - 1) / 2 alignments are done.

    Returns
    -------
    ndarray, shape (N, N)
        ``[i, j]`` is normalised by the length of i; the diagonal is 1.
    """
    if isinstance(structures, str) or not np.iterable(structures):
        raise ValueError(f"structures: a list of CA positions is wanted, got {type(structures).__name__}")
    coords = [_chain(x, f"structure {k}") for k, x in enumerate(structures)]
    i, j = np.triu_indices(len(coords), k=1)
    scores = tm_pairs([(coords[a], coords[b]) for a, b in zip(i, j, strict=True)], workers=workers, advance=advance)
    matrix = np.eye(len(coords), dtype=np.float32)
    matrix[i, j], matrix[j, i] = scores[:, 0], scores[:, 1]
    return matrix


def clusters(matrix: ArrayLike, threshold: float = SAME_FOLD) -> NDArray[np.int64]:
    """Clusters in which every two members have a TM-score of at least ``threshold`` (complete linkage).

    Parameters
    ----------
    matrix : array, shape (N, N)
        As from `tm_matrix`; the two normalisations of a pair are averaged, an unknown one counts as 0.
    threshold : float

    Returns
    -------
    ndarray of int, shape (N,)
        Cluster of each, numbered from 0 by size, the largest first.
    """
    tm = np.nan_to_num(points("matrix", matrix, "N", "N").astype(np.float64))
    count = len(tm)
    if count < 2:
        return np.zeros(count, dtype=np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage

    distance = 1.0 - (tm + tm.T) / 2
    condensed = distance[np.triu_indices(count, k=1)]
    labels = fcluster(linkage(condensed, "complete"), 1.0 - threshold + 1e-9, "distance")
    values, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    rank = {values[k]: r for r, k in enumerate(np.lexsort((first, -sizes)))}
    return np.array([rank[label] for label in labels], dtype=np.int64)


def clusters_among(matrix: ArrayLike, count: int, *, draws: int = 50, seed: int = 0) -> float | None:
    """Mean number of `clusters` that ``count`` structures drawn at random form; None if there are fewer.

    Sets of other sizes can be compared by it.

    Parameters
    ----------
    matrix : array, shape (N, N)
        As from `tm_matrix`.
    count, draws, seed : int
    """
    tm, rng = points("matrix", matrix, "N", "N"), np.random.default_rng(whole("seed", seed, least=0))
    count = whole("count", count)
    if not 0 < count <= len(tm):
        return None
    sets = [rng.permutation(len(tm))[:count] for _ in range(draws)]
    return float(np.mean([len(set(clusters(tm[np.ix_(rows, rows)]).tolist())) for rows in sets]))
