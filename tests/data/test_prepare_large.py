"""Memory of a prepare does not grow with its structures: only names, sequences and clusters are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from protgm.data import Dataset, EpochSampler, prepare
from protgm.data import build as build_module
from protgm.data.extract import Extracted
from protgm.data.schema import SCHEMA
from protgm.data.tree import SourceFile

LETTERS = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", dtype="S1")
COUNT = 20_000


class Repeating:
    """Stands for the reading of files: entries of the examples again and again, with mutated sequences."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.table = pa.Table.from_batches([batch])
        self.rng = np.random.default_rng(0)

    def __call__(self, tasks) -> Extracted:
        files = [task.source.file for task in tasks]
        rows = [int(Path(file).stem) % len(self.table) for file in files]
        batch = self.table.take(pa.array(rows)).combine_chunks().to_batches()[0]
        columns = {name: batch.column(name) for name in SCHEMA.names}
        columns["name"] = columns["source"] = pa.array(files, pa.string())
        columns["sequence"] = pa.array([self.mutated(s) for s in columns["sequence"].to_pylist()], pa.string())
        return Extracted(pa.record_batch(list(columns.values()), schema=SCHEMA))

    def mutated(self, sequence: str) -> str:
        letters = np.frombuffer(sequence.encode(), dtype="S1").copy()
        change = self.rng.random(len(letters)) > self.rng.uniform(0.2, 0.9)
        letters[change] = self.rng.choice(LETTERS, change.sum())
        return letters.tobytes().decode()

    died = None


def anonymous_megabytes() -> float:
    """Memory of this process that is its own, without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_twenty_thousand_entries(prepared, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    stand_in = Repeating(Dataset.open(prepared).table.combine_chunks().to_batches()[0])
    monkeypatch.setattr(build_module, "Extractor", lambda *_: stand_in)
    files = [SourceFile(f"{i:06d}.pdb", 1000, 0) for i in range(COUNT)]
    monkeypatch.setattr(build_module, "structure_files", lambda *_: files)
    seen: list[float] = []
    real = build_module.Parts.add

    def add(self, part, files):
        real(self, part, files)
        seen.append(anonymous_megabytes())

    monkeypatch.setattr(build_module.Parts, "add", add)
    before = anonymous_megabytes()
    summary = prepare(source, tmp_path / "out", workers=1, clustering="kmers", progress=False)
    assert summary.entries == COUNT
    # Flat while reading: the second half needs no more than the first.
    half = len(seen) // 2
    assert max(seen[half:]) - max(seen[:half]) < 20
    structures = next((tmp_path / "out").glob("structures-*.arrow")).stat().st_size / 1e6
    assert structures > 80
    assert anonymous_megabytes() - before < 60
    dataset = Dataset.open(tmp_path / "out")
    sampler = EpochSampler(dataset, tokens=2048)
    assert sampler.clusters == summary.clusters
    assert len(sampler.batch(0, 0)) >= 1
