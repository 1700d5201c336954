"""What was generated: one JSON line per protein, appended when its file is complete."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["MANIFEST", "append", "read_manifest"]

MANIFEST = "manifest.jsonl"


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Rows of ``folder/manifest.jsonl`` in order; empty when there is none.

    A last line without an end, left by a process that was killed while writing it, is not counted: its protein is made
    again, the same.

    Raises
    ------
    ValueError
        If another line is not a JSON object.
    """
    path = folder / MANIFEST
    if not path.exists():
        return []
    *lines, _torn = path.read_text(encoding="utf-8").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(f"{path}: line {number} is not a JSON object; delete that line to go on")
        rows.append(row)
    return rows


def append(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows; on return they are on disk. A torn last line is cut off first."""
    path = folder / MANIFEST
    if path.exists():
        text = path.read_bytes()
        end = text.rfind(b"\n") + 1
        if end != len(text):
            os.truncate(path, end)
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())
