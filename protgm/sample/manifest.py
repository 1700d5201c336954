"""What was generated: one JSON line per protein, appended when its file is complete.

Each shard of a job array appends to a manifest of its own, ``manifest.2of4.jsonl``; readers take all of a folder, and
when the work is done they become one ``manifest.jsonl``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from protgm.files import append_lines, atomic, read_lines, remove_temporary
from protgm.lock import Locked, locked
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
    return [row for path in _manifests(folder) for row in read_lines(path)]


def append(folder: Path, rows: Sequence[Mapping[str, Any]], shard: Shard | None = None) -> None:
    """Add rows; on return they are on disk. A torn last line is cut off first."""
    append_lines(folder / _name(shard), rows)


def merge(folder: Path) -> None:
    """Make one manifest, sorted by name, of those that no process is writing to."""
    with ExitStack() as held:
        held.enter_context(locked(folder, "protgm sample", name=".merge.lock", wait=True))
        idle = []
        for path in _manifests(folder):
            try:
                held.enter_context(locked(folder, "protgm sample", name=_lock(path.name)))
            except Locked:
                continue
            idle.append(path)
        shards = [path for path in idle if path.name != MANIFEST]
        main = folder / MANIFEST
        if not shards or (main.exists() and main not in idle):
            return
        remove_temporary(folder, keep=lambda name: not name.startswith(f"{MANIFEST}."))
        rows = {row["name"]: row for path in idle for row in read_lines(path)}
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
    Locked
        If another process holds it.
    """
    what = "protgm sample" if shard is None else f"protgm sample shard={shard}"
    with locked(folder, what, name=_lock(_name(shard))):
        yield


def _name(shard: Shard | None) -> str:
    return MANIFEST if shard is None else f"manifest.{shard.number}of{shard.of}.jsonl"


def _lock(manifest: str) -> str:
    return f".{manifest}.lock"


def _manifests(folder: Path) -> list[Path]:
    return sorted(folder.glob("manifest*.jsonl"))
