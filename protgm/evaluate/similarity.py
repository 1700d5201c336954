"""How alike structures are: TM-scores (tmtools), clusters, diversity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protgm.data.workers import chunked_map

__all__ = ["SAME_FOLD", "clusters", "clusters_among", "tm_matrix", "tm_pairs", "tm_score"]

#: TM-score from which on two structures generally share a fold (Xu & Zhang 2010, Bioinformatics 26:889).
SAME_FOLD = 0.5

_SHORTEST = 5  # residues: below, d0 of the TM-score has no meaning
_CHUNK = 64  # pairs per job of a worker

#: Job of a worker: two (L, 3) arrays of CA positions.
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def tm_score(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """TM-align two chains (Zhang & Skolnick 2005, NAR 33:2302).

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
    """
    from tmtools import tm_align

    a, b = (np.asarray(x, dtype=np.float64) for x in (first, second))
    a, b = (np.ascontiguousarray(x[np.isfinite(x).all(axis=-1)]) for x in (a, b))
    if min(len(a), len(b)) < _SHORTEST:
        return float("nan"), float("nan"), float("nan")
    # The sequences are for tmtools' printout only.
    found = tm_align(a, b, "A" * len(a), "A" * len(b))
    return found.tm_norm_chain1, found.tm_norm_chain2, found.rmsd


def _score_chunk(pairs: Sequence[Pair]) -> list[tuple[float, float, float]]:
    return [tm_score(first, second) for first, second in pairs]


def _no_score(pair: Pair) -> list[tuple[float, float, float]]:
    return [(float("nan"),) * 3]


def tm_pairs(
    pairs: Sequence[Pair], *, workers: int = 1, advance: Callable[[int], None] | None = None
) -> NDArray[np.float32]:
    """`tm_score` of many pairs, spread over processes: shape (P, 3), NaN for a pair that TM-align died of.

    Parameters
    ----------
    pairs : sequence of (L, 3) and (M, 3) arrays
    workers : int
    advance : callable, optional
        Told how many more pairs are done.
    """
    rows: list[tuple[float, float, float]] = []
    # A worker takes seconds to start: not worth it for a few pairs.
    used = 1 if len(pairs) < 4 * _CHUNK else workers
    for done, result in chunked_map(_score_chunk, pairs, _no_score, workers=used, chunk=_CHUNK):
        rows.extend(result)
        if advance is not None:
            advance(done)
    return np.asarray(rows, dtype=np.float32).reshape(-1, 3)


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
    coords = [np.asarray(x, dtype=np.float32) for x in structures]
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
    tm = np.nan_to_num(np.asarray(matrix, dtype=np.float64))
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
    """Mean number of `clusters` that ``count`` structures drawn at random form: sets of other sizes can be compared by
    it. None if there are fewer.

    Parameters
    ----------
    matrix : array, shape (N, N)
        As from `tm_matrix`.
    count, draws, seed : int
    """
    tm, rng = np.asarray(matrix), np.random.default_rng(seed)
    if not 0 < count <= len(tm):
        return None
    sets = [rng.permutation(len(tm))[:count] for _ in range(draws)]
    return float(np.mean([len(set(clusters(tm[np.ix_(rows, rows)]).tolist())) for rows in sets]))
