"""Which natives are worth a TM-alignment: a comparison of coarse distance maps, a million times cheaper.

A chain is drawn with `POINTS` points at equal steps along its smoothed CA trace, whatever its length, and described by
the distances between them. A sample is compared with every native as a whole and with windows of longer natives that
are about as long as the sample: shared folds have like maps, for insertions and deletions shift the points a little
only. Lengths are rounded to steps of 15 %, so that the windows of all samples of like length are described once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protgm.alignment.fit import fit
from protgm.checks import points, whole

__all__ = ["POINTS", "describe", "prefilter", "smooth"]

#: Points that draw a chain.
POINTS = 20
_STEP = 1.15  # ratio of one class of window lengths to the next
_STRIDE = 0.12  # windows start at every so many lengths
_CAP = 20.0  # Angstrom: distances beyond count as this, lest flexible ends decide
_PENALTY = 0.5  # squared Angstrom per percent that a native is shorter than the sample

_SCALES = (1 / _STEP**1.5, 1.0, _STEP**1.5)
_LIKELY = 250  # natives that are superposed, per part of a sample
_PART = 0.65  # length of a part over that of its sample
_BAND = 8  # residues that an insertion may shift the match by
_ROUNDS = 3

_FIRST, _SECOND = np.triu_indices(POINTS, k=2)


@dataclass(frozen=True, eq=False)
class Library:
    """Natives in a row: smoothed trace and CA (T, 3), first row and length of each, (M,)."""

    trace: NDArray[np.float32]
    ca: NDArray[np.float32]
    first: NDArray[np.int64]
    lengths: NDArray[np.int64]


def smooth(ca: ArrayLike, width: int = 5) -> NDArray[np.float32]:
    """Running mean over ``width`` residues (fewer at the ends), which takes the winding out of helices: (L, 3)."""
    x = points("ca", ca, "L", 3).astype(np.float64)
    width = whole("width", width, least=1)
    total = np.concatenate((np.zeros((1, 3)), np.cumsum(x, axis=0)))
    i = np.arange(len(x))
    low, high = np.maximum(i - width // 2, 0), np.minimum(i + width // 2 + 1, len(x))
    mean: NDArray[np.float32] = ((total[high] - total[low]) / (high - low)[:, None]).astype(np.float32)
    return mean


def describe(trace: NDArray[np.float32], start: ArrayLike, length: ArrayLike) -> NDArray[np.float32]:
    """Coarse distance maps of windows of a trace.

    Parameters
    ----------
    trace : ndarray, shape (T, 3)
        Smoothed CA positions of one chain or of many in a row.
    start, length : array of int, shape (W,)
        First residue of each window, and its residues.

    Returns
    -------
    ndarray, shape (W, POINTS (POINTS - 1) / 2 - POINTS + 1)
        Distances in Angstrom, 20 at most.
    """
    start, length = np.atleast_1d(start), np.atleast_1d(length)
    position = start[:, None] + (length[:, None] - 1) * np.linspace(0.0, 1.0, POINTS)
    i = np.minimum(position.astype(np.int64), len(trace) - 2)
    share = (position - i).astype(np.float32)[..., None]
    points = trace[i] * (1 - share) + trace[i + 1] * share
    points -= points.mean(axis=1, keepdims=True)
    gram = points @ points.transpose(0, 2, 1)
    square = np.einsum("wii->wi", gram)
    d2 = square[:, _FIRST] + square[:, _SECOND] - 2 * gram[:, _FIRST, _SECOND]
    capped: NDArray[np.float32] = np.minimum(np.sqrt(np.maximum(d2, 0.0)), np.float32(_CAP))
    return capped


def prefilter(
    samples: Sequence[NDArray[np.floating]],
    natives: Sequence[NDArray[np.floating]],
    keep: int,
) -> list[NDArray[np.int64]]:
    """Natives to align with each sample.

    Parameters
    ----------
    samples, natives : sequence of ndarray, shape (L, 3)
        CA positions in Angstrom, none missing, three residues at least.
    keep : int
        Natives per sample.

    Returns
    -------
    list of ndarray of int, shape (min(keep, len(natives)),)
        Rows of ``natives``, the most alike first.
    """
    smoothed = [smooth(x) for x in natives]
    lengths = np.array([len(x) for x in smoothed], dtype=np.int64)
    first = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    library = Library(
        np.concatenate(smoothed), np.concatenate([np.asarray(x, np.float32) for x in natives]), first, lengths
    )
    parts = [_parts(k, len(x)) for k, x in enumerate(samples)]
    classes: dict[int, list[Part]] = {}
    for part in chain.from_iterable(parts):
        classes.setdefault(round(np.log(part.size) / np.log(_STEP)), []).append(part)
    placed: list[list[Placement]] = [[] for _ in samples]
    for step, members in classes.items():
        for part, placement in zip(members, _coarse(library, samples, members, step), strict=True):
            placed[part.sample].append(placement)
    chosen = []
    for x, placements in zip(samples, placed, strict=True):
        rows, start, slope = (np.concatenate(column) for column in zip(*placements, strict=True))
        likely = np.zeros(len(lengths), dtype=np.float32)
        np.maximum.at(likely, rows, superposed_scores(x, library, rows, start, slope))
        chosen.append(np.argsort(-likely, kind="stable")[:keep])
    return chosen


class Part(NamedTuple):
    """A stretch of a sample that is looked for among the natives."""

    sample: int
    start: int
    size: int


#: Natives, the native residue that the sample's first one falls on (may be negative), and native residues per residue.
Placement = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def _parts(sample: int, length: int) -> list[Part]:
    """The whole chain, and overlapping stretches of two thirds of it: a like native may have other ends."""
    size = max(round(length * _PART), min(length, 20))
    starts = np.unique(np.rint(np.linspace(0, length - size, 4)).astype(int)).tolist()
    return [Part(sample, 0, length), *(Part(sample, start, size) for start in starts if size < length)]


def _coarse(
    library: Library, samples: Sequence[NDArray[np.floating]], parts: Sequence[Part], step: int
) -> list[Placement]:
    """For each part, where the natives with the likest maps would put the sample."""
    maps = np.concatenate([describe(smooth(samples[p.sample]), p.start, p.size) for p in parts])
    count = len(library.lengths)
    best = np.full((count, len(parts)), np.inf, dtype=np.float32)
    start, size = (np.zeros((count, len(parts)), dtype=np.int64) for _ in range(2))
    for scale in _SCALES:
        window = max(round(_STEP**step * scale), 3)
        distance, offset = _distances(library, window, maps)
        better = distance < best
        best = np.where(better, distance, best)
        start = np.where(better, offset, start)
        size = np.where(better, np.minimum(window, library.lengths)[:, None], size)
    best += _PENALTY * 100 * np.maximum(0.0, 1 - library.lengths[:, None] / np.array([p.size for p in parts]))
    found = []
    for k, part in enumerate(parts):
        rows = np.argsort(best[:, k], kind="stable")[:_LIKELY]
        slope = (size[rows, k] - 1) / max(part.size - 1, 1)
        found.append((rows, start[rows, k] - slope * part.start, slope))
    return found


def _distances(
    library: Library, window: int, maps: NDArray[np.float32], block: int = 500
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mean squared difference of each sample's map and that of the native's best window, and where that begins.

    Both of shape (natives, samples).
    """
    stride = max(1, round(window * _STRIDE))
    rows, places = [], []
    for low in range(0, len(library.lengths), block):
        held = library.lengths[low : low + block]
        # As many windows as fit, the last one flush with the end; a shorter native is one window.
        number = np.where(held <= window, 1, -(-(held - window) // stride) + 1)
        begin = np.concatenate(([0], np.cumsum(number)[:-1]))
        owner = np.repeat(np.arange(len(held)), number)
        size = np.minimum(held, window)[owner]
        offset = np.minimum((np.arange(len(owner)) - begin[owner]) * stride, held[owner] - size)
        theirs = describe(library.trace, library.first[low : low + block][owner] + offset, size)
        cross = (theirs**2).sum(axis=1)[:, None] - 2 * (theirs @ maps.T)
        least = np.minimum.reduceat(cross, begin, axis=0)
        # First window that reaches the least value.
        place = np.where(cross == least[owner], offset[:, None], np.iinfo(np.int64).max)
        rows.append(least)
        places.append(np.minimum.reduceat(place, begin, axis=0))
    return (np.concatenate(rows) + (maps**2).sum(axis=1)) / maps.shape[1], np.concatenate(places)


def superposed_scores(
    sample: ArrayLike,
    library: Library,
    rows: NDArray[np.int64],
    start: NDArray[np.float64],
    slope: NDArray[np.float64],
) -> NDArray[np.float32]:
    """What TM-score a placement suggests, the best of a few rounds.

    The sample is laid over the native, every residue takes the nearest one of its neighbourhood in the sequence, and
    the superposition follows the matches.

    Parameters
    ----------
    sample : array, shape (L, 3)
    library : Library
    rows, start, slope : ndarray, shape (K,)
        A `Placement`.

    Returns
    -------
    ndarray, shape (K,)
        Normalised by the sample's length.
    """
    x = np.asarray(sample, dtype=np.float32)
    length = len(x)
    d0 = max(1.24 * max(length - 15, 1) ** (1 / 3) - 1.8, 0.5) + 1.0
    expected = np.rint(start[:, None] + slope[:, None] * np.arange(length)).astype(np.int64)
    last, first = (library.lengths[rows] - 1)[:, None], library.first[rows][:, None]
    weight = ((expected >= 0) & (expected <= last)).astype(np.float32)
    matched = library.ca[np.clip(expected, 0, last) + first]
    near = expected[:, :, None] + np.arange(-_BAND, _BAND + 1)
    inside = (near >= 0) & (near <= last[:, None])
    theirs = library.ca[np.clip(near, 0, last[:, None]) + first[:, None]]  # (K, L, 2 band + 1, 3)
    theirs[~inside] = 1e4
    best = np.zeros(len(rows), dtype=np.float32)
    for _ in range(_ROUNDS):
        rotation, centre, target = _superpose(x, matched, weight)
        laid = (x - centre[:, None]) @ np.swapaxes(rotation, 1, 2) + target[:, None]
        d2 = ((theirs - laid[:, :, None]) ** 2).sum(axis=-1)
        nearest = d2.argmin(axis=-1)
        score = 1 / (1 + np.take_along_axis(d2, nearest[..., None], -1)[..., 0] / d0**2)
        best = np.maximum(best, score.mean(axis=-1))
        matched = np.take_along_axis(theirs, nearest[..., None, None], 2)[:, :, 0]
        weight = score**2
    return best


def _superpose(
    x: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Weighted superpositions: ``(x - centre) @ rotation.T + target`` lies on ``y``; shapes (L, 3) and (K, L, 3)."""
    total = weight.sum(axis=1, keepdims=True) + 1e-9
    centre = weight @ x / total
    target = np.einsum("kl,kli->ki", weight, y) / total
    moments = np.zeros((len(y), 16), dtype=np.float32)
    moments[:, 0] = total[:, 0]
    cross = np.einsum("kl,kli,klj->kij", weight, x - centre[:, None], y - target[:, None], optimize=True)
    moments[:, 7:] = cross.reshape(-1, 9)
    return fit(moments)[0], centre, target
