"""TM-scores of chains whose residues are not paired beforehand.

The method is TM-align's (Zhang & Skolnick 2005, NAR 33:2302), for many pairs at once: from several alignments to begin
with, superpose the paired residues for the highest TM-score, align by the distances that result, and so on until the
score stays; of all alignments seen the best counts. What TM-align looks at one by one and this only samples are the
stretches of both chains to begin with, and beginnings that fall far behind the best are given up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protgm.alignment import starts
from protgm.alignment.fit import fit
from protgm.alignment.pairs import RADII, Pairs, d0
from protgm.alignment.search import Superposed, search, squared_distances
from protgm.checks import points

__all__ = ["SHORTEST", "check_pairs", "tm_scores"]

#: Residues: of fewer, d0 of the TM-score has no meaning.
SHORTEST = 5

_GAPS = (-0.6, 0.0)  # first with gaps that cost something, then without
_MANY, _FEW = 12, 2  # rounds with either, at most, of a beginning
_SETTLED = 3e-4  # change of the TM-score
_BEHIND = 0.7  # of the score of the best beginning: less is given up, after two rounds
_LIKE = 0.5  # score of the same secondary structure, beside nearness
_LIKE_GAP = -1.0  # where secondary structure counts
_ROUNDS, _LAST_ROUNDS = 5, 12
_STEP, _LAST_STEP = 40, 8  # residues between superpositions to begin with; finer for the last alignment
_RESIDUES = 16_000  # of the first chains that are aligned together


def check_pairs(name: str, pairs: Sequence[Sequence[object]]) -> None:
    """Refuse what is no list of pairs.

    Raises
    ------
    ValueError
        Which names the argument.
    """
    if not isinstance(pairs, Sequence) or not all(np.iterable(pair) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"{name}: a list of pairs of CA positions is wanted, got {type(pairs).__name__}")


def tm_scores(chains: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> NDArray[np.float64]:
    """TM-scores of pairs of chains, best of about the same lengths: what is short is filled up.

    Parameters
    ----------
    chains : sequence of (ndarray, ndarray)
        CA positions in Angstrom, shapes (n, 3) and (m, 3), finite, `SHORTEST` residues at least.

    Returns
    -------
    ndarray, shape (B, 3)
        Normalised by the length of the first, of the second; RMSD of the aligned residues in Angstrom.

    Raises
    ------
    ValueError
        If positions have another shape or are not finite.
    """
    check_pairs("chains", chains)
    for k, (a, b) in enumerate(chains):
        points(f"first of pair {k}", a, "L", 3, missing=False)
        points(f"second of pair {k}", b, "L", 3, missing=False)
    longest = max((max(len(a), len(b)) for a, b in chains), default=1)
    size = max(_RESIDUES // longest, 4)
    parts = [_scores(Pairs(chains[low : low + size])) for low in range(0, len(chains), size)]
    return np.concatenate(parts) if parts else np.zeros((0, 3))


class _Best:
    """The best alignment of each of K beginnings, (K, L), and its superposition."""

    def __init__(self, count: int, length: int) -> None:
        eye = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
        self.laid = Superposed(np.zeros(count, np.float32), eye, np.zeros((count, 3), np.float32))
        self.found = np.full((count, length), -1, dtype=np.int32)

    def offer(self, which: NDArray[np.integer], laid: Superposed, found: NDArray[np.int32]) -> None:
        better = laid.score > self.laid.score[which]
        self.laid.put(which[better], laid[better])
        self.found[which[better]] = found[better]


def _scores(pairs: Pairs) -> NDArray[np.float64]:
    count = len(pairs)
    every = np.arange(count)
    begin = np.concatenate(
        (
            starts.threading(pairs, 1 / 2),
            pairs.align(every, None, _LIKE_GAP, pairs.d0),
            starts.stretches(pairs),
            starts.threading(pairs, 1 / 2.5, trim=True),
        )
    )
    kinds = len(begin) // count
    most = np.repeat([_MANY, _MANY, _FEW, _FEW], count)
    best = _follow(pairs, np.tile(every, kinds), begin, np.repeat([0, 0, 0, 1], count), most)
    score = best.laid.score.reshape(kinds, count)
    # Nearness and secondary structure together, after the best of the first three superposed residue by residue.
    found = best.found[score[:3].argmax(axis=0) * count + every]
    rotation, translation = fit(pairs.rows(every, found).sum(axis=1))
    laid = Superposed(score[0], rotation, translation)
    mixed = pairs.align(every, laid, _LIKE_GAP, pairs.d0 + 1.5, same=_LIKE)
    last = _follow(pairs, every, mixed, np.zeros(count, dtype=int), np.full(count, _MANY))
    winner = score.argmax(axis=0) * count + every
    last.offer(every, best.laid[winner], best.found[winner])
    return _final(pairs, last.found)


def _follow(
    pairs: Pairs,
    owner: NDArray[np.integer],
    begin: NDArray[np.int32],
    phase: NDArray[np.integer],
    most: NDArray[np.integer],
) -> _Best:
    """Align and superpose in turn, from alignments ``begin`` (K, L) of the pairs ``owner``.

    With each of `_GAPS` from ``phase`` on until the score stays or for ``most`` rounds.
    """
    best = _Best(*begin.shape)
    live = np.arange(len(owner))
    laid = _superposed(pairs, owner, begin)
    best.offer(live, laid, begin)
    phase, turn, before = phase.copy(), np.zeros(len(owner), dtype=int), np.zeros(len(owner))
    late = np.zeros(len(owner), dtype=bool)
    while len(live):
        found = np.empty((len(live), begin.shape[1]), dtype=np.int32)
        for k, gap in enumerate(_GAPS):
            now = phase[live] == k
            if now.any():
                found[now] = pairs.align(owner[live[now]], laid[live[now]], gap, pairs.d0)
        new = _superposed(pairs, owner[live], found)
        best.offer(live, new, found)
        laid.put(live, new)
        turn[live] += 1
        late[live] |= turn[live] >= 2
        done = (np.abs(new.score - before[live]) < _SETTLED * pairs.short[owner[live]]) | (turn[live] >= most[live])
        before[live] = np.where(done, 0, new.score)
        turn[live[done]] = 0
        phase[live[done]] += 1
        late[live[done]] = True
        top = np.zeros(len(pairs))
        np.maximum.at(top, owner, best.laid.score)
        ahead = ~late[live] | (best.laid.score[live] >= _BEHIND * top[owner[live]])
        live = live[(phase[live] < len(_GAPS)) & ahead]
    return best


def _superposed(pairs: Pairs, owner: NDArray[np.integer], found: NDArray[np.int32]) -> Superposed:
    rows = pairs.rows(owner, found)
    return search(rows, pairs.d0[owner], pairs.radius[owner], pairs.cut[owner], step=_STEP, rounds=_ROUNDS)


def _final(pairs: Pairs, found: NDArray[np.int32]) -> NDArray[np.float64]:
    """Scores of alignments by the definition, without the pairs that are too far apart to be called aligned."""
    rows = pairs.rows(np.arange(len(pairs)), found)
    laid = search(rows, pairs.d0, pairs.radius, pairs.cut, step=_LAST_STEP, rounds=_LAST_ROUNDS)
    d2 = squared_distances(rows, laid.rotation[:, None], laid.translation[:, None])[:, 0]
    rows *= (d2 <= np.square(pairs.cut)[:, None])[..., None]
    scores = [
        search(rows, d0(k), np.clip(d0(k), *RADII), None, step=_LAST_STEP, rounds=_LAST_ROUNDS).score / k
        for k in (pairs.n, pairs.m)
    ]
    rotation, translation = fit(rows.sum(axis=1))
    d2 = squared_distances(rows, rotation[:, None], translation[:, None])[:, 0] * rows[..., 0]
    rmsd = np.sqrt(d2.sum(axis=1) / np.maximum(rows[..., 0].sum(axis=1), 1))
    return np.stack((*scores, rmsd), axis=1)
