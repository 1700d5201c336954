"""What was generated: one JSON line per protein, appended when its file is complete.

Each shard of a job array appends to a manifest of its own, ``manifest.2of4.jsonl``; who reads a folder reads them all, and
when the work is done they become one ``manifest.jsonl``.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from protgm.files import atomic
from protgm.sample.lengths import Shard

__all__ = ["MANIFEST", "append", "merge", "only_writer", "read_manifest"]

MANIFEST = "manifest.jsonl"


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Rows of all manifests of a folder; empty when there is none.

    A last line without an end, left by a process that was killed while writing it, is not counted: its protein is made
    again, the same.

    Raises
    ------
    ValueError
        If another line is not a JSON object.
    """
    return [row for path in _manifests(folder) for row in _rows(path)]


def append(folder: Path, rows: Sequence[Mapping[str, Any]], shard: Shard | None = None) -> None:
    """Add rows; on return they are on disk. A torn last line is cut off first."""
    path = folder / _name(shard)
    if path.exists():
        text = path.read_bytes()
        end = text.rfind(b"\n") + 1
        if end != len(text):
            os.truncate(path, end)
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def merge(folder: Path) -> None:
    """Make one manifest, sorted by name, of those that no process is writing to."""
    with ExitStack() as held:
        held.enter_context(_locked(folder / ".merge.lock", wait=True))
        idle = []
        for path in _manifests(folder):
            try:
                held.enter_context(_locked(_lock(path), wait=False))
            except BlockingIOError:
                continue
            idle.append(path)
        shards = [path for path in idle if path.name != MANIFEST]
        main = folder / MANIFEST
        if not shards or (main.exists() and main not in idle):
            return
        rows = {row["name"]: row for path in idle for row in _rows(path)}
        with atomic(main) as temporary:
            lines = (json.dumps(rows[name]) + "\n" for name in sorted(rows))
            temporary.write_text("".join(lines), encoding="utf-8")
        for path in shards:
            path.unlink()


@contextmanager
def only_writer(folder: Path, shard: Shard | None = None) -> Iterator[None]:
    """Hold the lock of a manifest.

    Raises
    ------
    ValueError
        If another process holds it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(_locked(_lock(folder / _name(shard)), wait=False))
        except BlockingIOError:
            what = "" if shard is None else f" shard={shard}"
            raise ValueError(
                f"{folder}: another protgm sample{what} is writing there; use another out= folder"
            ) from None
        yield


def _name(shard: Shard | None) -> str:
    return MANIFEST if shard is None else f"manifest.{shard.number}of{shard.of}.jsonl"


def _lock(manifest: Path) -> Path:
    return manifest.with_name(f".{manifest.name}.lock")


def _manifests(folder: Path) -> list[Path]:
    return sorted(folder.glob("manifest*.jsonl"))


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        *lines, _torn = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:  # merged away by another process since it was listed
        return []
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


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    with open(path, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
