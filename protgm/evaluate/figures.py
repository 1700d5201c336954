"""PNG figures of an evaluation (extra ``report``: matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protgm.files import atomic
from protgm.metrics import registered
from protgm.metrics.features import DIHEDRAL_BINS
from protgm.structure.size import globular_radius

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from protgm.evaluate.judge import Judged
    from protgm.evaluate.result import Evaluation

__all__ = ["require_matplotlib", "write_figures"]

_BLUE, _GREY = "#0072b2", "#8a949e"


def require_matplotlib() -> None:
    """Raise ValueError with what to do if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ValueError("PNG figures need matplotlib: pip install 'protgm[report]', or figures=false") from None


def write_figures(found: Evaluation, judged: Judged, natives: Judged | None, folder: Path) -> list[str]:
    """Write ramachandran.png, secondary.png, rg.png, tm.png (with similarity) and histograms.png; returns their names.

    Raises
    ------
    ValueError
        If matplotlib is not installed.
    """
    require_matplotlib()
    # The object-oriented interface: no display, no global state.
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)

    def figure(width: float = 5, height: float = 4.5) -> tuple[Figure, Axes]:
        fresh = Figure(figsize=(width, height), layout="constrained")
        return fresh, fresh.add_subplot()

    drawn: dict[str, Figure] = {}
    drawn["ramachandran"], axes = figure()
    _ramachandran(axes, judged, natives)
    drawn["secondary"], axes = figure()
    _scatter(axes, found, natives, "helix", "strand", "share of helix", "share of strand")
    axes.plot([0, 1], [1, 0], color=_GREY, lw=0.8)
    drawn["rg"], axes = figure()
    _scatter(axes, found, natives, "length", "rg", "residues", "radius of gyration (A)")
    lengths = np.linspace(*axes.get_xlim(), 100).clip(1)
    axes.plot(lengths, [globular_radius(float(length)) for length in lengths], "k--", lw=1, label="2.2 L^0.38")
    axes.legend(frameon=False)
    if found.matrix is not None:
        drawn["tm"], axes = figure()
        order = sorted(range(len(found.samples)), key=lambda i: found.samples[i]["cluster"])
        image = axes.imshow(found.matrix[np.ix_(order, order)], vmin=0, vmax=1, cmap="viridis")
        drawn["tm"].colorbar(image, label="TM-score")
        axes.set_xlabel("sample, by cluster")
    drawn["histograms"] = _histograms(Figure(figsize=(10, 7), layout="constrained"), found, natives)
    for name, picture in drawn.items():
        with atomic(folder / f"{name}.png") as path:
            picture.savefig(path, dpi=150, format="png")
    return [f"{name}.png" for name in drawn]


def _values(rows: list[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([np.nan if row.get(key) is None else float(row[key]) for row in rows])


def _scatter(axes: Axes, found: Evaluation, natives: Judged | None, x: str, y: str, *labels: str) -> None:
    if natives is not None:
        axes.plot(_values(natives.rows, x), _values(natives.rows, y), "s", ms=2.5, color="#c3cad0", label="natives")
    passed = np.array([row["passed"] for row in found.samples])
    for mask, face, label in ((passed, _BLUE, "samples"), (~passed, "none", "samples failing the gate")):
        if mask.any():
            chosen = [row for row, kept in zip(found.samples, mask, strict=True) if kept]
            axes.plot(_values(chosen, x), _values(chosen, y), "o", ms=4, mfc=face, mec=_BLUE, label=label)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.legend(frameon=False)


def _ramachandran(axes: Axes, judged: Judged, natives: Judged | None) -> None:
    if natives is not None:
        grid = natives.features.dihedrals.sum(axis=0).reshape(DIHEDRAL_BINS, DIHEDRAL_BINS)
        extent = (-180, 180, -180, 180)
        axes.imshow(
            np.log1p(grid.T), origin="lower", extent=extent, cmap="Greys", aspect="auto", interpolation="bilinear"
        )
    phi, psi = (np.concatenate([getattr(a, name) for a in judged.angles]) for name in ("phi", "psi"))
    axes.plot(phi, psi, ".", ms=2, color=_BLUE, alpha=float(np.clip(2000 / max(len(phi), 1), 0.15, 0.6)), mew=0)
    marks = (-180, -90, 0, 90, 180)
    axes.set(xlim=(-180, 180), ylim=(-180, 180), xticks=marks, yticks=marks)
    axes.set(xlabel="phi (degrees)", ylabel="psi (degrees)")


def _histograms(figure: Figure, found: Evaluation, natives: Judged | None) -> Figure:
    titles = {one.name: one.title for one in registered() if one.title}
    known = [key for key in titles if np.isfinite(_values(found.samples, key)).any()]
    for axes, key in zip(
        np.atleast_1d(figure.subplots(-(-len(known) // 3), 3, squeeze=False)).ravel(), known, strict=False
    ):
        mine = _values(found.samples, key)
        theirs = _values(natives.rows, key) if natives is not None else np.zeros(0)
        every = np.concatenate((mine, theirs))
        edges = np.histogram_bin_edges(every[np.isfinite(every)], 24)
        for values, style in (
            (mine, {"color": _BLUE, "alpha": 0.65, "label": "samples"}),
            (theirs, {"histtype": "step", "color": "#333333", "label": "natives"}),
        ):
            values = values[np.isfinite(values)]
            if len(values):
                axes.hist(values, edges, weights=np.full(len(values), 1 / len(values)), **style)
        axes.set_title(titles[key], fontsize=10)
        axes.set(xlabel=key, ylabel="share")
        axes.legend(frameon=False, fontsize=8)
    for axes in figure.axes[len(known) :]:
        axes.remove()
    return figure
