"""What `protgm prepare` needs as its source grows: files per second and memory, at several numbers of files.

    python scripts/prepare_growth.py source=structures out=growth.csv files=5139,100000

The files of a folder are linked again and again under new names until there are as many as wanted. The letters of each
copy's sequence are changed at random (0 to 70 % of them), so that clustering has as many sequences to tell apart as
there are files. Seconds of processor time are those of all processes together: on a busy machine they, not the
wall clock, can be compared.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from _options import options

from protgm.data import build as build_module
from protgm.data import prepare
from protgm.data.extract import Extracted, Extractor
from protgm.data.tree import structure_files
from protgm.structure.residues import AMINO_ACIDS

LETTERS = np.frombuffer(AMINO_ACIDS.encode(), dtype=np.uint8)


class Mutating(Extractor):
    """Reads files as always, then changes letters of the sequences, the same in every run."""

    def __call__(self, tasks) -> Extracted:
        done = super().__call__(tasks)
        batch = done.batch
        names = batch.column("source").to_pylist()
        sequences = [mutated(*row) for row in zip(names, batch.column("sequence").to_pylist(), strict=True)]
        column = batch.schema.get_field_index("sequence")
        changed = batch.set_column(column, batch.schema.field(column), pa.array(sequences, pa.string()))
        return Extracted(changed, done.rejected)


def mutated(name: str, sequence: str) -> str:
    """The sequence with a share of its letters drawn anew, by the file's name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    letters = np.frombuffer(sequence.encode(), dtype=np.uint8).copy()
    change = rng.random(len(letters)) < rng.uniform(0, 0.7)
    letters[change] = rng.choice(LETTERS, int(change.sum()))
    return letters.tobytes().decode()


class Watch:
    """Memory of this process and of its children while something runs, sampled every half second, in MB."""

    def __init__(self) -> None:
        self.own, self.children, self._end = [], [], threading.Event()
        self._processor: dict[int, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def processor_seconds(self) -> float:
        """Of all processes seen, up to half a second each."""
        return sum(self._processor.values())

    def _run(self) -> None:
        while not self._end.wait(0.5):
            below = descendants(os.getpid())
            self.own.append(anonymous(os.getpid()))
            self.children.append(max(map(anonymous, below), default=0.0))
            for pid in (os.getpid(), *below):
                self._processor[pid] = max(self._processor.get(pid, 0.0), processor_seconds(pid))


def anonymous(pid: int) -> float:
    """Memory that is a process's own (mapped files are not), MB; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon")), 0.0)


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    try:
        direct = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return direct + [other for child in direct for other in descendants(child)]


def link(source: Path, folder: Path, count: int) -> None:
    """``count`` links in ``folder`` to the files of ``source``, in turn, a thousand in each subfolder."""
    paths = [source / found.file for found in structure_files(source)]
    for number in range(count):
        path = paths[number % len(paths)]
        below = folder / f"{number // 1000:04d}"
        if number % 1000 == 0:
            below.mkdir()
        (below / f"{number}_{path.name}").symlink_to(path)


def measure(source: Path, count: int, workers: int) -> dict[str, float]:
    """One prepare of ``count`` files."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "source"
        folder.mkdir()
        link(source, folder, count)
        marks: list[float] = []
        real = build_module.Parts.add

        def add(self, part) -> None:
            real(self, part)
            marks.append(time.monotonic())

        build_module.Parts.add = add
        start = time.monotonic()
        with Watch() as watch:
            summary = prepare(folder, Path(temporary) / "out", workers=workers, clustering="kmers", progress=False)
        build_module.Parts.add = real
        end = time.monotonic()
        half = len(marks) // 2
        return {
            "files": count,
            "entries": summary.entries,
            "clusters": summary.clusters,
            "seconds": end - start,
            "reading_seconds": marks[-1] - start,
            "first_half_seconds": marks[half - 1] - start if half else float("nan"),
            "processor_seconds": watch.processor_seconds,
            "parent_mb_first_half": max(watch.own[: len(watch.own) // 2], default=0.0),
            "parent_mb": max(watch.own, default=0.0),
            "worker_mb": max(watch.children, default=0.0),
        }


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure what the command line asks for."""
    defaults = {"source": "", "out": "", "files": "5139,100000", "workers": "2"}
    settings = options(sys.argv[1:], defaults, needed=["source", "out"], words=__doc__)
    build_module.Extractor = Mutating
    with open(settings["out"], "w", newline="") as file:
        writer = None
        for count in map(int, settings["files"].split(",")):
            row = measure(Path(settings["source"]), count, int(settings["workers"]))
            writer = writer or csv.DictWriter(file, list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow({key: f"{value:.6g}" for key, value in row.items()})
            file.flush()


if __name__ == "__main__":
    main()
