"""Needleman and Wunsch's alignment (1970, J. Mol. Biol. 48:443) of many pairs of chains at once.

The table is filled diagonal by diagonal: what a cell needs lies on the two diagonals before, so that a diagonal of all
pairs is one array operation. Ends are free; between two aligned residues a gap, on either side or both, costs the same
whatever its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scores", "align", "best_sums", "nearness", "sameness", "together"]

#: Scores of some diagonals (row + column) in some rows of all pairs, shape (diagonals, rows, B); outside of the table
#: anything.
Scores = Callable[[slice, slice], NDArray[np.float32]]

#: Diagonals whose scores are computed together: less time goes into calls, and they still fit the cache.
_TOGETHER = 4


def _diagonals(y: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    """y[..., d - i, b] at [..., d, i, b], a view, zero outside of y: (..., M, B) -> (..., rows + M - 1, rows, B)."""
    *outer, length, count = y.shape
    filled = np.zeros((*outer, length + 2 * rows - 2, count), dtype=y.dtype)
    filled[..., rows - 1 : rows - 1 + length, :] = y[..., ::-1, :]
    step, item = filled.strides[-2:]
    return np.lib.stride_tricks.as_strided(
        filled[..., rows + length - 2 :, :],
        (*outer, rows + length - 1, rows, count),
        (*filled.strides[:-2], -step, step, item),
        writeable=False,
    )


def nearness(x: NDArray[np.float32], y: NDArray[np.float32], d0: NDArray[np.floating]) -> Scores:
    """Scores ``1 / (1 + d^2 / d0^2)`` of chains that are superposed.

    Parameters
    ----------
    x, y : ndarray, shape (B, L, 3) and (B, M, 3)
        Near the origin; far from it and from each other where a chain has ended.
    d0 : ndarray, shape (B,)
    """
    scale = (1 / np.asarray(d0)).astype(np.float32)[:, None, None]
    first, second = (np.ascontiguousarray((z * scale).transpose(2, 1, 0)) for z in (x, y))
    # 1 + |x|^2 + |y|^2 - 2 x.y
    size = (first * first).sum(axis=0) + 1
    first *= -2
    sizes = _diagonals((second * second).sum(axis=0), x.shape[1])
    places = _diagonals(second, x.shape[1])
    total, product = (np.empty((_TOGETHER, *first.shape[1:]), dtype=np.float32) for _ in range(2))

    def scores(diagonals: slice, rows: slice) -> NDArray[np.float32]:
        count, cells = diagonals.stop - diagonals.start, rows.stop - rows.start
        s, p = total[:count, :cells], product[:count, :cells]
        np.add(size[rows], sizes[diagonals, rows], out=s)
        for k in range(3):
            np.multiply(first[k, rows], places[k, diagonals, rows], out=p)
            np.add(s, p, out=s)
        return np.reciprocal(s, out=s)

    return scores


def sameness(x: NDArray[np.integer], y: NDArray[np.integer], weight: float = 1.0) -> Scores:
    """Scores of ``weight`` where two labels are the same and neither is negative: shapes (B, L) and (B, M)."""
    first = np.ascontiguousarray(np.where(x < 0, -1, x).T.astype(np.int8))
    second = _diagonals(np.where(y < 0, -2, y).T.astype(np.int8), x.shape[1])
    factor = np.float32(weight)
    return lambda diagonals, rows: (first[rows] == second[diagonals, rows]) * factor


def together(scores: Sequence[Scores]) -> Scores:
    """The sum of several."""
    if len(scores) == 1:
        return scores[0]
    return lambda diagonals, rows: sum((s(diagonals, rows) for s in scores[1:]), scores[0](diagonals, rows))


def _walk(scores: Scores, n: int, m: int) -> Iterator[tuple[int, int, int, NDArray[np.float32]]]:
    """Every diagonal with its first row, the one after its last, and its scores."""
    for start in range(0, n + m - 1, _TOGETHER):
        stop = min(start + _TOGETHER, n + m - 1)
        bottom, top = max(0, start - m + 1), min(n, stop)
        some = scores(slice(start, stop), slice(bottom, top))
        for d in range(start, stop):
            low, high = max(0, d - m + 1), min(n, d + 1)
            yield d, low, high, some[d - start, low - bottom : high - bottom]


def align(scores: Scores, rows: NDArray[np.integer], columns: NDArray[np.integer], gap: float) -> NDArray[np.int32]:
    """The alignments of the highest score.

    Parameters
    ----------
    scores : Scores
        Not negative.
    rows, columns : ndarray of int, shape (B,)
        Lengths of the chains; the table is as large as the largest.
    gap : float
        Score of a gap, 0 or less.

    Returns
    -------
    ndarray of int, shape (B, rows.max())
        Column aligned with each row, -1 for none.
    """
    n, m, count = int(rows.max()), int(columns.max()), len(rows)
    cost = np.float32(gap)
    # On diagonal d, in the row of i + 1: the value of cell (i, d - i), and what is left of it once a gap follows.
    values = [np.zeros((n + 1, count), dtype=np.float32) for _ in range(3)]
    left = [np.zeros((n + 1, count), dtype=np.float32) for _ in range(2)]
    gapped = np.empty((n, count), dtype=np.float32)
    match, up = (np.empty((n + m + 1, n + 1, count), dtype=bool) for _ in range(2))
    for d, low, high, near in _walk(scores, n, m):
        here, before = slice(low + 1, high + 1), slice(low, high)
        last = left[(d - 1) % 2] if cost else values[(d - 1) % 3]
        h = np.maximum(last[before], last[here], out=gapped[: high - low])
        np.greater(last[before], last[here], out=up[d + 2, here])
        value = np.add(values[(d - 2) % 3][before], near, out=values[d % 3][here])
        paired = np.greater_equal(value, h, out=match[d + 2, here])
        np.maximum(value, h, out=value)
        if cost:
            np.copyto(h, paired)
            np.multiply(h, cost, out=h)
            np.add(value, h, out=left[d % 2][here])
    codes = np.greater(up, match, out=up).view(np.uint8)
    codes += match
    codes += match
    return _trace(codes, rows, columns)


def best_sums(scores: Scores, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.float32]:
    """What the best alignments score where gaps cost nothing and scores are 0 past the ends: as `align`, shape (B,)."""
    n, m, count = int(rows.max()), int(columns.max()), len(rows)
    values = [np.zeros((n + 1, count), dtype=np.float32) for _ in range(3)]
    for d, low, high, near in _walk(scores, n, m):
        here, before = slice(low + 1, high + 1), slice(low, high)
        value = np.add(values[(d - 2) % 3][before], near, out=values[d % 3][here])
        last = values[(d - 1) % 3]
        np.maximum(value, last[before], out=value)
        np.maximum(value, last[here], out=value)
    sums: NDArray[np.float32] = values[(n + m - 2) % 3][n].copy()
    return sums


# By code: 0 goes on from the cell across, 1 from the one above, 2 is a match, 3 the end.
_ROWS, _COLUMNS = np.array([0, 1, 1, 0]), np.array([1, 0, 1, 0])


def _trace(codes: NDArray[np.uint8], rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.int32]:
    """Alignments from the codes of every cell, as they lie in `align`: shape (diagonals + 2, rows + 1, pairs).

    Each is followed from the last cell of its own chains: a gap at their end costs something too.
    """
    _, n, count = codes.shape
    # Before the first row and before the first column, where every path ends.
    codes[:, 0] = codes[np.arange(n), np.arange(n)] = 3
    flat = codes.reshape(-1)
    cell = ((rows + columns) * n + rows) * count + np.arange(count)
    back = ((_ROWS + _COLUMNS) * n + _ROWS) * count
    matched = []
    going = True
    while going:
        for _ in range(8):
            code = flat.take(cell)
            matched.append(cell[code == 2])
            cell = cell - back.take(code)
        going = bool((code < 3).any())
    place, pair = np.divmod(np.concatenate(matched), count)
    diagonal, row = np.divmod(place, n)
    found = np.full((count, n - 1), -1, dtype=np.int32)
    found[pair, row - 1] = diagonal - row - 1
    return found
