"""Alignments to begin with: whole chains without gaps, like secondary structure, stretches of one laid on the other's.

The kinds of beginning are TM-align's (Zhang & Skolnick 2005, NAR 33:2302).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protgm.alignment.fit import fit
from protgm.alignment.pairs import Pairs
from protgm.alignment.search import Superposed, quick_scores

__all__ = ["stretches", "threading"]

_SHIFTS = 10  # shifts whose score is looked at again
_SPAN = 20  # residues of a short stretch, at most a third of the shorter chain
_LONG = 100  # and of a long one, at most half of it
_POINTS = 32


def _gather(x: NDArray[np.float32], rows: NDArray[np.integer]) -> NDArray[np.float32]:
    """(B, L, 3) and (B, ...) -> (B, ..., 3)."""
    gathered: NDArray[np.float32] = x[np.arange(len(x)).reshape(-1, *(1,) * (rows.ndim - 1)), rows]
    return gathered


def threading(pairs: Pairs, least: float, trim: bool = False) -> NDArray[np.int32]:
    """Alignments without gaps.

    Parameters
    ----------
    pairs : Pairs
    least : float
        Share of the shorter chain that is paired at least.
    trim : bool
        Leave a tenth of the shorter chain out at either end.

    Returns
    -------
    ndarray of int, shape (B, L)
    """
    x, y, n, m = pairs.x, pairs.y, pairs.n, pairs.m
    count, length = x.shape[:2]
    i, j = np.arange(length), np.arange(y.shape[1])
    own, theirs = i < n[:, None], j < m[:, None]
    shortest = np.minimum(n, m)
    if trim:
        low, high = (pairs.short * 0.1).astype(int), (pairs.short * 0.89).astype(int)
        first = (n <= m)[:, None]
        own &= ~first | ((i >= low[:, None]) & (i <= high[:, None]))
        theirs &= first | ((j >= low[:, None]) & (j <= high[:, None]))
        shortest = high - low + 1
    least_paired = np.maximum((shortest * least).astype(int), 5)
    pad = np.zeros((count, length + y.shape[1] + length, 4), dtype=np.float32)
    inner = pad[:, length : length + y.shape[1]]
    inner[..., :3], inner[..., 3] = y * theirs[..., None], theirs
    mine = np.concatenate((x * own[..., None], own[..., None].astype(np.float32)), axis=-1)
    shift = np.empty((count, _SHIFTS), dtype=np.int64)
    for k in range(count):  # the windows of all pairs at once would not fit the cache
        shifts = np.arange(least_paired[k] - n[k], m[k] - least_paired[k] + 1)  # residue i on i + shift
        windows = np.lib.stride_tricks.sliding_window_view(pad[k], n[k], axis=0)[length + shifts]  # (O, 4, n)
        products = windows @ mine[k, : n[k]]  # (O, 4 of y, 4 of x)
        moments = np.empty((len(shifts), 16), dtype=np.float32)
        moments[:, 0], moments[:, 1:4], moments[:, 4:7] = products[:, 3, 3], products[:, 3, :3], products[:, :3, 3]
        moments[:, 7:] = products[:, :3, :3].swapaxes(-1, -2).reshape(len(shifts), 9)
        rotation, translation = fit(moments)
        laid = rotation @ x[k, : n[k]].T
        laid += translation[..., None]
        laid -= windows[:, :3]
        laid *= laid
        d2 = laid.sum(axis=1)
        d2 *= np.float32(1 / pairs.d0[k] ** 2)
        d2 += 1
        score = (windows[:, 3] / d2) @ mine[k, : n[k], 3]
        score[products[:, 3, 3] < least_paired[k]] = -1
        best = np.argsort(-score)[:_SHIFTS]
        shift[k] = np.resize(shifts[best], _SHIFTS)
    there = i + shift[..., None]  # (B, S, L)
    inside = (there >= 0) & (there < y.shape[1])
    there = np.clip(there, 0, y.shape[1] - 1)
    paired = inside & own[:, None] & theirs[np.arange(count)[:, None, None], there]
    owner = np.repeat(np.arange(count), _SHIFTS)
    found = np.where(paired, there, -1).astype(np.int32)
    return _best_of(pairs, owner, found.reshape(-1, length), _SHIFTS)


def _best_of(pairs: Pairs, owner: NDArray[np.integer], found: NDArray[np.int32], each: int) -> NDArray[np.int32]:
    """Of ``each`` alignments of every pair the one of the best quick score."""
    score = quick_scores(pairs.rows(owner, found), pairs.d0[owner], pairs.radius[owner])
    best: NDArray[np.int32] = found[score.reshape(-1, each).argmax(axis=1) + np.arange(0, len(owner), each)]
    return best


def stretches(pairs: Pairs, look: int = 64, keep: int = 8) -> NDArray[np.int32]:
    """Alignments from stretches of both chains that are superposed, the best of each pair: (B, L).

    Of all pairs of stretches ``look`` of either length are chosen by how near x comes to y at all; of these ``keep`` by
    the alignment of every second residue; of those one by its score.
    """
    parts = [_laid_stretches(pairs, divisor, most, look) for divisor, most in ((3, _SPAN), (2, _LONG))]
    laid = Superposed(
        *(np.concatenate([getattr(p, f) for p in parts], axis=1) for f in ("score", "rotation", "translation"))
    )
    count, each = laid.score.shape
    sums = pairs.sums(np.repeat(np.arange(count), each), laid.flat(), pairs.d0 + 1.5).reshape(count, each)
    sums[laid.score < 0] = -1
    best = np.argsort(-sums, axis=1)[:, :keep]
    kept = laid[np.arange(count)[:, None], best]
    owner = np.repeat(np.arange(count), best.shape[1])
    found = pairs.align(owner, kept.flat(), 0.0, pairs.d0 + 1.5)
    return _best_of(pairs, owner, found, best.shape[1])


def _cut(
    z: NDArray[np.float32], lengths: NDArray[np.integer], size: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Stretches at equal steps, centred, zero beyond their ``size``; their middles; which there are.

    (B, L, 3), (B,), (B,) -> (B, G, S, 3), (B, G, 3), (B, G)
    """
    jump = np.select([lengths > 250, lengths > 200, lengths > 150], [45, 35, 25], 15)
    jump = np.maximum(np.minimum(jump, lengths // 3), 1)
    room = lengths - size
    first = np.arange(int((room // jump).max()) + 1) * jump[:, None]
    exists = first <= room[:, None]
    position = np.minimum(first, room[:, None])[..., None] + np.arange(int(size.max()))
    inside = (np.arange(int(size.max())) < size[:, None])[:, None, :, None]
    cut = _gather(z, np.minimum(position, z.shape[1] - 1)) * inside
    middle = cut.sum(axis=2) / size[:, None, None].astype(np.float32)
    return (cut - middle[:, :, None]) * inside, middle, exists


def _laid_stretches(pairs: Pairs, divisor: int, most: int, keep: int) -> Superposed:
    size = np.maximum(np.minimum(pairs.short // divisor, most), 3)
    a, middle_a, is_a = _cut(pairs.x, pairs.n, size)
    b, middle_b, is_b = _cut(pairs.y, pairs.m, size)
    count, g, h, width = len(a), a.shape[1], b.shape[1], a.shape[2]
    cross = a.transpose(0, 1, 3, 2).reshape(count, g * 3, width) @ b.transpose(0, 2, 1, 3).reshape(count, width, h * 3)
    moments = np.zeros((count, g, h, 16), dtype=np.float32)
    moments[..., 0] = 1
    moments[..., 7:] = cross.reshape(count, g, 3, h, 3).transpose(0, 1, 3, 2, 4).reshape(count, g, h, 9)
    rotation, _ = fit(moments)
    translation = middle_b[:, None] - (rotation @ middle_a[:, :, None, :, None])[..., 0]
    found = Superposed(np.zeros((count, g * h)), rotation.reshape(count, -1, 3, 3), translation.reshape(count, -1, 3))
    score = np.where((is_a[:, :, None] & is_b[:, None]).reshape(count, -1), _crowding(pairs, found), -1)
    best = np.argsort(-score, axis=1)[:, :keep]
    return Superposed(score, found.rotation, found.translation)[np.arange(count)[:, None], best]


def _crowding(pairs: Pairs, found: Superposed) -> NDArray[np.float32]:
    """How near some residues of x come to any of y: the sum of their terms of a TM-score, (B, S)."""
    x, y, count, sets = pairs.x, pairs.y, *found.score.shape
    some = _gather(x, np.rint(np.linspace(0, 1, _POINTS) * (pairs.n - 1)[:, None]).astype(int))
    laid = np.ones((count, sets, _POINTS, 4), dtype=np.float32)
    np.matmul(some[:, None], found.rotation.swapaxes(-1, -2), out=laid[..., :3])
    laid[..., :3] += found.translation[:, :, None]
    flat = laid.reshape(count, sets * _POINTS, 4)
    # Columns -2 y, |y|^2: one product of matrices, in parts that fit the cache, is the distances but for |x|^2.
    other = np.empty((count, 4, y.shape[1]), dtype=np.float32)
    other[:, :3] = -2 * y.swapaxes(-1, -2)
    other[:, 3] = np.where(pairs.there, (y * y).sum(axis=-1), np.float32(1e8))
    nearest = np.empty(flat.shape[:2], dtype=np.float32)
    near = np.empty((_POINTS * 8, y.shape[1]), dtype=np.float32)
    for k in range(count):
        for low in range(0, flat.shape[1], len(near)):
            part = flat[k, low : low + len(near)]
            np.matmul(part, other[k], out=near[: len(part)]).min(axis=-1, out=nearest[k, low : low + len(near)])
    nearest += (laid[..., :3] ** 2).sum(axis=-1).reshape(nearest.shape)
    terms = 1 / (1 + np.maximum(nearest, 0) / np.square(pairs.d0).astype(np.float32)[:, None])
    total: NDArray[np.float32] = terms.reshape(count, sets, _POINTS).sum(axis=-1)
    return total
