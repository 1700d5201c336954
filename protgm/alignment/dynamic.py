"""Needleman and Wunsch's alignment (1970, J. Mol. Biol. 48:443) of many pairs of chains at once.

The table is filled diagonal by diagonal: what a cell needs lies on the two diagonals before, so that a diagonal of all
pairs is one array operation. Ends are free; between two aligned residues a gap, on either side or both, costs the same
whatever its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scores", "align", "best_sums", "nearness", "sameness", "together"]

#: Scores of cells ``(i, j) = (low + k, low + offset - k)``, k from 0, of all pairs: called with the two slices that a
#: diagonal is of the rows of x and of the reversed rows of y; shape (cells, B).
Scores = Callable[[slice, slice], NDArray[np.float32]]


def nearness(x: NDArray[np.float32], y: NDArray[np.float32], d0: NDArray[np.floating]) -> Scores:
    """Scores ``1 / (1 + d^2 / d0^2)`` of chains that are superposed.

    Parameters
    ----------
    x, y : ndarray, shape (B, L, 3) and (B, M, 3)
        NaN where a chain has ended.
    d0 : ndarray, shape (B,)
    """
    scale = (1 / np.asarray(d0)).astype(np.float32)[:, None, None]
    first = np.ascontiguousarray((x * scale).transpose(2, 1, 0))
    second = np.ascontiguousarray((y * scale).transpose(2, 1, 0)[:, ::-1])
    difference, square = np.empty_like(first[0]), np.empty_like(first[0])

    def scores(rows: slice, columns: slice) -> NDArray[np.float32]:
        cells = rows.stop - rows.start
        s, d = square[:cells], difference[:cells]
        np.subtract(first[0, rows], second[0, columns], out=s)
        np.multiply(s, s, out=s)
        for k in (1, 2):
            np.subtract(first[k, rows], second[k, columns], out=d)
            np.multiply(d, d, out=d)
            np.add(s, d, out=s)
        np.add(s, 1, out=s)
        return np.reciprocal(s, out=s)

    return scores


def sameness(x: NDArray[np.integer], y: NDArray[np.integer], weight: float = 1.0) -> Scores:
    """Scores of ``weight`` where two labels are the same and neither is negative: shapes (B, L) and (B, M)."""
    first = np.ascontiguousarray(np.where(x < 0, -1, x).T.astype(np.int8))
    second = np.ascontiguousarray(np.where(y < 0, -2, y).T[::-1].astype(np.int8))
    factor = np.float32(weight)
    return lambda rows, columns: (first[rows] == second[columns]) * factor


def together(scores: Sequence[Scores]) -> Scores:
    """The sum of several."""
    if len(scores) == 1:
        return scores[0]
    return lambda rows, columns: sum((s(rows, columns) for s in scores[1:]), scores[0](rows, columns))


def align(scores: Scores, lengths: tuple[int, int], count: int, gap: NDArray[np.floating]) -> NDArray[np.int32]:
    """The alignments of the highest score.

    Parameters
    ----------
    scores : Scores
        Not negative.
    lengths : (int, int)
        Rows and columns of the table.
    count : int
        Pairs.
    gap : ndarray, shape (count,)
        Score of a gap, 0 or less.

    Returns
    -------
    ndarray of int, shape (count, lengths[0])
        Column aligned with each row, -1 for none.
    """
    n, m = lengths
    cost = np.broadcast_to(np.asarray(gap, dtype=np.float32), (n, count)).copy()
    # On diagonal d, in the row of i + 1: the value of cell (i, d - i), and what is left of it once a gap follows.
    values = [np.zeros((n + 1, count), dtype=np.float32) for _ in range(3)]
    left = [np.zeros((n + 1, count), dtype=np.float32) for _ in range(2)]
    gapped = np.empty((n, count), dtype=np.float32)
    codes = np.empty((n + m - 1, n, count), dtype=np.uint8)
    match = np.empty((n, count), dtype=bool)
    for d in range(n + m - 1):
        low, high = max(0, d - m + 1), min(n, d + 1)
        here, before = slice(low + 1, high + 1), slice(low, high)
        last = left[(d - 1) % 2]
        up, across = last[before], last[here]
        h = np.maximum(up, across, out=gapped[: high - low])
        code = np.greater(up, across, out=codes[d, before].view(bool)).view(np.uint8)
        value = np.add(
            values[(d - 2) % 3][before],
            scores(before, slice(m - 1 - d + low, m - 1 - d + high)),
            out=values[d % 3][here],
        )
        flag = np.greater_equal(value, h, out=match[: high - low])
        np.add(code, flag.view(np.uint8), out=code)
        np.add(code, flag.view(np.uint8), out=code)
        np.maximum(value, h, out=value)
        np.copyto(h, flag)
        np.multiply(h, cost[: high - low], out=h)
        np.add(value, h, out=left[d % 2][here])
    return _trace(codes)


def best_sums(scores: Scores, lengths: tuple[int, int], count: int) -> NDArray[np.float32]:
    """What the best alignments score where gaps cost nothing; as `align`, shape (count,)."""
    n, m = lengths
    values = [np.zeros((n + 1, count), dtype=np.float32) for _ in range(3)]
    for d in range(n + m - 1):
        low, high = max(0, d - m + 1), min(n, d + 1)
        here, before = slice(low + 1, high + 1), slice(low, high)
        near = scores(before, slice(m - 1 - d + low, m - 1 - d + high))
        value = np.add(values[(d - 2) % 3][before], near, out=values[d % 3][here])
        last = values[(d - 1) % 3]
        np.maximum(value, last[before], out=value)
        np.maximum(value, last[here], out=value)
    return values[(n + m - 2) % 3][n].copy()


# By code: 0 goes on from the cell across, 1 from the one above, 2 and 3 are a match.
_ROWS, _COLUMNS = np.array([0, 1, 1, 1]), np.array([1, 0, 1, 1])


def _trace(codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Alignments from the codes of every cell, as they lie in `align`: shape (diagonals, rows, pairs)."""
    diagonals, n, count = codes.shape
    m = diagonals - n + 1
    found = np.full((n, count), -1, dtype=np.int32)
    out, flat = found.reshape(-1), codes.reshape(-1)
    pair = np.arange(count)
    i, j = np.full(count, n - 1), np.full(count, m - 1)
    cell, place = ((i + j) * n + i) * count + pair, i * count + pair
    back = ((_ROWS + _COLUMNS) * n + _ROWS) * count
    while len(cell):
        code = flat.take(cell)
        # What is written last when a row is left is what became of it.
        out[place] = np.where(code > 1, j, -1)
        rise = _ROWS.take(code)
        i = i - rise
        j = j - _COLUMNS.take(code)
        cell = cell - back.take(code)
        place = place - rise * count
        if (i | j).min() < 0:
            stay = (i | j) >= 0
            i, j, cell, place = i[stay], j[stay], cell[stay], place[stay]
    return found.T
