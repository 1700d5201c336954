"""The work of ``protgm prepare``: list, read in parallel, filter, cluster, write.

Nothing here holds more than one part of the structures in memory; names and sequences are all that is kept of each.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa

from protgm.data.extract import LEFT_OUT, Extracted, Extractor, Rejection, Task, merge
from protgm.data.filters import Filters
from protgm.data.grouping import Entries, cluster_entries, split_entries
from protgm.data.manifest import Manifest, find_manifest, read_manifest
from protgm.data.mmseqs import mmseqs_program
from protgm.data.parts import PART, Parts
from protgm.data.prepare import Summary
from protgm.data.schema import FORMAT, INDEX_FILE, REJECTED_FILE, SCHEMA, VERSION
from protgm.data.tree import SourceFile, structure_files
from protgm.files import atomic, read_json, sha256, unwritable, write_json
from protgm.lock import locked
from protgm.made import check_outputs
from protgm.progress import FileProgress
from protgm.structure.read import RULES
from protgm.text import printable
from protgm.workers import chunked_map, cores

__all__ = ["build"]

_DRAFT = "structures.arrow.new"
#: Of what is measured, and how clusters and splits are found: a dataset made by others is made anew.
_RULES = 3
#: Why a row of the manifest is left out.
_MISSING = "not found", "the manifest names it, the source does not have it"
#: Why a file is not read that is a copy of another one, with a sequence say.
_OWN = "made by protgm", "of structures that count themselves; name its folder as source= to read it"


def build(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    filters: Filters,
    complexes: bool,
    manifest: str | PathLike[str] | None,
    workers: int | None,
    val_share: float,
    test_share: float,
    clustering: str,
    progress: bool,
) -> Summary:
    """See `protgm.data.prepare.prepare`, which has checked the arguments."""
    started = time.monotonic()
    source, out = Path(source), Path(out)
    left_out: list[str] = []
    listed = structure_files(source, left_out)
    table = find_manifest(source) if manifest is None else Path(manifest)
    if table is not None:
        check_outputs([table], [out / REJECTED_FILE, out / INDEX_FILE])
    known = Manifest() if table is None else read_manifest(table)
    automatic = clustering == "auto"
    if automatic:
        clustering = "kmers" if mmseqs_program() is None else "mmseqs"
    result = {
        "filters": asdict(filters),
        "val_share": val_share,
        "test_share": test_share,
        "clustering": clustering,
        **({"complexes": True} if complexes else {}),
    }
    # Where the files lie does not matter, what they are does: names, sizes, times, and the manifest's contents.
    contents = [VERSION, _RULES, RULES, result, listed, None if table is None else sha256(table)]
    key = hashlib.sha256(json.dumps(contents, ensure_ascii=True).encode()).hexdigest()
    with locked(out, "protgm prepare"):
        read = 0
        info = _finished(out, key)
        unchanged = info is not None
        if info is None:
            try:
                _clean(out)
                resolutions = known.resolutions()
                tasks = [Task(file, resolutions.get(file.file)) for file in listed]
                parts = Parts(out, key)
                read = len(tasks) - parts.files
                _extract(tasks, parts, Extractor(str(source), filters, complexes), workers or cores(), progress)
                origin = {"source": str(source), "manifest": None if table is None else str(table)}
                info = {"key": key, "settings": origin | result, "files": len(listed)}
                own = [Rejection(printable(file, 4096), "", *_OWN) for file in left_out]
                info = _write(out, parts, known, info, workers or cores(), own, listed, automatic)
                parts.remove()
            except OSError as error:  # disk full, permission lost
                raise unwritable(out, error) from error
    return Summary(
        files=info["files"],
        entries=info["entries"],
        clusters=info["clusters"],
        splits=info["splits"],
        rejected=info["rejected"],
        left_out=info.get("left_out", 0),
        seconds=time.monotonic() - started,
        read=read,
        unchanged=unchanged,
        notes=tuple(info.get("notes", ())),
    )


def _clean(out: Path) -> None:
    """Remove what a killed run left half-written."""
    for name in (f".{_DRAFT}", f".{REJECTED_FILE}", f".{INDEX_FILE}"):
        for left in out.glob(f"{name}.*.tmp"):
            left.unlink(missing_ok=True)
    (out / _DRAFT).unlink(missing_ok=True)


def _finished(out: Path, key: str) -> dict[str, Any] | None:
    """The description of the dataset in ``out`` if it is the wanted one, whole."""
    try:
        info = read_json(out / INDEX_FILE)
        whole = (out / str(info["structures"])).stat().st_size == info["bytes"]
    except (OSError, ValueError, KeyError):
        return None
    return info if whole and info.get("key") == key else None


def _extract(tasks: Sequence[Task], parts: Parts, extractor: Extractor, workers: int, progress: bool) -> None:
    """Read what is not yet in ``parts``."""
    done = parts.files
    entries = rejected = 0
    waiting: list[Extracted] = []
    with FileProgress("prepare", len(tasks), done, enabled=progress) as bar:
        for files, result in chunked_map(extractor, tasks[done:], extractor.died, workers=workers):
            waiting.append(result)
            done += files
            entries += result.batch.num_rows
            rejected += sum(rejection.reason != LEFT_OUT for rejection in result.rejected)
            if done - parts.files >= PART or done == len(tasks):
                parts.add(merge(waiting), done - parts.files)
                waiting = []
            bar.advance(files, f"{entries} entries, {rejected} rejected")


def _write(
    out: Path,
    parts: Parts,
    known: Manifest,
    info: dict[str, Any],
    workers: int,
    rejections: list[Rejection],
    listed: Sequence[SourceFile],
    or_kmers: bool,
) -> dict[str, Any]:
    """Cluster the entries and put the dataset in place, its description last; some files are rejected already."""
    entries = Entries()
    for part in parts:
        entries.add(part.batch)
        rejections += part.rejected
    missing = known.unmatched(_seen(entries, rejections, listed))
    if known.rows and len(missing) == len(known.rows):
        raise ValueError(
            f"{info['settings']['manifest']}: none of its rows names a file or chain of {info['settings']['source']} "
            f"(the first: {printable(' '.join(missing[0])).strip()}); files are named by their paths below it"
        )
    rejections += [Rejection(printable(file, 4096), printable(chain), *_MISSING) for file, chain in missing]
    counts = Counter(rejection.reason for rejection in rejections)
    left_out = counts.pop(LEFT_OUT, 0)
    _write_rejected(out / REJECTED_FILE, rejections)
    if not entries.rows:
        reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
        raise ValueError(f"{out}: nothing of {info['files']} files passed ({reasons}); see {out / REJECTED_FILE}")
    settings = info["settings"]
    clusters, note = cluster_entries(entries, known, settings["clustering"], workers=workers, or_kmers=or_kmers)
    if note:
        settings["clustering"] = "kmers"
    splits, cut = split_entries(entries, clusters, known, settings["val_share"], settings["test_share"])
    draft = out / _DRAFT
    with atomic(draft) as temporary:
        _write_structures(temporary, parts, known, clusters, splits)
    digest = sha256(draft)
    # A name that no other contents have: whoever has the old dataset open goes on reading the old file.
    structures = draft.replace(out / f"structures-{digest[:12]}.arrow")
    described = {
        "format": FORMAT,
        "version": VERSION,
        "structures": structures.name,
        "bytes": structures.stat().st_size,
        "sha256": digest,
        "entries": len(entries.rows),
        "clusters": len(set(clusters)),
        "splits": dict(sorted(Counter(splits).items())),
        "rejected": dict(counts.most_common()),
        "notes": [text for text in (note, cut) if text],
        "left_out": left_out,
        **info,
    }
    write_json(out / INDEX_FILE, described)
    for other in out.glob("structures-*.arrow"):
        if other != structures:
            other.unlink(missing_ok=True)
    return described


def _seen(
    entries: Entries, rejections: Sequence[Rejection], listed: Sequence[SourceFile]
) -> dict[str, set[str] | None]:
    """Chains of each file, None where a file was rejected as a whole."""
    seen: dict[str, set[str] | None] = {file.file: set() for file in listed}
    for file, chain in [*entries.rows, *((r.file, r.chain) for r in rejections)]:
        chains = seen.get(file)
        if not chain:
            seen[file] = None
        elif chains is not None:
            chains.add(chain)
    return seen


def _write_structures(
    path: Path, parts: Parts, known: Manifest, clusters: Sequence[str], splits: Sequence[str]
) -> None:
    """The Arrow file: the parts, with cluster, split and what the manifest knows filled in."""
    start = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for part in parts:
            columns = {name: part.batch.column(name) for name in SCHEMA.names}
            stop = start + part.batch.num_rows
            rows = zip(columns["source"].to_pylist(), columns["chain"].to_pylist(), strict=True)
            stated = columns["pdb_id"].to_pylist()
            ids = [known.row(file, chain).pdb_id or own for (file, chain), own in zip(rows, stated, strict=True)]
            columns["pdb_id"] = pa.array(ids, pa.string())
            columns["cluster"] = pa.array(clusters[start:stop], pa.string())
            columns["split"] = pa.array(splits[start:stop], pa.string())
            writer.write_batch(pa.record_batch(list(columns.values()), schema=SCHEMA))
            start = stop


def _write_rejected(path: Path, rejections: Sequence[Rejection]) -> None:
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Rejection._fields)
        writer.writerows(rejections)
