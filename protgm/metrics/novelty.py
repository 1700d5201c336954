"""The nearest native of every sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from protgm.checks import points, whole
from protgm.metrics.metric import Metric, register
from protgm.metrics.prefilter import prefilter
from protgm.metrics.similarity import tm_pairs
from protgm.progress import Stage, quiet
from protgm.workers import chunked_map

__all__ = ["CANDIDATES", "Nearest", "nearest_natives"]

#: Natives that are aligned with each sample, after the prefilter.
CANDIDATES = 60

register(
    Metric(
        "native_tm",
        "TM-score to the nearest native, normalised by the sample's length",
        good="low",
        column=6,
        title="Nearest native",
    )
)
register(Metric("native_rmsd", "RMSD of the residues aligned with the nearest native", unit="A"))
register(Metric("nearest_native", "the nearest native", column=7))

_SHORTEST = 10  # residues of a chain that is compared at all
_CHUNK = 16  # samples per job of a worker


@dataclass(frozen=True)
class Nearest:
    """The native most like a sample.

    Its row, TM-score normalised by the sample's length, RMSD of the aligned residues in Angstrom.
    """

    row: int
    tm: float
    rmsd: float


def _present(ca: NDArray[np.floating]) -> NDArray[np.float32]:
    known: NDArray[np.float32] = np.asarray(ca, dtype=np.float32)[np.isfinite(ca).all(axis=-1)]
    return known


def _candidates(
    natives: Sequence[NDArray[np.float32]], keep: int, samples: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.int64]]:
    return prefilter(samples, natives, keep)


def _none(sample: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    return [np.zeros(0, dtype=np.int64)]


def nearest_natives(
    samples: Sequence[NDArray[np.floating]],
    natives: Sequence[NDArray[np.floating]],
    *,
    candidates: int = CANDIDATES,
    barred: Sequence[NDArray[np.integer]] | None = None,
    workers: int = 1,
    stage: Stage = quiet,
) -> list[Nearest | None]:
    """Find the nearest native of each sample.

    Parameters
    ----------
    samples, natives : sequence of array, shape (L, 3)
        CA positions in Angstrom; residues with NaN are left out.
    candidates : int
        Natives that TM-align compares with a sample, chosen by `protgm.metrics.prefilter`; with as many as there are
        natives the search is exhaustive.
    barred : sequence of array of int, optional
        Rows of ``natives`` that each sample is not compared with.
    workers : int
    stage : Stage
        Shows progress.

    Returns
    -------
    list of Nearest or None
        None for a sample of fewer than 10 residues, or where there is no native.

    Raises
    ------
    ValueError
        If an array has another shape or holds what is no position, or ``candidates`` is below 1.
    """
    candidates = whole("candidates", candidates, least=1)
    samples = [points(f"samples[{k}]", x, "L", 3) for k, x in enumerate(samples)]
    natives = [points(f"natives[{k}]", x, "L", 3) for k, x in enumerate(natives)]
    mine = {k: x for k, x in enumerate(map(_present, samples)) if len(x) >= _SHORTEST}
    kept = {row: x for row, x in enumerate(map(_present, natives)) if len(x) >= _SHORTEST}
    rows, library = np.array(list(kept), dtype=np.int64), list(kept.values())
    found: list[Nearest | None] = [None] * len(samples)
    if not mine or not library:
        return found
    chosen: list[NDArray[np.int64]] = []
    wanted = candidates + max((len(x) for x in barred), default=0) if barred is not None else candidates
    if wanted >= len(library):
        chosen = [np.arange(len(library))] * len(mine)
    else:
        # Alike lengths in one job share the description of the natives.
        order = sorted(mine, key=lambda k: len(mine[k]))
        mine = {k: mine[k] for k in order}
        used = workers if len(mine) * len(library) > 20_000 else 1
        advance = stage("natives worth aligning", len(mine))
        job = partial(_candidates, library, wanted)
        for done, part in chunked_map(job, list(mine.values()), _none, workers=used, chunk=_CHUNK):
            chosen.extend(part)
            advance(done)
    if barred is not None:
        chosen = [c[~np.isin(rows[c], barred[k])] for k, c in zip(mine, chosen, strict=True)]
    if wanted < len(library):
        chosen = [c[:candidates] for c in chosen]
    pairs = [(x, library[j]) for x, columns in zip(mine.values(), chosen, strict=True) for j in columns]
    owner = np.repeat(np.arange(len(mine)), [len(columns) for columns in chosen])

    scores = tm_pairs(pairs, workers=workers, advance=stage("nearest natives", len(pairs)))
    for position, k in enumerate(mine):
        own = np.flatnonzero(owner == position)
        if not len(own) or not np.isfinite(scores[own, 0]).any():
            continue
        best = own[np.nanargmax(scores[own, 0])]
        row = int(rows[chosen[position][best - own[0]]])
        found[k] = Nearest(row, float(scores[best, 0]), float(scores[best, 2]))
    return found
