"""What a worker makes of files that are wrong in every way: entries or reasons, never an exception."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protgm.data import Filters
from protgm.data.extract import Extractor, Task, merge
from protgm.data.schema import SCHEMA
from protgm.data.tree import structure_files
from protgm.structure import read_structure

EVERYTHING = Filters(
    min_length=0,
    max_length=100_000,
    max_breaks=None,
    max_missing=None,
    max_rg_ratio=None,
    max_coil=None,
    max_positive_phi=None,
)


def extracted(folder: Path, filters: Filters = EVERYTHING):
    return Extractor(str(folder), filters)([Task(item) for item in structure_files(folder)])


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One of: bytes flipped, cut off, a piece doubled, numbers blown up, lines dropped."""
    kind = rng.integers(5)
    if kind == 0:
        values = np.frombuffer(data, dtype=np.uint8).copy()
        where = rng.integers(len(values), size=rng.integers(1, 60))
        values[where] ^= (1 << rng.integers(8, size=len(where))).astype(np.uint8)
        return values.tobytes()
    if kind == 1:
        return data[: rng.integers(1, len(data))]
    if kind == 2:
        start, stop = sorted(rng.integers(len(data), size=2))
        return data[:stop] + data[start:]
    if kind == 3:
        return data.replace(b".%d" % rng.integers(10), b"e%d" % rng.integers(30))
    lines = data.split(b"\n")
    return b"\n".join(line for line in lines if rng.random() > 0.3)


@pytest.mark.parametrize("filters", [Filters(), EVERYTHING], ids=["defaults", "everything"])
def test_mutated_files_have_entries_or_reasons(examples, tmp_path, filters):
    rng = np.random.default_rng(0)
    for i in range(6):
        for path in examples.glob("*.gz"):
            inner = path.name.removesuffix(".gz")
            (tmp_path / f"{i}{inner}").write_bytes(mutated(gzip.decompress(path.read_bytes()), rng))
    result = extracted(tmp_path, filters)
    reasons = {rejection.reason for rejection in result.rejected}
    assert "unexpected error" not in reasons, [r for r in result.rejected if r.reason == "unexpected error"]
    named = set(result.batch.column("source").to_pylist()) | {rejection.file for rejection in result.rejected}
    assert named == {path.name for path in tmp_path.iterdir()}
    assert result.batch.num_rows > 10
    assert "unreadable" in reasons
    for rejection in result.rejected:
        assert rejection.detail.isprintable()
        assert str(tmp_path) not in rejection.detail


def test_values_that_no_column_holds_cost_one_chain(examples, tmp_path, monkeypatch):
    for name in ("1CSP_A", "1POH_A"):
        (tmp_path / f"{name}.pdb.gz").symlink_to(examples / f"{name}.pdb.gz")

    def huge(path):
        backbone = read_structure(path)
        shift = 10**12 if "1CSP" in path else 0
        return replace(backbone, residue_numbers=backbone.residue_numbers + shift)

    monkeypatch.setattr("protgm.data.extract.read_structure", huge)
    result = extracted(tmp_path)
    assert result.batch.column("name").to_pylist() == ["1POH_A"]
    [rejection] = result.rejected
    assert (rejection.file, rejection.chain, rejection.reason) == ("1CSP_A.pdb.gz", "A", "unreadable")
    assert rejection.detail.startswith("does not fit a dataset: ")


def test_a_file_that_kills_its_worker_is_named(examples):
    task = Task(structure_files(examples)[0])
    dead = Extractor(str(examples), Filters()).died(task)
    assert dead.batch.num_rows == 0
    assert dead.rejected[0][:3] == (task.source.file, "", "unreadable")
    assert "died" in dead.rejected[0].detail


def test_parts_are_merged_in_order(examples):
    tasks = [Task(item) for item in structure_files(examples)]
    extractor = Extractor(str(examples), Filters())
    whole = extractor(tasks)
    pieces = merge([extractor(tasks[:3]), extractor(tasks[3:4]), extractor(tasks[4:])])
    assert pieces.batch.equals(whole.batch)
    nothing = merge([])
    assert nothing.batch.num_rows == 0
    assert nothing.batch.schema.equals(SCHEMA)
