"""What ``protgm evaluate`` finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from protgm.metrics.distributions import Distance

__all__ = ["Evaluation"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found.

    Parameters
    ----------
    samples : list of dict
        One row of figures per structure (see ``docs/evaluation.md``).
    summary : dict
        Figures of the whole set.
    picks : list of str
        What to look at first.
    natives : dict
        Mean and 5, 50, 95 % values of natives of like length, by figure; empty without a reference.
    distances : dict of Distance
        Distances of distributions to natives; empty without a reference.
    matrix : ndarray, shape (N, N), or None
        TM-scores, row i normalised by the length of i.
    failed : list of (str, str)
        Files that could not be read and structures whose design could not be written, and why.
    out : Path or None
        Folder of the report; None where nothing was written.
    """

    samples: list[dict[str, Any]]
    summary: dict[str, Any]
    picks: list[str]
    natives: dict[str, dict[str, float]]
    distances: dict[str, Distance]
    matrix: NDArray[np.float32] | None
    failed: list[tuple[str, str]]
    out: Path | None

    def __str__(self) -> str:
        s = self.summary
        lines = [f"{s['passed']} of {s['samples']} structures pass the geometry gate"]
        if s["clusters"] is not None:
            pairs = "" if s["mean_pair_tm"] is None else f", mean pairwise TM {s['mean_pair_tm']:.2f}"
            lines.append(f"{s['clusters']} cluster{'s' * (s['clusters'] != 1)} at TM 0.5{pairs}")
        if s["novel"] is not None:
            lines.append(f"{s['novel']} without a native of TM 0.5 or more; mean nearest {s['mean_native_tm']:.2f}")
        if s["designable"] is not None:
            lines.append(f"{s['designable']} designable")
        if parts := [row for row in self.samples if row.get("left_out")]:
            lines.append(f"{len(parts)} with parts left out; the first: {parts[0]['name']} ({parts[0]['left_out']})")
        if self.failed:
            lines.append(f"{len(self.failed)} could not be read or written; the first: {self.failed[0][1]}")
        if self.out is None:
            return "\n".join(lines)
        page = self.out / "report.html"
        return "\n".join([*lines, f"report: {page if page.exists() else self.out}"])
