"""One row of figures per structure, and what natives of like length score in the same figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.metrics.features import Features, features, stack
from protgm.metrics.gate import Gate
from protgm.metrics.geometry import geometry
from protgm.metrics.secondary import secondary
from protgm.metrics.torsions import Torsions, torsions
from protgm.progress import Stage, quiet
from protgm.structure.assemble import left_out
from protgm.text import printable

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["Judged", "judge", "picks", "reference_figures", "summarise"]


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
    """

    rows: list[dict[str, Any]]
    states: list[str]
    angles: list[Torsions]
    features: Features


def judge(backbones: Sequence[Backbone], gate: Gate, *, name: str = "geometry", stage: Stage = quiet) -> Judged:
    """Geometry, gate and secondary structure of every backbone."""
    rows, states, every, vectors = [], [], [], []
    advance = stage(name, len(backbones))
    for backbone in backbones:
        angles, structure = torsions(backbone), secondary(backbone)
        figures = geometry(backbone, secondary=structure.states, angles=angles)
        ca_only = math.isnan(figures.bond_mad) and len(backbone) > 0
        reasons = gate.check(figures)
        if ca_only:
            # What the file never had is not held against the structure.
            reasons = tuple(reason for reason in reasons if not reason.startswith("missing:"))
        confidence = None if backbone.confidence is None else float(np.nanmean(backbone.confidence))
        rows.append(
            {
                "name": backbone.name,
                "file": None if (file := backbone.metadata.get("file")) is None else printable(file, limit=4096),
                "passed": not reasons,
                "reasons": list(reasons),
                "ca_only": ca_only,
                "confidence": confidence,
                **figures.to_dict(),
                "helices": structure.helices,
                "strands": structure.strands,
                "helix_length": structure.helix_length,
                "strand_length": structure.strand_length,
                "parallel": structure.parallel,
                "antiparallel": structure.antiparallel,
            }
        )
        if what := left_out(backbone.metadata):
            rows[-1]["left_out"] = what
        states.append(structure.states)
        every.append(angles)
        vectors.append(features(backbone, angles=angles, states=structure, rg_ratio=figures.rg_ratio))
        advance(1)
    return Judged(rows, states, every, stack(vectors))


def _numbers(rows: Sequence[dict[str, Any]], key: str) -> NDArray[np.float64]:
    values = [row.get(key) for row in rows]
    return np.array([v for v in values if isinstance(v, (int, float)) and math.isfinite(v)], dtype=np.float64)


def reference_figures(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, and the values that 5 %, half and 95 % of the rows stay below, of every figure that is a number."""
    found = {}
    # Some figures are known of some rows only.
    for key in dict.fromkeys(key for row in rows for key in row):
        if key in ("name", "reasons", "file", "left_out"):
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
    mean = {key: float(v.mean()) if len(v := _numbers(rows, key)) else None for key in _MEANS}
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


_MEANS = (
    "length",
    "helix",
    "strand",
    "rama_favoured",
    "rg_ratio",
    "confidence",
    "mpnn_nll",
    "sc_rmsd",
    "sc_tm",
    "plddt",
)


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
