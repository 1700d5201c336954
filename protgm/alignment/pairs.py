"""Pairs of chains of about the same lengths, padded to one array each: their features and their alignments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protgm.alignment.dynamic import Scores, align, best_sums, nearness, sameness, together
from protgm.alignment.fit import features
from protgm.alignment.search import Superposed

__all__ = ["RADII", "Pairs", "d0", "secondary"]

_HELIX, _STRAND, _TURN = 1, 2, 3
#: State, its distances of CA two, three and four residues apart, tolerance: Zhang & Skolnick (2005), Angstrom.
_IDEAL = ((_STRAND, (6.1, 10.4, 13.0), 1.42), (_HELIX, (5.45, 5.18, 6.37), 2.1))
_TURNED = 8.0  # Angstrom between residues i and i + 4

#: Angstrom: pairs within d0, but no less and no more than this, are superposed in the next round of a search.
RADII = (4.5, 8.0)
_CELLS = 3_000_000  # of tables that are filled together


def d0(length: NDArray[np.integer] | int) -> NDArray[np.float64]:
    """Distance in Angstrom at which a pair counts half, for chains of this length: Zhang & Skolnick (2004)."""
    return np.maximum(1.24 * np.cbrt(np.maximum(np.asarray(length, dtype=np.float64) - 15, 0)) - 1.8, 0.5)


class Pairs:
    """B pairs of chains.

    Parameters
    ----------
    chains : sequence of (ndarray, ndarray)
        CA positions in Angstrom, shapes (n, 3) and (m, 3), float32, finite.
    """

    def __init__(self, chains: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
        self.n, self.m = (np.array([len(pair[k]) for pair in chains]) for k in (0, 1))
        self.x, self.y = (_padded([pair[k] for pair in chains]) for k in (0, 1))
        self.here = np.arange(self.x.shape[1]) < self.n[:, None]
        self.there = np.arange(self.y.shape[1]) < self.m[:, None]
        self.short = np.minimum(self.n, self.m)
        # The search is a little more lenient than the score (Zhang & Skolnick 2005).
        self.d0 = d0(self.short) + 0.8
        self.radius = np.clip(self.d0, *RADII)
        self.cut = 1.5 * self.short**0.3 + 3.5
        self.states_x, self.states_y = secondary(self.x, self.n), secondary(self.y, self.m)

    def __len__(self) -> int:
        return len(self.n)

    def rows(self, owner: NDArray[np.integer], found: NDArray[np.integer]) -> NDArray[np.float32]:
        """`features` of alignments, found[k] of the pair owner[k]."""
        paired = (found >= 0) & self.here[owner] & (found < self.m[owner][:, None])
        partner = np.where(paired, found, 0)
        return features(self.x[owner], self.y[owner[:, None], partner], paired)

    def align(
        self,
        owner: NDArray[np.integer],
        laid: Superposed | None,
        gap: float,
        d0: NDArray[np.floating],
        same: float = 0.0,
    ) -> NDArray[np.int32]:
        """Alignments by nearness after superpositions, and by like secondary structure: (K, L).

        Parameters
        ----------
        owner : ndarray of int, shape (K,)
            Rows of pairs.
        laid : Superposed, optional
            Of shape (K,); without, secondary structure alone decides.
        gap : float
        d0 : ndarray, shape (B,)
        same : float
            Score of residues in the same secondary structure.
        """
        found = np.full((len(owner), self.x.shape[1]), -1, dtype=np.int32)
        for part in _blocks(len(owner), self.x.shape[1] * self.y.shape[1]):
            rows = owner[part]
            n, m = self.n[rows], self.m[rows]
            length, width = int(n.max()), int(m.max())
            scores: list[Scores] = []
            if laid is not None:
                x, y = self._laid(rows, laid[part])
                scores.append(nearness(x[:, :length], y[:, :width], d0[rows]))
            if laid is None or same:
                labels = self.states_x[rows, :length], self.states_y[rows, :width]
                scores.append(sameness(*labels, same or 1.0))
            found[part, :length] = align(together(scores), n, m, gap)
        return found

    def sums(self, owner: NDArray[np.integer], laid: Superposed, d0: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scores of the best alignments of every second residue by nearness, where gaps are free: (K,)."""
        out = np.empty(len(owner), dtype=np.float32)
        for part in _blocks(len(owner), self.x.shape[1] * self.y.shape[1] // 4):
            rows = owner[part]
            n, m = (self.n[rows] + 1) // 2, (self.m[rows] + 1) // 2
            x, y = (z[:, ::2][:, : k.max()] for z, k in zip(self._laid(rows, laid[part]), (n, m), strict=True))
            out[part] = best_sums(nearness(x, y, d0[rows]), n, m)
        return out

    def _laid(self, rows: NDArray[np.integer], laid: Superposed) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both chains of pairs, the first superposed; what is past the end is far from everything."""
        x = self.x[rows] @ laid.rotation.astype(np.float32).swapaxes(-1, -2)
        x += laid.translation.astype(np.float32)[:, None]
        x[~self.here[rows]] = 1e5
        return x, np.where(self.there[rows][..., None], self.y[rows], np.float32(-1e5))


def _blocks(count: int, cells: int) -> list[slice]:
    size = int(np.clip(_CELLS // cells, 16, 256))
    return [slice(low, low + size) for low in range(0, count, size)]


def _padded(chains: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    out = np.zeros((len(chains), max(map(len, chains)), 3), dtype=np.float32)
    for row, chain in zip(out, chains, strict=True):
        row[: len(chain)] = chain - chain.mean(axis=0)
    return out


def secondary(x: NDArray[np.float32], n: NDArray[np.integer]) -> NDArray[np.int8]:
    """Helix, strand, turn or coil by the CA distances within five residues; -1 past the end: (B, L, 3) -> (B, L)."""
    count, length = x.shape[:2]
    states = np.zeros((count, length), dtype=np.int8)
    if length >= 5:
        width = length - 4
        apart = {k: np.linalg.norm(x[:, k:] - x[:, :-k], axis=-1) for k in (2, 3, 4)}
        middle = states[:, 2:-2]
        middle[apart[4] < _TURNED] = _TURN
        for state, ideal, slack in _IDEAL:
            like = np.ones((count, width), dtype=bool)
            for k, distance in zip((2, 3, 4), ideal, strict=True):
                for first in range(5 - k):
                    like &= np.abs(apart[k][:, first : first + width] - distance) < slack
            middle[like] = state
    states[np.arange(length) >= n[:, None]] = -1
    return states
