"""What natives of the samples' lengths score in the samples' own figures: the reference beside every number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.evaluate.judge import Judged, judge
from protgm.metrics.distributions import match_lengths
from protgm.metrics.novelty import nearest_natives
from protgm.metrics.similarity import clusters, tm_matrix
from protgm.progress import Stage, quiet
from protgm.structure.letters import chosen

if TYPE_CHECKING:
    from protgm.data.natives import Natives
    from protgm.design import Designer
    from protgm.metrics.gate import Gate
    from protgm.structure.backbone import Backbone

__all__ = ["Matched", "align_natives", "design_natives", "match_natives"]

#: Natives that are aligned with each other and with the whole reference, and natives that get designed sequences.
ALIGNED, DESIGNED = 24, 12


@dataclass(frozen=True, eq=False)
class Matched:
    """Natives of the samples' lengths.

    Parameters
    ----------
    backbones : list of Backbone
    rows : ndarray, shape (N,)
        Where each is in the reference.
    judged : Judged
        Their figures.
    """

    backbones: list[Backbone]
    rows: NDArray[np.int64]
    judged: Judged

    def some(self, count: int, seed: int) -> NDArray[np.int64]:
        """Positions of ``count`` of them, drawn at random."""
        return np.sort(np.random.default_rng(seed).permutation(len(self.rows))[:count])


def match_natives(
    samples: Judged, library: Natives, count: int, gate: Gate, *, seed: int = 0, stage: Stage = quiet
) -> Matched:
    """Choose ``count`` natives of the samples' lengths and judge them the same way."""
    rows = match_lengths(samples.features.lengths, library.lengths, count, np.random.default_rng(seed))
    backbones = [library[int(row)] for row in rows]
    return Matched(backbones, rows, judge(backbones, gate, name="natives of like length", stage=stage))


def align_natives(
    matched: Matched,
    library: Natives,
    *,
    candidates: int,
    workers: int = 1,
    seed: int = 0,
    count: int = ALIGNED,
    stage: Stage = quiet,
) -> dict[str, dict[str, float]]:
    """Natives against each other, and against the natives of other families: sets ``native_tm`` in their rows.

    Returns
    -------
    dict
        ``pair_tm``: mean and 5, 50, 95 % values of the TM-scores of pairs; ``clusters``: how many the natives form, as
        ``mean``, and how many natives they are, as ``of``.
    """
    chosen = matched.some(count, seed)
    ca = [matched.backbones[k].coords[:, 1] for k in chosen]
    barred = [library.relatives(int(matched.rows[k])) for k in chosen]
    every = [b.coords[:, 1] for b in library]
    found = nearest_natives(ca, every, candidates=candidates, barred=barred, workers=workers, stage=stage)
    for k, nearest in zip(chosen, found, strict=True):
        matched.judged.rows[k]["native_tm"] = None if nearest is None else nearest.tm
    if len(chosen) < 2:
        return {}
    matrix = tm_matrix(ca, workers=workers, advance=stage("natives against natives", len(ca) * (len(ca) - 1) // 2))
    pairs = np.triu_indices(len(ca), k=1)
    scores = (matrix[pairs] + matrix.T[pairs]) / 2
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return {}
    low, middle, high = (float(v) for v in np.quantile(scores, (0.05, 0.5, 0.95)))
    return {
        "pair_tm": {"mean": float(scores.mean()), "p5": low, "p50": middle, "p95": high},
        "clusters": {"mean": float(len(set(clusters(matrix).tolist()))), "of": float(len(ca))},
    }


def design_natives(
    matched: Matched,
    designer: Designer,
    num_seqs: int,
    *,
    seed: int = 0,
    count: int = DESIGNED,
    stage: Stage = quiet,
) -> None:
    """Sets ``mpnn_nll`` (best sequence designed for the native) and ``native_nll`` (its own) in rows of natives."""
    some = matched.some(count, seed)
    advance = stage("natives' sequences", len(some))
    for k in some:
        backbone, row = matched.backbones[k], matched.judged.rows[k]
        _design_one(backbone, row, designer, num_seqs, seed)
        advance(1)


def _design_one(backbone: Backbone, row: dict[str, Any], designer: Designer, num_seqs: int, seed: int) -> None:
    try:
        row["mpnn_nll"] = min(one.nll for one in designer.design(backbone, num_seqs, seed=seed))
        # A file that does not say what its residues are has no likelihood of its own.
        if chosen(backbone.sequence).mean() > 0.5:
            row["native_nll"] = designer.score(backbone, backbone.sequence)
    except ValueError:
        return  # its atoms do not allow a design
