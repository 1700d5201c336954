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

import pyarrow as pa

from protgm.data.clusters import cluster_sequences, split_of
from protgm.data.extract import Extracted, Extractor, Rejection, Task, merge
from protgm.data.filters import Filters
from protgm.data.manifest import Manifest, find_manifest, read_manifest
from protgm.data.mmseqs import cluster_by_alignment, mmseqs_program
from protgm.data.parts import PART, Parts
from protgm.data.prepare import Summary
from protgm.data.progress import FileProgress
from protgm.data.schema import FORMAT, INDEX_FILE, REJECTED_FILE, SCHEMA, VERSION
from protgm.data.tree import structure_files
from protgm.data.workers import chunked_map, cores
from protgm.files import atomic, read_json, sha256, unwritable, write_json
from protgm.lock import locked
from protgm.made import check_outputs
from protgm.structure.errors import printable

__all__ = ["build"]

_DRAFT = "structures.arrow.new"
#: Why a file is not read that is a copy of another one, with a sequence say.
_OWN = "made by protgm", "of structures that count themselves; name its folder as source= to read it"


def build(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    filters: Filters,
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
    if clustering == "auto":
        clustering = "kmers" if mmseqs_program() is None else "mmseqs"
    result = {
        "filters": asdict(filters),
        "val_share": val_share,
        "test_share": test_share,
        "clustering": clustering,
    }
    # Where the files lie does not matter, what they are does: names, sizes, times, and the manifest's contents.
    contents = [VERSION, result, listed, None if table is None else sha256(table)]
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
                _extract(tasks, parts, Extractor(str(source), filters), workers or cores(), progress)
                origin = {"source": str(source), "manifest": None if table is None else str(table)}
                info = {"key": key, "settings": origin | result, "files": len(listed)}
                own = [Rejection(printable(file, 4096), "", *_OWN) for file in left_out]
                info = _write(out, parts, known, info, workers or cores(), own)
                parts.remove()
            except OSError as error:  # disk full, permission lost
                raise unwritable(out, error) from error
    return Summary(
        files=info["files"],
        entries=info["entries"],
        clusters=info["clusters"],
        splits=info["splits"],
        rejected=info["rejected"],
        seconds=time.monotonic() - started,
        read=read,
        unchanged=unchanged,
    )


def _clean(out: Path) -> None:
    """Remove what a killed run left half-written."""
    for name in (f".{_DRAFT}", f".{REJECTED_FILE}", f".{INDEX_FILE}"):
        for left in out.glob(f"{name}.*.tmp"):
            left.unlink(missing_ok=True)
    (out / _DRAFT).unlink(missing_ok=True)


def _finished(out: Path, key: str) -> dict | None:
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
            rejected += len(result.rejected)
            if done - parts.files >= PART or done == len(tasks):
                parts.add(merge(waiting), done - parts.files)
                waiting = []
            bar.advance(files, f"{entries} entries, {rejected} rejected")


def _write(out: Path, parts: Parts, known: Manifest, info: dict, workers: int, rejections: list[Rejection]) -> dict:
    """Cluster the entries and put the dataset in place, its description last; some files are rejected already."""
    sequences: list[str] = []
    labels: list[str | None] = []
    for part in parts:
        files, chains = part.batch.column("source").to_pylist(), part.batch.column("chain").to_pylist()
        sequences += part.batch.column("sequence").to_pylist()
        labels += [known.row(file, chain).cluster for file, chain in zip(files, chains, strict=True)]
        rejections += part.rejected
    counts = Counter(rejection.reason for rejection in rejections)
    _write_rejected(out / REJECTED_FILE, rejections)
    if not sequences:
        reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
        raise ValueError(f"{out}: nothing of {info['files']} files passed ({reasons}); see {out / REJECTED_FILE}")
    settings = info["settings"]
    if settings["clustering"] == "mmseqs":
        clusters = cluster_by_alignment(sequences, labels, threads=workers)
    else:
        clusters = cluster_sequences(sequences, labels)
    shares = settings["val_share"], settings["test_share"]
    splits = [known.splits.get(cluster) or split_of(cluster, *shares) for cluster in clusters]
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
        "entries": len(sequences),
        "clusters": len(set(clusters)),
        "splits": dict(sorted(Counter(splits).items())),
        "rejected": dict(counts.most_common()),
        **info,
    }
    write_json(out / INDEX_FILE, described)
    for other in out.glob("structures-*.arrow"):
        if other != structures:
            other.unlink(missing_ok=True)
    return described


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
