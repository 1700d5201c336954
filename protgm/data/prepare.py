"""A folder of structure files to a dataset: read in parallel, filter, cluster, write.

Nothing here holds more than one part of the structures in memory; names and sequences are all that is kept of each.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

import pyarrow as pa

from protgm.data.clusters import cluster_sequences, split_of
from protgm.data.entry import Filters
from protgm.data.extract import Extracted, Extractor, Rejection, Task, merge
from protgm.data.lock import locked
from protgm.data.manifest import Manifest, find_manifest, read_manifest
from protgm.data.parts import PART, Parts
from protgm.data.progress import PrepareProgress
from protgm.data.schema import FORMAT, INDEX_FILE, REJECTED_FILE, SCHEMA, VERSION
from protgm.data.tree import structure_files
from protgm.data.workers import chunked_map, cores
from protgm.files import atomic, read_json, sha256, write_json

__all__ = ["Summary", "prepare"]


@dataclass(frozen=True)
class Summary:
    """What a prepare did.

    Parameters
    ----------
    files, entries, clusters : int
    splits : dict of str to int
        Entries in each.
    rejected : dict of str to int
        Files and chains left out, by reason, the most frequent first.
    seconds : float
        Wall-clock time of this call.
    read : int
        Files that this call read; fewer than ``files`` where an interrupted run had read some before.
    """

    files: int
    entries: int
    clusters: int
    splits: dict[str, int]
    rejected: dict[str, int]
    seconds: float
    read: int

    def __str__(self) -> str:
        splits = ", ".join(f"{count} {name}" for name, count in self.splits.items())
        lines = [f"{self.entries} entries in {self.clusters} clusters ({splits}) from {self.files} files"]
        lines += [f"  {count:>7} rejected: {reason}" for reason, count in self.rejected.items()]
        if self.read:
            lines.append(f"{self.read} files read in {self.seconds:.1f} s: {self.read / self.seconds:.0f} files/s")
        else:
            lines.append("was prepared before from the same files with the same settings: left as it is")
        return "\n".join(lines)


def prepare(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    filters: Filters | None = None,
    manifest: str | PathLike[str] | None = None,
    workers: int | None = None,
    val_share: float = 0.05,
    test_share: float = 0.0,
    progress: bool = True,
) -> Summary:
    """Make a dataset of the structure files below a folder.

    The result depends on the files and the settings alone, not on the number of workers or on interruptions. When it is
    stopped, however hard, the next call with the same arguments goes on where it was; a dataset that is already
    in ``out`` stays whole until the new one replaces it.

    Parameters
    ----------
    source : path
        Folder; .pdb, .ent, .cif, .mmcif and .bcif files below it are read, each possibly gzipped (.gz).
    out : path
        Folder for the dataset, to be read with `protgm.data.Dataset`. ``rejected.csv`` in it names every file and chain
        that was left out, with the reason.
    filters : Filters, optional
    manifest : path, optional
        CSV with clusters and splits (see `protgm.data.manifest.read_manifest`); ``manifest.csv`` in ``source`` by
        default, where there is one. What it does not name is clustered by sequence.
    workers : int, optional
        Processes; by default one per core.
    val_share, test_share : float
        Shares of the clusters without a split in the manifest that go to validation and test.
    progress : bool
        Show a progress bar, or lines where there is no terminal, on stderr.

    Returns
    -------
    Summary

    Raises
    ------
    ValueError
        If an argument is out of range, there is nothing to read, the manifest is wrong, no chain passes the filters, or
        another process writes to ``out``.
    """
    started = time.monotonic()
    filters = filters or Filters()
    if val_share < 0 or test_share < 0 or not val_share + test_share < 1:
        raise ValueError(
            f"val_share and test_share must be 0 or more and below 1 together, got {val_share} and {test_share}"
        )
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    source, out = Path(source), Path(out)
    listed = structure_files(source)
    table = find_manifest(source) if manifest is None else Path(manifest)
    known = Manifest() if table is None else read_manifest(table)
    settings = {
        "source": str(source),
        "manifest": None if table is None else str(table),
        "filters": asdict(filters),
        "val_share": val_share,
        "test_share": test_share,
    }
    digest = hashlib.sha256(json.dumps([VERSION, settings, listed], ensure_ascii=True).encode())
    if table is not None:
        digest.update(sha256(table).encode())
    key = digest.hexdigest()
    with locked(out, "protgm prepare"):
        info = _finished(out, key)
        read = 0
        if info is None:
            resolutions = known.resolutions()
            tasks = [Task(file, resolutions.get(file)) for file, _, _ in listed]
            parts = Parts(out, key)
            read = len(tasks) - min(parts.count * PART, len(tasks))
            _extract(tasks, parts, Extractor(str(source), filters), workers or cores(), progress)
            info = {"key": key, "settings": settings, "files": len(listed)}
            info = _write(out, parts, known, info, val_share, test_share)
            parts.remove()
    summary = Summary(
        files=info["files"],
        entries=info["entries"],
        clusters=info["clusters"],
        splits=info["splits"],
        rejected=info["rejected"],
        seconds=time.monotonic() - started,
        read=read,
    )
    if progress:
        print(summary)
    return summary


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
    done = min(parts.count * PART, len(tasks))
    entries = rejected = 0
    waiting: list[Extracted] = []
    with PrepareProgress(len(tasks), done, enabled=progress) as bar:
        for files, result in chunked_map(extractor, tasks[done:], extractor.died, workers=workers):
            waiting.append(result)
            done += files
            entries += result.batch.num_rows
            rejected += len(result.rejected)
            if done % PART == 0 or done == len(tasks):
                parts.add(merge(waiting))
                waiting = []
            bar.advance(files, entries, rejected)


def _write(out: Path, parts: Parts, known: Manifest, info: dict, val_share: float, test_share: float) -> dict:
    """Cluster the entries and put the dataset in place, its description last."""
    sequences: list[str] = []
    labels: list[str | None] = []
    rejections: list[Rejection] = []
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
    clusters = cluster_sequences(sequences, labels)
    splits = [known.splits.get(cluster) or split_of(cluster, val_share, test_share) for cluster in clusters]
    draft = out / ".structures.arrow"
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
