"""PNG figures of an evaluation (extra ``report``: matplotlib)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protgm.evaluate.plots import describe_plots
from protgm.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from protgm.evaluate.judge import Judged
    from protgm.evaluate.result import Evaluation

__all__ = ["FIGURES", "require_matplotlib", "write_figures"]

#: What may be drawn.
FIGURES = ("ramachandran", "secondary", "rg", "tm", "histograms")

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

    plots = describe_plots(found, judged, natives)
    drawn: dict[str, Figure] = {}
    drawn["ramachandran"], axes = figure()
    _ramachandran(axes, plots["ramachandran"])
    drawn["secondary"], axes = figure()
    _simplex(axes, found.samples, plots["secondary"])
    drawn["rg"], axes = figure()
    _size(axes, found.samples, plots["rg"])
    if found.matrix is not None:
        drawn["tm"], axes = figure()
        order = plots["tm"]["order"]
        image = axes.imshow(found.matrix[np.ix_(order, order)], vmin=0, vmax=1, cmap="viridis")
        drawn["tm"].colorbar(image, label="TM-score")
        axes.set_xlabel("sample, by cluster")
    drawn["histograms"] = _histograms(Figure(figsize=(10, 7), layout="constrained"), plots["histograms"])
    for name, picture in drawn.items():
        with atomic(folder / f"{name}.png") as path:
            picture.savefig(path, dpi=150, format="png")
    return [f"{name}.png" for name in drawn]


def _points(axes: Axes, rows: Sequence[dict[str, Any]], place: Callable[[dict[str, Any]], Sequence[float]]) -> None:
    """Samples as points, open where they fail the gate."""
    for passed, face, label in ((True, _BLUE, "samples"), (False, "none", "samples failing the gate")):
        points = np.array([place(row) for row in rows if row["passed"] == passed])
        if len(points):
            axes.plot(*points.T, "o", ms=4, mfc=face, mec=_BLUE, label=label)
    axes.legend(frameon=False)


def _squares(axes: Axes, points: Sequence[Sequence[float]]) -> None:
    if points:
        axes.plot(*np.array(points).T, "s", ms=2.5, color="#c3cad0", label="natives")


def _ramachandran(axes: Axes, plot: Mapping[str, Any]) -> None:
    grid = np.array(plot["counts"]).reshape(plot["bins"], plot["bins"])
    shade = np.log1p(500 * grid.T / grid.max())
    axes.imshow(shade, origin="lower", extent=(-180, 180, -180, 180), cmap="Greys", vmax=2 * shade.max(), aspect="auto")
    phi, psi = np.array(plot["angles"]).reshape(-1, 2).T
    axes.plot(phi, psi, ".", ms=2, color=_BLUE, alpha=float(np.clip(2000 / max(len(phi), 1), 0.15, 0.6)), mew=0)
    axes.set(xlim=(-180, 180), ylim=(-180, 180), xticks=plot["ticks"], yticks=plot["ticks"])
    axes.set(xlabel=plot["labels"][0], ylabel=plot["labels"][1])


def _simplex(axes: Axes, rows: Sequence[dict[str, Any]], plot: Mapping[str, Any]) -> None:
    def at(helix: float, strand: float) -> tuple[float, float]:
        coil = 1 - helix - strand
        return strand + coil / 2, coil

    corners = [at(1, 0), at(0, 1), at(0, 0)]
    axes.fill(*np.array(corners).T, fill=False, edgecolor=_GREY, lw=0.8)
    for (x, y), label, up in zip(corners, plot["labels"], (-14, -14, 6), strict=True):
        axes.annotate(label, (x, y), (0, up), textcoords="offset points", ha="center")
    _squares(axes, [at(*share) for share in plot["natives"]])
    _points(axes, rows, lambda row: at(row["helix"], row["strand"]))
    axes.set_axis_off()


def _size(axes: Axes, rows: Sequence[dict[str, Any]], plot: Mapping[str, Any]) -> None:
    _squares(axes, plot["natives"])
    axes.plot(*np.array(plot["law"]).T, "k--", lw=1, label="2.2 L^0.38")
    _points(axes, [row for row in rows if row["rg"] is not None], lambda row: (row["length"], row["rg"]))
    axes.set(xlim=plot["x"], ylim=plot["y"], xlabel=plot["labels"][0], ylabel=plot["labels"][1])


def _histograms(figure: Figure, plots: Sequence[Mapping[str, Any]]) -> Figure:
    if not plots:
        return figure
    grid = figure.subplots(-(-len(plots) // 3), 3, squeeze=False).ravel()
    for axes, plot in zip(grid, plots, strict=False):
        axes.stairs(plot["samples"], plot["edges"], fill=True, color=_BLUE, alpha=0.65, label="samples")
        if plot["natives"] is not None:
            axes.stairs(plot["natives"], plot["edges"], color="#333333", label="natives")
        axes.set_title(plot["title"], fontsize=10)
        axes.set(xlabel=plot["labels"][0], ylabel=plot["labels"][1])
        axes.legend(frameon=False, fontsize=8)
    for axes in grid[len(plots) :]:
        axes.remove()
    return figure
