"""What the plots of an evaluation show: one description, from which the page and the PNG figures are both drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.metrics import registered
from protgm.metrics.features import DIHEDRAL_BINS
from protgm.structure.size import globular_radius

if TYPE_CHECKING:
    from protgm.evaluate.judge import Judged
    from protgm.evaluate.result import Evaluation

__all__ = ["describe_plots"]

_DOTS = 30_000  # phi/psi points drawn at most
_BARS = 24
_TICKS = (-180, -90, 0, 90, 180)


def describe_plots(found: Evaluation, judged: Judged, natives: Judged | None) -> dict[str, Any]:
    """All plots: titles, labels, ranges, and what is drawn beside the samples' own points.

    Parameters
    ----------
    found : Evaluation
    judged : Judged
        The samples.
    natives : Judged, optional
        Natives of like length.

    Returns
    -------
    dict
        ``ramachandran``, ``secondary``, ``rg``, ``tm`` (None without similarity) and ``histograms`` (a list).
    """
    rows, theirs = found.samples, [] if natives is None else natives.rows
    return {
        "ramachandran": _ramachandran(judged, natives),
        "secondary": {
            "title": "Secondary structure",
            "note": f"Corners: all helix, all strand, all coil.{_beside(theirs)} Open points fail the gate.",
            "labels": ["helix", "strand", "coil"],
            "natives": [[row["helix"], row["strand"]] for row in theirs],
        },
        "rg": _size(rows, theirs),
        "tm": None if found.matrix is None else _matrix(found),
        "histograms": [
            _histogram(one.name, one.title, one.words, rows, theirs)
            for one in registered()
            if one.title and len(_numbers(rows, one.name)) > 1
        ],
    }


def _beside(natives: Sequence[dict[str, Any]]) -> str:
    return " Grey squares: natives." if natives else ""


def _numbers(rows: Sequence[dict[str, Any]], key: str) -> NDArray[np.float64]:
    values = [row.get(key) for row in rows]
    return np.array([v for v in values if isinstance(v, (int, float)) and math.isfinite(v)], dtype=np.float64)


def _ramachandran(judged: Judged, natives: Judged | None) -> dict[str, Any]:
    if natives is not None:
        counts, bins, whose = natives.features.dihedrals.sum(axis=0), DIHEDRAL_BINS, "natives of like length"
    else:
        from protgm.metrics.ramachandran import regions

        density = np.exp(regions().log_density[0].astype(np.float64))
        counts, bins, whose = density.ravel(), len(density), "natives' density"
    pairs = np.concatenate([np.stack((a.phi, a.psi), axis=-1) for a in judged.angles])
    pairs = pairs[np.isfinite(pairs).all(axis=-1)]
    if len(pairs) > _DOTS:
        pairs = pairs[np.random.default_rng(0).choice(len(pairs), _DOTS, replace=False)]
    return {
        "title": "Ramachandran plot",
        "note": f"Grey shades: {whose}. Points: residues of the samples.",
        "labels": ["phi (degrees)", "psi (degrees)"],
        "ticks": list(_TICKS),
        "bins": bins,
        "counts": np.round(counts, 3).tolist(),
        "angles": np.round(pairs).astype(int).ravel().tolist(),
    }


def _size(rows: Sequence[dict[str, Any]], natives: Sequence[dict[str, Any]]) -> dict[str, Any]:
    known = [(r["length"], r["rg"]) for r in (*rows, *natives) if r["rg"] is not None]
    every = np.array(known or [(1.0, globular_radius(1))])
    low, high = max(0.0, every[:, 0].min() - 8), every[:, 0].max() + 8
    # A single native that is pulled out does not press all others together.
    mine = max((float(r["rg"]) for r in rows if r["rg"] is not None), default=0.0)
    top = 1.08 * max(mine, float(np.quantile(every[:, 1], 0.99)), globular_radius(high))
    bottom = max(0.0, 0.8 * min(float(every[:, 1].min()), globular_radius(max(low, 1))))
    return {
        "title": "Radius of gyration",
        "note": f"Line: 2.2 L^0.38, natives' law.{_beside(natives)} Open points fail the gate.",
        "labels": ["residues", "radius of gyration (A)"],
        "x": [low, high],
        "y": [bottom, top],
        "law": [[length, globular_radius(max(length, 1))] for length in np.linspace(low, high, 60).tolist()],
        "natives": [[r["length"], r["rg"]] for r in natives if r["rg"] is not None and r["rg"] <= top],
    }


def _matrix(found: Evaluation) -> dict[str, Any]:
    """The order that puts clusters together, their middles first."""
    values = np.nan_to_num(np.asarray(found.matrix))
    inside = values.mean(axis=1)
    order = sorted(range(len(values)), key=lambda i: (found.samples[i]["cluster"], -inside[i]))
    return {
        "title": "TM-scores of all pairs",
        "note": "Ordered by cluster. Dark: 0, bright: 1. Point at a cell for names, click to show the row's structure.",
        "order": order,
    }


def _histogram(
    key: str, title: str, words: str, rows: Sequence[dict[str, Any]], natives: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Shares of samples and of natives in bars of equal width; what is far out counts to the last bar."""
    mine, theirs = _numbers(rows, key), _numbers(natives, key)
    every = np.sort(np.concatenate((mine, theirs)))
    low, high = float(every[0]), float(every[int(0.995 * (len(every) - 1))])
    # Nearly all samples are seen, whatever natives do.
    high = max(high, float(np.sort(mine)[::-1][len(mine) // 50]))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BARS + 1)

    def shares(values: NDArray[np.float64]) -> list[float]:
        counts, _ = np.histogram(values.clip(low, high), edges)
        part: list[float] = (counts / len(values)).tolist()
        return part

    return {
        "key": key,
        "title": title,
        "note": words[:1].upper() + words[1:] + "." + (" Filled: samples; line: natives." if len(theirs) else ""),
        "labels": [key, "share"],
        "edges": edges.tolist(),
        "samples": shares(mine),
        "natives": shares(theirs) if len(theirs) else None,
    }
