"""From a folder of structure files to a dataset."""

from __future__ import annotations

import bz2
import csv
import gzip
import inspect
import json
import lzma
import os
import sys
import tarfile
from pathlib import Path

import pytest

from protgm.data import Dataset, Filters, prepare
from protgm.data.schema import INDEX_FILE, REJECTED_FILE

ROOT = Path(__file__).parents[2]


def quiet(source: Path, out: Path, **settings):
    return prepare(source, out, workers=settings.pop("workers", 1), progress=False, **settings)


def rejected(out: Path) -> dict[tuple[str, str], tuple[str, str]]:
    with open(out / REJECTED_FILE, encoding="utf-8", newline="") as file:
        return {(row["file"], row["chain"]): (row["reason"], row["detail"]) for row in csv.DictReader(file)}


def contents(out: Path) -> dict[str, bytes]:
    """Everything that is left when a prepare is done, the lock's note apart."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}


def test_examples(prepared, examples):
    dataset = Dataset.open(prepared)
    rows = {row["name"]: row for row in dataset.table.to_pylist()}
    assert len(rows) == 15
    trx = rows["2TRX_A"]
    assert (trx["source"], trx["pdb_id"], trx["chain"], trx["length"]) == ("2TRX_A.pdb.gz", "2TRX", "A", 108)
    assert (trx["cluster"], trx["split"]) == ("1820", "train")
    assert trx["resolution"] == pytest.approx(1.68)
    # A file of several chains gives each a name of its own and, here, all of them one cluster.
    alba = [row for row in rows.values() if row["source"] == "3wbm.bcif.gz"]
    assert [row["name"] for row in alba] == ["3wbm_A", "3wbm_B", "3wbm_C", "3wbm_D"]
    assert {row["cluster"] for row in alba} == {"3wbm"}
    assert {row["pdb_id"] for row in alba} == {"3WBM"}
    assert rejected(prepared) == {}
    assert {row["split"] for row in rows.values()} == {"train", "val"}


def test_summary_and_description(few, tmp_path):
    (few / "broken.pdb").write_text("HEADER\n")
    summary = quiet(few, tmp_path / "out", filters=Filters(max_length=100))
    assert (summary.files, summary.entries, summary.clusters, summary.read) == (4, 2, 2, 4)
    assert summary.rejected == {"too long": 1, "unreadable": 1}
    info = json.loads((tmp_path / "out" / INDEX_FILE).read_text())
    assert info["entries"] == 2
    assert info["files"] == 4
    assert info["splits"] == summary.splits
    assert info["settings"]["filters"]["max_length"] == 100
    lines = str(summary).splitlines()
    assert lines[0].startswith("2 entries in 2 clusters (")
    assert lines[0].endswith("from 4 files")
    assert "rejected: too long" in lines[1]
    assert lines[-1].startswith("4 files read in ")


def test_every_file_is_in_the_dataset_or_in_the_table_with_a_reason(few, tmp_path):
    (few / "empty.pdb").write_text("")
    (few / "water.pdb").write_text("HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O\n")
    (few / "binary.bcif").write_bytes(bytes(range(256)))
    (few / "cut.pdb.gz").write_bytes(gzip.compress(b"ATOM" * 500)[:-20])
    (few / "bell\x1b[2J.cif").write_text("data_x\n")
    (few / "gone.ent").symlink_to(tmp_path / "nowhere")
    out = tmp_path / "out"
    quiet(few, out)
    reasons = rejected(out)
    assert {file for file, _ in reasons} == {
        "empty.pdb", "water.pdb", "binary.bcif", "cut.pdb.gz", "bell\\x1b[2J.cif", "gone.ent",
    }  # fmt: skip
    for reason, detail in reasons.values():
        assert reason == "unreadable"
        assert detail
        assert "\x1b" not in detail
        assert str(few) not in detail
    assert reasons["empty.pdb", ""][1] == "is empty"
    assert reasons["gone.ent", ""][1] == "No such file or directory"


def test_what_is_left_out_of_a_file_is_counted_and_named(few, tmp_path):
    lines = gzip.decompress((few / "1CSP_A.pdb.gz").read_bytes()).splitlines(keepends=True)
    lacking = b"".join(line for line in lines if line[12:27] != b" CA  LEU A   2 ")
    assert len(lacking) < sum(map(len, lines))
    for name, pack in (("lacking.pdb.bz2", bz2.compress), ("lacking.pdb.xz", lzma.compress)):
        (few / name).write_bytes(pack(lacking))
    summary = quiet(few, tmp_path / "out")
    assert (summary.files, summary.entries, summary.left_out, summary.rejected) == (5, 5, 2, {})
    assert rejected(tmp_path / "out") == {
        (name, ""): ("left out", "1 x residue without CA") for name in ("lacking.pdb.bz2", "lacking.pdb.xz")
    }
    assert "2 files with parts left out: see rejected.csv" in str(summary)
    assert quiet(few, tmp_path / "out").left_out == 2


def test_a_name_that_is_no_text(few, tmp_path):
    os.link(few / "1POH_A.pdb.gz", os.fsencode(few) + b"/\xff.pdb.gz")
    out = tmp_path / "out"
    summary = quiet(few, out)
    assert summary.entries == 4
    assert "\\udcff.pdb.gz" in Dataset.open(out).table["source"].to_pylist()


def test_a_bug_in_reading_one_file_costs_that_file(few, tmp_path, monkeypatch):
    from protgm.data import extract

    real = extract.read_structure

    def sometimes(path):
        if "1POH" in path:
            raise RuntimeError("oh\nno")
        return real(path)

    monkeypatch.setattr(extract, "read_structure", sometimes)
    quiet(few, tmp_path / "out")
    assert rejected(tmp_path / "out") == {("1POH_A.pdb.gz", ""): ("unexpected error", "RuntimeError: oh\\nno")}


def test_a_tar_file_gives_what_the_folder_gives(examples, tmp_path):
    path = tmp_path / "all.tar"
    with tarfile.open(path, "w:") as tar:
        tar.add(examples, arcname=".")
        tar.addfile(tarfile.TarInfo("../../escape.pdb"))
    table = examples / "manifest.csv"
    quiet(path, tmp_path / "tar", manifest=table)
    quiet(examples, tmp_path / "folder")
    assert next((tmp_path / "tar").glob("*.arrow")).name == next((tmp_path / "folder").glob("*.arrow")).name
    assert rejected(tmp_path / "tar") == {("../../escape.pdb", ""): ("unreadable", "is empty")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.tar", "folder", "tar"]


def test_a_member_beyond_the_limit_is_not_copied(few, tmp_path, monkeypatch):
    path = tmp_path / "all.tar"
    with tarfile.open(path, "w:") as tar:
        tar.add(few, arcname="few")
    monkeypatch.setattr("protgm.data.extract.MAX_BYTES", 6000)
    quiet(path, tmp_path / "out")
    assert list(rejected(tmp_path / "out")) == [("few/2TRX_A.pdb.gz", "")]
    assert "more than the limit of 6,000" in rejected(tmp_path / "out")["few/2TRX_A.pdb.gz", ""][1]


@pytest.mark.slow
def test_workers_do_not_change_the_result(examples, tmp_path):
    quiet(examples, tmp_path / "one")
    quiet(examples, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


#: A program in the place of MMseqs2.
ALONE = """
import sys
lines = open(sys.argv[2]).read().split()
with open(sys.argv[3] + "_cluster.tsv", "w") as file:
    file.writelines(f"{line[1:]}\\t{line[1:]}\\n" for line in lines[::2])
"""


@pytest.mark.parametrize("installed", [True, False])
def test_manifest_clusters_and_splits_are_taken_over(few, tmp_path, monkeypatch, installed):
    """With MMseqs2 and without it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if installed:  # every sequence its own representative
        program = folder / "mmseqs"
        program.write_text(f"#!{sys.executable}\n{ALONE}")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    table = tmp_path / "table.csv"
    table.write_text(
        "file,chain,cluster,split,pdb_id,resolution\n1CSP_A.pdb.gz,A,c1,test,9XYZ,\n1POH_A.pdb.gz,B,c2,val,,\n"
    )
    quiet(few, tmp_path / "out", manifest=table, val_share=0.0)
    rows = {row["name"]: row for row in Dataset.open(tmp_path / "out").table.to_pylist()}
    assert (rows["1CSP_A"]["cluster"], rows["1CSP_A"]["split"], rows["1CSP_A"]["pdb_id"]) == ("c1", "test", "9XYZ")
    assert rows["1POH_A"]["cluster"].startswith("m" if installed else "k")  # the table speaks of another chain
    assert rows["1POH_A"]["split"] == "train"


def test_kin_of_a_known_cluster_go_to_its_split(few, tmp_path):
    (few / "again.pdb.gz").write_bytes((few / "2TRX_A.pdb.gz").read_bytes())
    table = tmp_path / "table.csv"
    table.write_text("file,cluster,split\n2TRX_A.pdb.gz,c1,test\n")
    quiet(few, tmp_path / "out", manifest=table)
    rows = {row["name"]: row for row in Dataset.open(tmp_path / "out").table.to_pylist()}
    assert (rows["again"]["cluster"], rows["again"]["split"]) == ("c1", "test")


@pytest.mark.parametrize("shares", [(0.5, 0.0), (0.3, 0.3)])
def test_no_split_cuts_a_cluster(examples, tmp_path, shares):
    source = tmp_path / "source"
    source.mkdir()
    for path in examples.glob("*.gz"):
        for copy in range(3):
            (source / f"{copy}{path.name}").symlink_to(path)
    out = tmp_path / "out"
    quiet(source, out, val_share=shares[0], test_share=shares[1])
    table = Dataset.open(out).table
    pairs = set(zip(table["cluster"].to_pylist(), table["split"].to_pylist(), strict=True))
    assert len(pairs) == len({cluster for cluster, _ in pairs})
    assert len({split for _, split in pairs}) > 1


def test_resolution_of_the_manifest_is_filtered_where_the_file_states_none(few, tmp_path):
    path = few / "bare.pdb"
    text = gzip.decompress((few / "2TRX_A.pdb.gz").read_bytes()).decode()
    path.write_text("".join(line + "\n" for line in text.splitlines() if line.startswith("ATOM")))
    (few / "manifest.csv").write_text("file,resolution\nbare.pdb,3.5\n")
    quiet(few, tmp_path / "out", filters=Filters(max_resolution=3.0))
    assert rejected(tmp_path / "out") == {("bare.pdb", "A"): ("resolution", "3.5 A, 3 A at most wanted")}


def test_nothing_passes(few, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"nothing of 3 files passed \(too short 3\); see .*rejected\.csv"):
        quiet(few, out, filters=Filters(min_length=200))
    assert len(rejected(out)) == 3
    with pytest.raises(ValueError, match="not a dataset"):
        Dataset.open(out)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_share": -0.1}, "val_share and test_share must be 0 or more and below 1 together"),
        ({"val_share": 0.6, "test_share": 0.4}, "got 0.6 and 0.4"),
        ({"val_share": float("nan")}, "val_share and test_share"),
        ({"clustering": "blast"}, "clustering must be one of auto, mmseqs, kmers, got 'blast'"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range(few, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        quiet(few, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_lines_instead_of_a_bar_where_there_is_no_terminal(few, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("protgm.progress._LINE_EVERY", 0.0)
    prepare(few, tmp_path / "out", workers=1)
    printed = capsys.readouterr()
    assert "3/3 files" in printed.err
    assert "3 entries, 0 rejected" in printed.err
    assert printed.out == ""


def test_configuration_has_the_defaults_of_the_code():
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((ROOT / "configs" / "prepare.yaml").read_text())
    assert Filters(**config["filters"]) == Filters()
    parameters = inspect.signature(prepare).parameters
    assert list(config) == [name for name in parameters if name != "filters"] + ["filters"]
    for name in set(config) - {"source", "out", "filters"}:
        assert config[name] == parameters[name].default
