"""The superposition of the highest TM-score for residues that are paired already.

As the TM-score is defined to be computed (Zhang & Skolnick 2004, Proteins 57:702): superpose a stretch of the pairs,
then, again and again, those that came to lie near each other; of all stretches and rounds the best counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.alignment.fit import distance_rows, fit

__all__ = ["Superposed", "near_score", "quick_scores", "search", "squared_distances"]

_SHORTEST = 4  # residues of a stretch
_HALVINGS = 5
_KEPT = 4  # stretches that are followed after the first rounds
_FIRST = 2  # rounds of all stretches


@dataclass(frozen=True, eq=False)
class Superposed:
    """Superpositions and their scores.

    Parameters
    ----------
    score : ndarray, shape (...)
        Sum of ``1 / (1 + d^2 / d0^2)``, before the division by a length.
    rotation : ndarray, shape (..., 3, 3)
    translation : ndarray, shape (..., 3)
    """

    score: NDArray[np.floating]
    rotation: NDArray[np.floating]
    translation: NDArray[np.floating]

    def __getitem__(self, which: Any) -> Superposed:
        return Superposed(self.score[which], self.rotation[which], self.translation[which])

    def flat(self) -> Superposed:
        """Of shape (B, S) as (B S)."""
        return Superposed(*(v.reshape(-1, *v.shape[2:]) for v in (self.score, self.rotation, self.translation)))

    def put(self, which: NDArray[np.integer], other: Superposed) -> None:
        """Overwrite those at ``which``."""
        self.score[which], self.rotation[which], self.translation[which] = (
            other.score,
            other.rotation,
            other.translation,
        )


def squared_distances(
    rows: NDArray[np.float32], rotation: NDArray[np.floating], translation: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Of pairs after superpositions: (B, L, COLUMNS) and (B, S, 3, 3), (B, S, 3) -> (B, S, L)."""
    d2 = distance_rows(rotation, translation) @ np.swapaxes(rows, -1, -2)
    squares: NDArray[np.float32] = np.maximum(d2, 0, out=d2)
    return squares


def near_score(
    d2: NDArray[np.float32], paired: NDArray[np.bool_], d0: NDArray[np.floating], cut: NDArray[np.floating] | None
) -> NDArray[np.float32]:
    """Sum over the pairs of ``1 / (1 + d^2 / d0^2)``, of those up to ``cut`` only: (B, S, L) -> (B, S)."""
    terms = d2 * (1 / np.square(d0)).astype(np.float32)[:, None, None]
    terms += 1
    np.reciprocal(terms, out=terms)
    counted = paired[:, None] if cut is None else paired[:, None] & (d2 <= np.square(cut)[:, None, None])
    terms *= counted
    total: NDArray[np.float32] = terms.sum(axis=-1)
    return total


def _near(d2: NDArray[np.float32], paired: NDArray[np.bool_], radius: NDArray[np.floating]) -> NDArray[np.float32]:
    """1 where a pair is nearer than ``radius`` (widened in steps of half an Angstrom until three are): (B, S, L)."""
    square = np.square(radius).astype(np.float32)[:, None, None]
    chosen = (d2 <= square) & paired[:, None]
    few = np.flatnonzero(chosen.sum(axis=-1).reshape(-1) < 3)
    if len(few):
        flat, length = chosen.reshape(-1, chosen.shape[-1]), chosen.shape[-1]
        there = np.broadcast_to(paired[:, None], chosen.shape).reshape(-1, length)[few]
        far = np.where(there, d2.reshape(-1, length)[few], np.inf)
        third = np.partition(far, min(2, length - 1), axis=-1)[:, min(2, length - 1)]
        start = np.broadcast_to(radius[:, None], chosen.shape[:2]).reshape(-1)[few]
        steps = np.ceil(np.maximum(np.sqrt(np.minimum(third, 1e9)) - start, 0) * 2) / 2
        flat[few] = there & (far <= np.square(start + steps)[:, None])
    near: NDArray[np.float32] = chosen.astype(np.float32)
    return near


def _stretches(paired: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    """All pairs, halves, quarters, ... of them, every ``step`` pairs and at the end: (B, S, L)."""
    count, rank = paired.sum(axis=1), np.cumsum(paired, axis=1) - 1
    found, size = [], count
    for _ in range(_HALVINGS + 1):
        size = np.maximum(size, _SHORTEST)
        last = np.maximum(count - size, 0)
        for start in range(0, int(last.max(initial=0)) + step, step):
            low = np.minimum(start, last)[:, None]
            found.append(paired & (rank >= low) & (rank < low + size[:, None]))
        if (size == _SHORTEST).all():
            break
        size = size // 2
    return np.stack(found, axis=1).astype(np.float32)


def search(
    rows: NDArray[np.float32],
    d0: NDArray[np.floating],
    radius: NDArray[np.floating],
    cut: NDArray[np.floating] | None,
    *,
    step: int,
    rounds: int,
) -> Superposed:
    """Superposition of the highest score.

    Parameters
    ----------
    rows : ndarray, shape (B, L, COLUMNS)
        `protgm.alignment.fit.features`.
    d0, radius : ndarray, shape (B,)
        Of the score, and within which pairs are superposed in the next round; Angstrom.
    cut : ndarray, shape (B,), optional
        Pairs further apart do not count.
    step : int
        Pairs between two stretches to begin with.
    rounds : int

    Returns
    -------
    Superposed
        Of shape (B,).
    """
    paired = rows[..., 0] > 0
    weights = _stretches(paired, step)
    here = np.arange(len(rows))
    best = None
    for turn in range(rounds + 1):
        rotation, translation = fit(weights @ rows)
        d2 = squared_distances(rows, rotation, translation)
        now = Superposed(near_score(d2, paired, d0, cut), rotation, translation)
        top = now[here, now.score.argmax(axis=1)]
        if best is None:
            best = top
        else:
            better = np.flatnonzero(top.score > best.score)
            best.put(better, top[better])
        if turn == _FIRST and now.score.shape[1] > _KEPT:
            kept = np.argpartition(-now.score, _KEPT - 1, axis=1)[:, :_KEPT]
            d2 = np.take_along_axis(d2, kept[..., None], 1)
        if turn < rounds:
            weights = _near(d2, paired, radius + (1 if turn else -1))
    assert best is not None
    return best


def quick_scores(
    rows: NDArray[np.float32], d0: NDArray[np.floating], radius: NDArray[np.floating]
) -> NDArray[np.float32]:
    """The best of three superpositions: of all pairs, and twice of those near by then; (B, L, COLUMNS) -> (B,)."""
    paired = rows[..., 0] > 0
    weights = paired[:, None].astype(np.float32)
    best = np.zeros(len(rows), dtype=np.float32)
    for turn in range(3):
        d2 = squared_distances(rows, *fit(weights @ rows))
        best = np.maximum(best, near_score(d2, paired, d0, None)[:, 0])
        if turn < 2:
            weights = _near(d2, paired, np.sqrt(np.square(radius) + turn))
    return best
