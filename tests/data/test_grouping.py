"""What a manifest says is followed or refused; sequences that say nothing do not make kin of what has them."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from protgm.data import Dataset, prepare
from protgm.data.grouping import says_nothing
from protgm.structure import read_structure


def made(source, out, **named):
    """A dataset's rows by name, and the summary."""
    summary = prepare(source, out, workers=1, clustering="kmers", progress=False, **named)
    return {row["name"]: row for row in Dataset.open(out).table.to_pylist()}, summary


def rejected(out):
    with open(out / "rejected.csv", newline="") as file:
        return [(row["file"], row["chain"], row["reason"]) for row in csv.DictReader(file)]


def test_a_split_without_a_cluster_is_followed(few, tmp_path):
    names = sorted(path.name for path in few.iterdir())
    table = tmp_path / "table.csv"
    wanted = dict(zip(names, ["test", "val", "train"] * len(names), strict=False))
    table.write_text("file,split\n" + "".join(f"{name},{split}\n" for name, split in wanted.items()))
    rows, summary = made(few, tmp_path / "out", manifest=table, val_share=0.9)
    assert {row["source"]: row["split"] for row in rows.values()} == wanted
    assert summary.notes == ()


def test_kin_follows_a_split_and_what_is_cut_is_said(few, tmp_path):
    data = (few / "2TRX_A.pdb.gz").read_bytes()
    for name in ("b", "c", "d"):
        (few / f"{name}.pdb.gz").write_bytes(data)
    table = tmp_path / "table.csv"
    table.write_text("file,split\n2TRX_A.pdb.gz,test\n")
    rows, summary = made(few, tmp_path / "one", manifest=table, val_share=0.0)
    assert {rows[name]["split"] for name in ("2TRX_A", "b", "c", "d")} == {"test"}
    assert summary.notes == ()
    table.write_text("file,split\n2TRX_A.pdb.gz,test\nb.pdb.gz,train\nc.pdb.gz,val\n")
    rows, summary = made(few, tmp_path / "two", manifest=table, val_share=0.0)
    assert [rows[name]["split"] for name in ("2TRX_A", "b", "c", "d")] == ["test", "train", "val", "train"]
    assert "1 cluster of similar sequences lies in more than one split, as the manifest has it" in str(summary)


def test_rows_that_name_nothing_are_in_the_table_of_what_is_left_out(few, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "file,chain,split\n2TRX_A.pdb.gz,A,val\n2TRX_A.pdb.gz,Q,val\n2trx_a.pdb.gz,,val\nsub/x.cif,,test\n"
    )
    _, summary = made(few, tmp_path / "out", manifest=table)
    lost = [("2TRX_A.pdb.gz", "Q", "not found"), ("2trx_a.pdb.gz", "", "not found"), ("sub/x.cif", "", "not found")]
    assert rejected(tmp_path / "out") == lost
    assert summary.rejected == {"not found": 3}


def test_a_manifest_of_other_files_is_refused(few, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("file,split\n/data/2TRX_A.pdb.gz,val\n/data/1CSP_A.pdb.gz,val\n")
    with pytest.raises(ValueError, match=r"table.csv: none of its rows names a file or chain of .*the first: /data"):
        made(few, tmp_path / "out", manifest=table)


def test_chains_of_a_file_that_was_rejected_are_not_missing(few, tmp_path):
    (few / "broken.pdb").write_text("ATOM  nothing\n")
    table = tmp_path / "table.csv"
    table.write_text("file,chain,cluster\nbroken.pdb,A,1\n2TRX_A.pdb.gz,A,2\n")
    made(few, tmp_path / "out", manifest=table)
    assert {reason for _, _, reason in rejected(tmp_path / "out")} == {"unreadable"}


@pytest.mark.parametrize("letters", ["A" * 500, "G" * 500, "X" * 500, "GGGGGGGGHEAT" * 50])
def test_sequences_of_a_generator_are_not_kin(few, tmp_path, letters):
    """Poly-alanine, glycines, unknown types, glycines with a motif: one cluster for each structure, copies together."""
    source = tmp_path / "generated"
    source.mkdir()
    for path in few.iterdir():
        backbone = read_structure(path)
        plain = replace(backbone, sequence=letters[: len(backbone)], metadata={})
        plain.to_pdb(source / f"{backbone.name}.pdb")
        plain.to_pdb(source / f"{backbone.name}_copy.pdb")
    rows, summary = made(source, tmp_path / "out")
    assert summary.entries == 2 * len(list(few.iterdir()))
    assert summary.clusters == len(list(few.iterdir()))
    assert all(row["cluster"] == rows[name + "_copy"]["cluster"] for name, row in rows.items() if "_copy" not in name)


def test_what_says_something():
    assert not says_nothing("MKTAYIAKQR")
    assert not says_nothing("GSGSGSGSAA")
    assert says_nothing("GGGGGGHEAT")
    assert says_nothing("")
