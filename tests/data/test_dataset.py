"""Datasets on disk: what comes back, and what is said of damaged ones."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from protgm.data import Dataset, DatasetError
from protgm.data.schema import INDEX_FILE, SCHEMA, STATES
from protgm.structure import read_structure
from protgm.structure.residues import AMINO_ACIDS


def test_examples_come_back_as_they_were_read(examples, prepared):
    dataset = Dataset.open(prepared)
    for row, example in zip(dataset.table.to_pylist(), dataset, strict=True):
        backbone = read_structure(examples / row["source"], chain=row["chain"])
        assert len(example) == len(backbone) == row["length"]
        assert np.array_equal(example.coords[:, :3], backbone.coords[:, :3], equal_nan=True)
        known = backbone.sequence.replace("X", "")
        assert "".join(AMINO_ACIDS[i] for i in example.sequence if i < len(AMINO_ACIDS)) == known
        assert "".join(STATES[i] for i in example.secondary) == row["secondary"]
        assert row["residue_numbers"] == backbone.residue_numbers.tolist()
        assert (np.diff(example.residue_index) >= 1).all()
        assert np.array_equal(example.complete, backbone.complete)
        assert example.name == row["name"]
        assert example.cluster == row["cluster"]


def test_lengths_clusters_and_splits(prepared):
    whole = Dataset.open(prepared)
    parts = {split: Dataset.open(prepared, split) for split in ("train", "val")}
    assert len(whole) == sum(len(part) for part in parts.values())
    for split, part in parts.items():
        assert part.lengths.tolist() == [len(example) for example in part]
        assert part.clusters == [example.cluster for example in part]
        assert set(part.table["split"].to_pylist()) == {split}
        assert f"split='{split}': {len(part)} examples" in repr(part)
    assert not set(parts["train"].clusters) & set(parts["val"].clusters)


def test_indices(prepared):
    dataset = Dataset.open(prepared)
    assert dataset[-1].name == dataset[len(dataset) - 1].name
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match=f"entry {index} of a dataset of {len(dataset)}"):
            dataset[index]


def test_many_record_batches_are_one_dataset(make_dataset):
    lengths = [20 + i % 13 for i in range(50)]
    dataset = make_dataset(lengths, [str(i) for i in range(50)], per_batch=7)
    assert [len(example) for example in dataset] == lengths
    assert [example.name for example in dataset] == [f"chain{i}" for i in range(50)]
    rows = dataset.table.to_pylist()
    for row, example in zip(rows, dataset, strict=True):
        assert np.array_equal(example.coords.reshape(-1), np.float32(row["coords"]))
        assert "".join(AMINO_ACIDS[i] for i in example.sequence) == row["sequence"]


def test_arrays_are_views_of_the_file_not_copies(prepared):
    first, again = Dataset.open(prepared)[0], Dataset.open(prepared)[0]
    assert not first.coords.flags.writeable
    assert np.array_equal(first.coords, again.coords, equal_nan=True)


def test_goes_to_another_process_by_its_path(prepared):
    dataset = Dataset.open(prepared, "val")
    sent = pickle.dumps(dataset)
    assert len(sent) < 1000
    assert [example.name for example in pickle.loads(sent)] == [example.name for example in dataset]


@pytest.fixture
def copy(prepared, tmp_path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "copy"))


def edited(folder: Path, **changes: object) -> Path:
    index = folder / INDEX_FILE
    index.write_text(json.dumps(json.loads(index.read_text()) | changes))
    return folder


def message(folder: Path, split: str | None = None) -> str:
    with pytest.raises(DatasetError) as caught:
        Dataset.open(folder, split)
    text = str(caught.value)
    assert text.startswith(str(folder))
    assert "\n" not in text
    return text


def test_no_dataset_there(tmp_path):
    assert "not a dataset (no dataset.json); make one with `protgm prepare`" in message(tmp_path)
    assert "not a dataset" in message(tmp_path / "none")


def test_a_damaged_description(copy):
    (copy / INDEX_FILE).write_text("{")
    assert "dataset.json: cannot be read" in message(copy)
    (copy / INDEX_FILE).write_text("[1]")
    assert "does not describe a protgm-dataset" in message(copy)


def test_another_kind_or_version(copy):
    assert "dataset version 99, this protgm reads 1: prepare it again" in message(edited(copy, version=99))
    assert "does not describe a protgm-dataset" in message(edited(copy, format="other"))


def test_missing_shortened_and_overwritten_structures(copy):
    structures = next(copy.glob("structures-*.arrow"))
    data = structures.read_bytes()
    structures.write_bytes(data[:-100])
    assert f"{len(data) - 100} bytes where dataset.json says {len(data)}: prepare it again" in message(copy)
    structures.write_bytes(bytes(len(data)))
    assert "cannot be read" in message(copy)
    structures.unlink()
    assert "cannot be read" in message(copy)


def test_other_columns(copy):
    import pyarrow.feather

    structures = next(copy.glob("structures-*.arrow"))
    table = pyarrow.feather.read_table(structures, memory_map=False).drop_columns(["rg"])
    pyarrow.feather.write_feather(table, structures, compression="uncompressed")
    assert "its columns are not those of" in message(edited(copy, bytes=structures.stat().st_size))


def test_a_split_that_is_not_there(copy):
    assert "no entry in split 'test'; there are ['train', 'val']" in message(copy, "test")


def test_every_column_has_a_place_in_the_example_or_the_table(prepared):
    assert Dataset.open(prepared).table.schema.equals(SCHEMA)
