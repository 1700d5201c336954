"""Folders in, tables and verdicts out; what cannot be read or was asked wrongly is said in one line."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protgm.data.folder import read_folder
from protgm.data.natives import read_natives
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.evaluate.judge import picks, summarise
from protgm.evaluate.tables import csv_text, plain
from protgm.evaluate.trajectories import read_frames, read_trajectories
from protgm.structure import Backbone, read_structure
from protgm.structure.write import format_pdb

NATIVES = Path(__file__).parent / "natives"
CONFIGS = Path(__file__).parents[2] / "configs"


def native(name: str = "1EJG_A") -> Backbone:
    return read_structure(NATIVES / f"{name}.pdb.gz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A PDB file, the same as mmCIF, one in a subfolder, one hidden, one that is no structure and a text."""
    source = tmp_path / "samples"
    (source / "more").mkdir(parents=True)
    native("1EJG_A").to_pdb(source / "a.pdb")
    native("1EJG_A").to_cif(source / "a.cif")
    native("1CC8_A").to_pdb(source / "more" / "b.pdb")
    native("1CC8_A").to_pdb(source / ".hidden.pdb")
    (source / "broken.pdb").write_text("ATOM      1  CA  ALA A   1      xx.xxx  27.073  24.130\n")
    (source / "notes.txt").write_text("nothing")
    return source


def test_folder_is_read_and_failures_are_named(folder: Path) -> None:
    backbones, failed = read_folder(folder)
    assert [b.name for b in backbones] == ["a", "a.pdb"]
    assert [b.metadata["file"] for b in backbones] == ["a.cif", "a.pdb"]
    assert [file for file, _ in failed] == ["broken.pdb"]
    assert "broken.pdb" in failed[0][1]
    assert [b.name for b in read_folder(folder, recursive=True)[0]] == ["a", "a.pdb", "more/b"]


def test_names_that_are_no_text_and_what_was_left_out(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "a.pdb").read_text().splitlines(keepends=True)
    lacking = "".join(line for line in lines if "CA  PRO A   5" not in line)
    try:
        (folder / os.fsdecode(b"caf\xe9.pdb")).write_text(lacking)
        (folder / os.fsdecode(b"br\xe9k.pdb")).write_text("nothing")
    except (OSError, UnicodeError):
        pytest.skip("no such names on this disk")
    found = evaluate(
        folder,
        out=tmp_path / "report",
        workers=1,
        progress=False,
        config=EvaluateConfig(similarity=False, figures=False),
    )
    row = next(row for row in found.samples if row["name"].startswith("caf"))
    assert row["file"] == "caf\\udce9.pdb"
    assert row["left_out"] == "1 x residue without CA"
    assert "br\\udce9k.pdb" in [file for file, _ in found.failed]
    assert "1 with parts left out; the first: caf" in str(found)
    assert "1 x residue without CA" in (tmp_path / "report" / "metrics.csv").read_text(encoding="utf-8")
    assert "Parts left out" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_b_factors_are_confidences_of_samples_only(folder: Path) -> None:
    confidence = np.linspace(0.2, 0.9, 46).astype(np.float32)
    for path, write in ((folder / "a.pdb", Backbone.to_pdb), (folder / "a.cif", Backbone.to_cif)):
        write(replace(native(), confidence=confidence), path)
        # As files of the first versions are, and others': nothing in them says what the B factors are.
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if "b_factors" not in line))
    assert all(b.confidence is None and b.b_factors is not None for b in read_folder(folder)[0])
    (folder / "manifest.jsonl").write_text("")
    for b in read_folder(folder)[0]:
        assert b.confidence == pytest.approx(confidence, abs=1e-4)


def test_errors_of_folders(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        read_folder(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    (empty / "sub").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no structure file \(.pdb, .ent, .* .zst\)$"):
        read_folder(empty)
    shutil.copy(folder / "a.pdb", empty / "sub")
    with pytest.raises(ValueError, match="in subfolders: recursive=true"):
        read_folder(empty)
    shutil.copy(folder / "broken.pdb", empty)
    with pytest.raises(ValueError, match="none of its 1 structure files can be read; the first: "):
        read_folder(empty)
    with pytest.raises(ValueError, match="needs a dataset"):
        read_natives(folder, split="train")


def test_natives_are_spread_over_the_folder() -> None:
    assert sorted(b.name for b in read_natives(NATIVES)) == ["1CC8_A", "1EJG_A", "1NB0_A"]
    few = read_natives(NATIVES, limit=2)
    assert [b.name for b in few] == ["1CC8_A", "1NB0_A"]
    assert few.lengths.tolist() == [72, 147]


def test_natives_of_a_dataset(tmp_path: Path) -> None:
    from protgm.data import Filters, prepare

    source = tmp_path / "structures"
    shutil.copytree(NATIVES, source)
    prepare(source, tmp_path / "dataset", filters=Filters(), workers=1, progress=False)
    found = read_natives(tmp_path / "dataset")
    assert len(found) == 3
    by_length = {len(b): b for b in found}
    original = native("1CC8_A")
    assert by_length[72].sequence == original.sequence
    assert np.allclose(by_length[72].coords, original.coords)
    assert set(by_length[72].chain_ids) == {"A"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"natives": 5}, "natives=5 must be at least 10"),
        ({"candidates": 0}, "candidates=0 must be at least 1"),
        ({"num_seqs": -1}, "num_seqs=-1 must be at least 0"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
    ],
)
def test_numbers_are_checked(arguments: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluateConfig(**arguments)
    with pytest.raises(ValueError, match="workers=0 must be at least 1"):
        evaluate(NATIVES, out=tmp_path, workers=0)


def test_one_structure_without_a_reference(tmp_path: Path) -> None:
    source = tmp_path / "one"
    source.mkdir()
    native().to_pdb(source / "only.pdb")
    pytest.importorskip("matplotlib")
    found = evaluate(source, out=tmp_path / "out", workers=1, progress=False)
    assert found.summary["clusters"] == 1
    assert found.summary["mean_pair_tm"] is None
    assert found.summary["novel"] is None
    assert found.picks == ["only"]
    assert "1 of 1 structures pass" in str(found)
    pictures = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert pictures == ["histograms.png", "ramachandran.png", "rg.png", "secondary.png", "tm.png"]
    assert all((tmp_path / "out" / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert "<html" in (tmp_path / "out" / "report.html").read_text()


def test_figures_are_drawn_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "one"
    source.mkdir()
    native().to_pdb(source / "only.pdb")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"pip install 'protgm\[report\]', or figures=false"):
        evaluate(source, out=tmp_path / "out", config=EvaluateConfig(figures=True))
    monkeypatch.setattr("protgm.evaluate.run.find_spec", lambda name: None)
    evaluate(source, out=tmp_path / "out", workers=1, progress=False, config=EvaluateConfig(html=False))
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["metrics.csv", "metrics.json", "tm.npz"]


@pytest.mark.slow
def test_copies_of_natives_are_not_new_and_form_clusters(tmp_path: Path) -> None:
    source = tmp_path / "samples"
    source.mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        b = native("1CC8_A")
        replace(b, coords=b.coords + rng.normal(0, 0.02, b.coords.shape).astype(np.float32)).to_pdb(
            source / f"c{k}.pdb"
        )
    native("1EJG_A").to_pdb(source / "other.pdb")
    found = evaluate(
        source,
        NATIVES,
        out=tmp_path / "out",
        workers=1,
        progress=False,
        config=EvaluateConfig(natives=10, html=False, figures=False),
    )
    rows = {row["name"]: row for row in found.samples}
    assert [rows[f"c{k}"]["cluster"] for k in range(3)] == [0, 0, 0]
    assert rows["other"]["cluster"] == 1
    assert rows["c0"]["nearest_native"] == "1CC8_A"
    assert rows["other"]["nearest_native"] == "1EJG_A"
    assert rows["other"]["native_tm"] == pytest.approx(1, abs=1e-3)
    assert rows["c1"]["nearest_sample"] in ("c0", "c2")
    assert found.summary["novel"] == 0
    assert len(found.picks) == 2
    assert found.natives["length"]["p50"] == 72
    assert not (tmp_path / "out" / "report.html").exists()


def test_ca_only_files_get_what_ca_allows(tmp_path: Path) -> None:
    source = tmp_path / "bare"
    source.mkdir()
    b = native("1CC8_A")
    coords = np.full_like(b.coords, np.nan)
    coords[:, 1] = b.coords[:, 1]
    replace(b, coords=coords).to_pdb(source / "bare.pdb")
    (row,) = evaluate(
        source,
        NATIVES,
        out=tmp_path / "out",
        workers=1,
        progress=False,
        config=EvaluateConfig(natives=10, figures=False),
    ).samples
    assert row["passed"]
    assert row["ca_only"]
    assert row["native_tm"] == pytest.approx(1, abs=1e-3)
    assert row["helix"] > 0.2
    assert row["rama_favoured"] is None
    assert row["rg_ratio"] == pytest.approx(1, abs=0.2)


def test_picks_take_the_best_of_each_cluster() -> None:
    def row(name: str, cluster: int, passed: bool = True, **figures: object) -> dict:
        return {"name": name, "cluster": cluster, "passed": passed, **figures}

    rows = [
        row("a", 0, mpnn_nll=1.2, sc_rmsd=1.0, designable=True),
        row("b", 0, mpnn_nll=0.9, sc_rmsd=1.5, designable=True),
        row("c", 1, mpnn_nll=0.5, sc_rmsd=4.0, designable=False),
        row("d", 2, passed=False, mpnn_nll=0.1, sc_rmsd=0.1, designable=True),
        row("e", 3, mpnn_nll=1.0),
    ]
    assert picks(rows) == ["a", "c", "e"]
    assert picks([row("x", 0, confidence=0.5), row("y", 0, confidence=0.9)]) == ["y"]


def test_summary_counts() -> None:
    rows = [
        {"passed": True, "cluster": 0, "native_tm": 0.4, "length": 50},
        {"passed": False, "cluster": 0, "native_tm": 0.3, "length": 70},
        {"passed": True, "cluster": 1, "native_tm": 0.8, "length": 60},
    ]
    tm = np.array([[1, 0.7, 0.1], [0.5, 1, 0.2], [0.3, 0.2, 1]])
    found = summarise(rows, tm)
    assert found["pass_rate"] == pytest.approx(2 / 3)
    assert found["mean_pair_tm"] == pytest.approx((0.6 + 0.2 + 0.2) / 3)
    assert (found["clusters"], found["clusters_passed"]) == (2, 2)
    assert (found["novel"], found["novel_passed"]) == (2, 1)
    assert found["length"] == 60
    assert found["designable"] is None


def test_tables_hold_what_json_and_csv_can() -> None:
    assert plain({"a": np.float32(np.nan), "b": (np.int64(3), True), "c": np.bool_(False)}) == {
        "a": None, "b": [3, True], "c": False,
    }  # fmt: skip
    assert csv_text([{"x": 1.0, "r": ["a", "b"]}, {"x": None, "y": True}]) == [
        ["x", "r", "y"], ["1.0", "a; b", ""], ["", "", "true"],
    ]  # fmt: skip


def test_trajectories_are_read_thinned_and_checked(tmp_path: Path) -> None:
    b = native()
    models = []
    for k in range(70):
        text = format_pdb(replace(b, coords=b.coords + k, metadata={}))
        atoms = "\n".join(line for line in text.splitlines() if line.startswith(("ATOM", "TER")))
        models.append(f"MODEL     {k + 1:>4}\n{atoms}\nENDMDL\n")
    (tmp_path / "trajectories").mkdir()
    path = tmp_path / "trajectories" / "1EJG_A.pdb.gz"
    path.write_bytes(gzip.compress("".join([*models[:3], "END\n"]).encode()))
    assert read_frames(path)[:, 0, 0, 0] == pytest.approx(b.coords[0, 0, 0] + np.arange(3), abs=1e-3)
    found = read_trajectories(tmp_path, [b, native("1CC8_A")])
    assert list(found) == ["1EJG_A"]
    assert found["1EJG_A"]["frames"] == 3
    # A sample of another length has nothing to do with it.
    assert read_trajectories(tmp_path, [replace(native("1CC8_A"), name="1EJG_A")]) == {}
    assert read_trajectories(tmp_path / "trajectories", [b]) == {}
