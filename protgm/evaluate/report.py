"""report.html: one file with every table, plot and structure in it, which needs no network to be read."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.evaluate.plots import describe_plots
from protgm.evaluate.tables import csv_text, plain
from protgm.evaluate.trajectories import read_trajectories
from protgm.files import atomic
from protgm.metrics import registered
from protgm.metrics.distributions import DISTANCES
from protgm.metrics.similarity import SAME_FOLD

if TYPE_CHECKING:
    from protgm.evaluate.judge import Judged
    from protgm.evaluate.result import Evaluation
    from protgm.evaluate.sheet import Sheet
    from protgm.metrics import Given
    from protgm.structure.backbone import Backbone

__all__ = ["write_report"]

_MISSING = -(2**31)


def write_report(
    found: Evaluation,
    settings: Mapping[str, Any],
    sheet: Sheet,
    *,
    folder: Path | None,
    path: Path,
) -> None:
    """Write the report of an evaluated sheet; ``folder`` is where trajectories may be, if anywhere."""
    data = _payload(found, settings, sheet, folder)
    # Inside a script element nothing but "</script" and "<!--" could end the JSON early.
    text = json.dumps(plain(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    assets = files("protgm.evaluate").joinpath("assets")
    parts = {
        "TITLE": _escaped(f"protgm evaluate: {settings['directory']}"),
        "CSS": assets.joinpath("report.css").read_text(encoding="utf-8"),
        "3DMOL": assets.joinpath("3Dmol-min.js").read_text(encoding="utf-8"),
        "SCRIPT": "\n".join(
            assets.joinpath(name).read_text(encoding="utf-8") for name in ("report.js", "viewer.js", "plots.js")
        ),
        "DATA": text,
    }
    page = assets.joinpath("report.html").read_text(encoding="utf-8")
    pieces = page.split("%%")
    # Odd pieces are the marks; what they stand for is not looked at again.
    page = "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _payload(
    found: Evaluation,
    settings: Mapping[str, Any],
    sheet: Sheet,
    folder: Path | None,
) -> dict[str, Any]:
    rows, backbones, judged = found.samples, sheet.backbones, sheet.verdict
    natives = None if sheet.matched is None else sheet.matched.judged
    known = registered()
    columns = sorted((one for one in known if one.column is not None), key=lambda one: one.column or 0)
    shown = [one.name for one in columns]
    keys = csv_text(rows)[0]
    table = io.StringIO()
    csv.writer(table).writerows(csv_text(rows))
    hidden = ("sequence", "file", "left_out")
    return {
        "subtitle": _subtitle(found, settings),
        "tiles": _tiles(found, natives),
        "summary": found.summary,
        "picks": found.picks,
        "rows": [{key: row.get(key) for key in keys} for row in rows],
        "columns": [key for key in shown if any(row.get(key) is not None for row in rows)],
        "all_columns": [*(k for k in shown if k in keys), *(k for k in keys if k not in shown and k not in hidden)],
        "help": {one.name: one.words for one in known},
        "natives": found.natives,
        "plots": describe_plots(found, judged, natives),
        # TM-scores in steps of 1/250.
        "tm": None
        if found.matrix is None
        else _encoded(np.rint(np.nan_to_num(found.matrix).clip(0, 1) * 250).astype(np.uint8)),
        "distances": [
            {"label": DISTANCES[key][0], "help": DISTANCES[key][1], **distance.to_dict()}
            for key, distance in found.distances.items()
        ],
        "structures": [_packed(*each) for each in zip(backbones, judged.states, rows, sheet.known, strict=True)],
        "trajectories": {} if folder is None else read_trajectories(folder, backbones),
        "about": _about(found, settings),
        "csv": table.getvalue(),
    }


def _subtitle(found: Evaluation, settings: Mapping[str, Any]) -> str:
    lengths = [row["length"] for row in found.samples]
    span = f"{min(lengths)}" if min(lengths) == max(lengths) else f"{min(lengths)} to {max(lengths)}"
    text = f"{len(lengths)} structures of {span} residues"
    if settings["reference"] is None:
        return text + "; no reference given"
    return f"{text}, judged by {settings['natives']} natives ({settings['natives_compared']} of like length)"


def _tiles(found: Evaluation, natives: Judged | None) -> list[dict[str, Any]]:
    s, tiles = found.summary, []
    metrics = {one.name: one for one in registered()}

    def tile(label: str, value: str, *, key: str | None = None, note: str | None = None, percent: bool = False) -> None:
        native = found.natives.get(key or "")
        scale, unit, digits = (100, " %", 0) if percent else (1, "", 2)
        span = None
        if native is not None:
            mean, low, high = (f"{scale * native[k]:.{digits}f}{unit}" for k in ("mean", "p5", "p95"))
            span = mean if key == "passed" else f"{mean} ({low} to {high})"
        tiles.append(
            {
                "label": label,
                "value": value,
                "native": span,
                "note": note,
                "help": metrics[key].words if key in metrics else "",
            }
        )

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.0f} %"

    tile(
        "pass the geometry gate",
        percent(s["pass_rate"]),
        key="passed",
        percent=True,
        note=f"{s['passed']} of {s['samples']}",
    )
    if natives is not None:
        share = np.mean([row["passed"] for row in natives.rows])
        tiles[-1]["native"] = f"{100 * share:.0f} %"
    if s["clusters"] is not None:
        note, native = f"{s['clusters_passed']} with a structure that passes", None
        if s.get("clusters_drawn") is not None:
            of, theirs = (found.natives["clusters"][key] for key in ("of", "mean"))
            note, native = f"{note}; {s['clusters_drawn']:.1f} of {of:.0f} drawn", f"{theirs:.0f} of {of:.0f}"
        tile("clusters at TM 0.5", str(s["clusters"]), note=note)
        tiles[-1]["native"] = native
        tile(
            "mean TM of pairs",
            "-" if s["mean_pair_tm"] is None else f"{s['mean_pair_tm']:.2f}",
            key="pair_tm",
            note="lower is more diverse",
        )
    if s["novel"] is not None:
        known = [] if natives is None else [v for row in natives.rows if (v := row.get("native_tm")) is not None]
        tile("without a native of TM 0.5", str(s["novel"]), note=f"{s['novel_passed']} of them pass the gate")
        if known:
            tiles[-1]["native"] = f"{sum(v < SAME_FOLD for v in known)} of {len(known)}, own family left out"
        tile("mean TM to nearest native", f"{s['mean_native_tm']:.2f}", key="native_tm", note="lower is newer")
    if s["designable"] is not None:
        tile("designable", percent(s["designable"] / s["samples"]), note="refolds to less than 2 A")
    for key, one in metrics.items():
        if not one.tile or s[key] is None:
            continue
        shares = one.unit == "share"
        tile(one.tile, percent(s[key]) if shares else f"{s[key]:.2f}", key=key, percent=shares)
        if key == "mpnn_nll" and (own := found.natives.get("native_nll")) is not None:
            tiles[-1]["native"] = f"{tiles[-1]['native'] or '-'}, own sequences {own['mean']:.2f}"
    return tiles


def _encoded(array: NDArray[Any]) -> str:
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")


def _packed(backbone: Backbone, states: str, row: Mapping[str, Any], given: Given | None) -> dict[str, Any]:
    """A structure for the viewer: coordinates in thousandths of an Angstrom, first letters of what is given."""
    coords = backbone.coords.astype(np.float64)
    # Far from the origin is where PDB columns and 3D scenes end.
    middle = np.nanmean(coords[:, 1], axis=0) if np.isfinite(coords[:, 1]).any() else np.zeros(3)
    shift = middle if np.nanmax(np.abs(coords), initial=0.0) > 900 else 0.0
    whole = np.rint((coords - shift) * 1000)
    packed = np.where(np.isfinite(whole) & (np.abs(whole) < 2**31 - 1), whole, _MISSING).astype(np.int32)
    packed[(packed == _MISSING).any(axis=-1)] = _MISSING
    chains: list[list[Any]] = []
    for chain in backbone.chain_ids:
        if chains and chains[-1][0] == chain:
            chains[-1][1] += 1
        else:
            chains.append([chain, 1])
    confidence = None
    if backbone.confidence is not None:
        confidence = [0 if math.isnan(v) else round(100 * float(v)) for v in backbone.confidence]
    return {
        "coords": _encoded(packed),
        "sequence": backbone.sequence,
        "states": states,
        "chains": chains,
        "numbers": backbone.residue_numbers.tolist(),
        "icodes": "".join((code or " ")[0] for code in backbone.insertion_codes),
        "confidence": confidence,
        "parts": None if given is None else "".join(part[0] for part in given.parts),
        "ca_only": bool(row["ca_only"]),
    }


def _about(found: Evaluation, settings: Mapping[str, Any]) -> list[list[str]]:
    from protgm.version import __version__

    about = [["Structures", str(settings["directory"])], ["protgm", __version__]]
    if settings["reference"] is not None:
        about.append(
            ["Natives", f"{settings['reference']}; TM-align of {settings['candidates']} candidates per sample"]
        )
    limits = ", ".join(f"{key} {value:g}" for key, value in settings["gate"].items())
    about.append(["Gate", limits])
    if found.failed:
        about.append(
            ["Could not be read or written", "; ".join(f"{file} ({reason})" for file, reason in found.failed[:20])]
        )
    if parts := [f"{row['name']} ({row['left_out']})" for row in found.samples if row.get("left_out")]:
        about.append(["Parts left out", "; ".join(parts[:20])])
    about.append(["3D viewer", "3Dmol.js (Rego & Koes 2015), BSD-3-Clause licence"])
    return about
