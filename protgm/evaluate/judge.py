"""One row of figures per structure, and what natives of like length score in the same figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.metrics import Gate, Given, Metric, Subject, measure, register, registered
from protgm.metrics.features import Features, features, stack
from protgm.metrics.torsions import Torsions
from protgm.progress import Stage, quiet
from protgm.structure.assemble import left_out
from protgm.text import printable

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["Judged", "judge", "picks", "reference_figures", "summarise"]

register(Metric("name", "file without its ending", column=1))
register(Metric("ca_only", "whether the file has CA atoms only"))

#: Of a row, what is no figure.
_TEXTS = ("name", "reasons", "file", "left_out")


@dataclass(frozen=True, eq=False)
class Judged:
    """Figures of N structures.

    Parameters
    ----------
    rows : list of dict
        One per structure: name, file, length, passed, reasons, figures by name (None where unknown).
    states : list of str
        Secondary structure of each.
    angles : list of Torsions
    features : Features
    own : list of Backbone
        The chains of each that hold generated residues: all, where nothing is known to be given.
    """

    rows: list[dict[str, Any]]
    states: list[str]
    angles: list[Torsions]
    features: Features
    own: list[Backbone]


def judge(
    backbones: Sequence[Backbone],
    gate: Gate,
    given: Sequence[Given | None] | None = None,
    *,
    name: str = "geometry",
    stage: Stage = quiet,
) -> Judged:
    """All metrics, and the gate, of every backbone; of what was generated, where it is known what was given."""
    subjects = [Subject(b, one) for b, one in zip(backbones, given or [None] * len(backbones), strict=True)]
    rows, vectors = [], []
    advance = stage(name, len(backbones))
    for subject in subjects:
        rows.append(_row(subject, gate))
        vectors.append(features(subject))
        advance(1)
    return Judged(
        rows,
        [subject.secondary.states for subject in subjects],
        [subject.angles for subject in subjects],
        stack(vectors),
        [subject.own_backbone for subject in subjects],
    )


def _row(subject: Subject, gate: Gate) -> dict[str, Any]:
    backbone, figures = subject.backbone, measure(subject)
    reasons = gate.check(figures)
    ca_only = math.isnan(figures.bond_mad) and len(backbone) > 0
    if ca_only:
        # What the file never had is not held against the structure.
        reasons = tuple(reason for reason in reasons if not reason.startswith("missing:"))
    file = backbone.metadata.get("file")
    row = {
        "name": backbone.name,
        "file": None if file is None else printable(file, limit=4096),
        "passed": not reasons,
        "reasons": list(reasons),
        "ca_only": ca_only,
        **figures.to_dict(),
    }
    if what := left_out(backbone.metadata):
        row["left_out"] = what
    return row


def _numbers(rows: Sequence[dict[str, Any]], key: str) -> NDArray[np.float64]:
    values = [row.get(key) for row in rows]
    return np.array([v for v in values if isinstance(v, (int, float)) and math.isfinite(v)], dtype=np.float64)


def reference_figures(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, and the values that 5 %, half and 95 % of the rows stay below, of every figure that is a number."""
    found = {}
    # Some figures are known of some rows only.
    for key in dict.fromkeys(key for row in rows for key in row):
        if key in _TEXTS:
            continue
        numbers = _numbers(rows, key)
        if len(numbers):
            low, middle, high = np.quantile(numbers, (0.05, 0.5, 0.95))
            found[key] = {"mean": float(numbers.mean()), "p5": float(low), "p50": float(middle), "p95": float(high)}
    return found


def summarise(rows: Sequence[dict[str, Any]], matrix: NDArray[np.floating] | None) -> dict[str, Any]:
    """The figures of the whole set, None where they were not measured."""
    count = len(rows)
    pairs = np.triu_indices(count, k=1)
    pair_tm = None
    if matrix is not None and count > 1:
        pair_tm = float(np.nanmean((matrix[pairs] + matrix.T[pairs]) / 2))
    nearest = _numbers(rows, "native_tm")
    means = ["length", *(one.name for one in registered() if one.tile)]
    mean = {key: float(v.mean()) if len(v := _numbers(rows, key)) else None for key in means}
    found = [row["cluster"] for row in rows if row.get("cluster") is not None]
    novel_sound = [r for r in rows if r["passed"] and r.get("native_tm") is not None and r["native_tm"] < 0.5]
    return {
        "samples": count,
        "passed": sum(row["passed"] for row in rows),
        "pass_rate": sum(row["passed"] for row in rows) / count,
        "mean_pair_tm": pair_tm,
        "clusters": len(set(found)) if found else None,
        "cluster_rate": len(set(found)) / count if found else None,
        "clusters_passed": len({row["cluster"] for row in rows if row["passed"]}) if found else None,
        "mean_native_tm": float(nearest.mean()) if len(nearest) else None,
        "novel": int((nearest < 0.5).sum()) if len(nearest) else None,
        "novel_passed": len(novel_sound) if len(nearest) else None,
        **mean,
        "designable": sum(bool(r["designable"]) for r in rows) if any("designable" in r for r in rows) else None,
    }


def picks(rows: list[dict[str, Any]]) -> list[str]:
    """Names of the structures to look at first: the best of each cluster among those that pass, best first.

    Best is, as far as measured: designable, the lowest self-consistency RMSD, the lowest negative log-likelihood of
    the designed sequence, the highest confidence, the largest share of favoured phi/psi.
    """

    def order(row: dict[str, Any]) -> tuple[float, ...]:
        def known(key: str, worst: float) -> float:
            value = row.get(key)
            return worst if value is None else float(value)

        return (
            -known("designable", 0.0),
            known("sc_rmsd", math.inf),
            known("mpnn_nll", math.inf),
            -known("confidence", 0.0),
            -known("rama_favoured", 0.0),
        )

    chosen, seen = [], set()
    for row in sorted((row for row in rows if row["passed"]), key=order):
        cluster = row.get("cluster")
        if cluster is None or cluster not in seen:
            seen.add(cluster)
            chosen.append(row["name"])
    return chosen
