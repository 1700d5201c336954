"""Manifests and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest

from protgm.data.manifest import ManifestRow, find_manifest, read_manifest


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_rows_by_file_and_chain(tmp_path):
    manifest = read_manifest(
        written(
            tmp_path,
            "file,pdb_id,chain,cluster30,split,resolution,more\n"
            "a/1abc.pdb,1ABC,A,7,train,1.5,x\n"
            "a/1abc.pdb,1ABC,B,8,val,1.5,x\n"
            "b.cif,,,8,val,,\n"
            "c.cif,,,,train,,\n",
        )
    )
    assert len(manifest) == 4
    assert manifest.row("a/1abc.pdb", "A") == ManifestRow("7", "train", "1ABC", 1.5)
    assert manifest.row("a/1abc.pdb", "B").split == "val"
    assert manifest.row("a/1abc.pdb", "C") == ManifestRow()
    assert manifest.row("b.cif", "Z").cluster == "8"  # no chain: the whole file
    assert manifest.row("c.cif", "A") == ManifestRow(split="train")
    assert manifest.row("d.cif", "A") == ManifestRow()
    assert manifest.splits == {"7": "train", "8": "val"}
    assert manifest.resolutions() == {"a/1abc.pdb": 1.5}


def test_only_file_is_needed_and_a_mark_of_byte_order_does_no_harm(tmp_path):
    assert len(read_manifest(written(tmp_path, "file\na.pdb\n", "utf-8-sig"))) == 1


def test_cluster_goes_before_cluster30(tmp_path):
    manifest = read_manifest(written(tmp_path, "file,cluster30,cluster\na.pdb,30,40\n"))
    assert manifest.row("a.pdb", "").cluster == "40"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,split\na,train\n", "needs a column 'file', it has path, split"),
        ("", "needs a column 'file', it has none"),
        ("file,Split\na,train\n", "column 'Split' would be ignored; call it split"),
        ("file,clusters\na,1\n", "column 'clusters' would be ignored; call it cluster"),
        ("file, chain\na,A\n", "column ' chain' would be ignored; call it chain"),
        ("file,PDB ID\na,1abc\n", "column 'PDB ID' would be ignored; call it pdb_id"),
        ("file,split\n,train\n", "line 2: names no file"),
        ("file,split\na,train,extra\n", "line 2: has more values than there are columns"),
        ("file,cluster,split\na,1,dev\n", "line 2: split must be one of train, val, test, got 'dev'"),
        ("file,resolution\na,good\n", "line 2: resolution must be a number of Angstrom, got 'good'"),
        ("file,resolution\na,nan\n", "line 2: resolution must be a number of Angstrom, got 'nan'"),
        ("file,resolution\na,-1\n", "line 2: resolution must be a number"),
        ("file,chain\na,A\nb,A\na,A\n", "line 4: a A is there a second time"),
        ("file,cluster,split\na,1,train\nb,1,val\n", "line 3: cluster 1 is in split val here, in train above"),
    ],
)
def test_what_is_wrong_is_said_with_the_line(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"table\.csv") as caught:
        read_manifest(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_table(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv: cannot be read: No such file"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"file\n\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"bytes\.csv: not a CSV file in UTF-8"):
        read_manifest(tmp_path / "bytes.csv")


def test_find_manifest(tmp_path, examples):
    assert find_manifest(tmp_path) is None
    assert find_manifest(examples) == examples / "manifest.csv"


def test_the_manifest_of_the_examples_names_every_file(examples):
    files = {path.name for path in examples.glob("*.gz")}
    manifest = read_manifest(examples / "manifest.csv")
    assert {file for file, _ in manifest.rows} == files
    assert len(manifest.splits) == len(files)
