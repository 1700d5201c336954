"""metrics.csv, metrics.json and tm.npz."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protgm.files import atomic, write_json

if TYPE_CHECKING:
    from protgm.evaluate.result import Evaluation

__all__ = ["NOTED", "TABLES", "csv_text", "plain", "write_tables"]

#: What names all files of an evaluation, the last one written; and all tables.
NOTED = "metrics.json"
TABLES = ("metrics.csv", NOTED, "tm.npz")


def plain(value: Any) -> Any:
    """A value JSON can hold: NaN and infinities as None, floats to six digits, numpy numbers as Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def csv_text(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Header and rows of a table: lists joined by "; ", what is unknown empty."""
    header: list[str] = []
    for row in rows:
        header.extend(key for key in row if key not in header)

    def cell(value: Any) -> str:
        value = plain(value)
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        return "; ".join(map(str, value)) if isinstance(value, list) else str(value)

    return [header, *([cell(row.get(key)) for key in header] for row in rows)]


def write_tables(
    found: Evaluation, out: Path, settings: Mapping[str, Any], *, seconds: float, files: Sequence[str] = ()
) -> list[str]:
    """Write the tables into a folder.

    Returns
    -------
    list of str
        All files of the evaluation, as paths below its folder: ``files``, which were written before, and the tables.
    """
    from protgm.version import __version__

    with atomic(out / "metrics.csv") as path, path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(csv_text(found.samples))
    if found.matrix is not None:
        names = np.array([row["name"] for row in found.samples])
        with atomic(out / "tm.npz") as path, path.open("wb") as stream:
            np.savez_compressed(stream, names=names, tm=found.matrix)
    tables = TABLES if found.matrix is not None else TABLES[:2]
    written = sorted({*files, *tables})
    write_json(
        out / NOTED,
        {
            "protgm": __version__,
            "seconds": round(seconds, 1),
            "settings": plain(settings),
            "summary": plain(found.summary),
            "picks": found.picks,
            "distances": plain({name: distance.to_dict() for name, distance in found.distances.items()}),
            "natives": plain(found.natives),
            "failed": [{"file": file, "reason": reason} for file, reason in found.failed],
            "files": written,
            "samples": plain(found.samples),
        },
    )
    return written
