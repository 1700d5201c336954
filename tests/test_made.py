"""No command writes over what it reads, nor reads again what protgm made of other files; folders are compared."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from protgm.cli import main
from protgm.data import Filters, prepare
from protgm.data.fetch import fetch
from protgm.data.folder import read_folder, structure_files
from protgm.design import Design, design
from protgm.design.samples import design_samples
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.files import append_lines
from protgm.made import check_apart, check_outputs, made_here, remove_others, write_list
from protgm.structure import Backbone, read_structure
from protgm.train import TrainConfig, train

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"
PACKED = sorted(EXAMPLES.glob("*.pdb.gz"))
NAMES = [path.stem for path in PACKED[:3]]


def unpack(number: int, target: Path) -> None:
    """An example as a plain PDB file."""
    target.write_bytes(gzip.decompress(PACKED[number].read_bytes()))


class Alanines:
    """A designer that needs no package; remembers what it was asked for."""

    settings: dict[str, object] = {"letter": "A"}  # noqa: RUF012

    def __init__(self, *_arguments, **_named) -> None:
        self.calls: list[str] = []

    def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0) -> list[Design]:
        self.calls.append(backbone.name)
        return [Design("A" * len(backbone), 1.0 + k) for k in range(num_seqs)]

    def score(self, backbone: Backbone, sequence: str) -> float:
        return 1.0


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three structures."""
    path = tmp_path / "structures"
    path.mkdir()
    for number, name in enumerate(NAMES):
        unpack(number, path / name)
    return path


@pytest.fixture(autouse=True)
def _alanines(monkeypatch) -> None:
    monkeypatch.setattr("protgm.design.run.ProteinMPNN", Alanines)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def spellings(folder: Path) -> list[str]:
    """The same folder in other words."""
    link = folder.parent / "link"
    link.symlink_to(folder)
    relative = os.path.relpath(folder)
    return [str(folder), f"{folder}/.", f"{folder}/../{folder.name}/", str(link), relative, f"{link}/../link"]


def test_no_spelling_of_the_folder_that_is_read_is_written_to(folder, capsys):
    before = contents(folder)
    for out in spellings(folder):
        for command in ("design", "evaluate"):
            assert main([command, str(folder), f"out={out}", "progress=false"]) == 1
            assert "is the folder that is read" in capsys.readouterr().err
    assert contents(folder) == before


def test_a_link_to_an_input_among_the_outputs_is_not_followed(folder, tmp_path):
    """designs/NAME.pdb is a link back to the structure itself."""
    out = tmp_path / "out"
    out.mkdir()
    (out / NAMES[0]).symlink_to(folder / NAMES[0])
    before = contents(folder)
    with pytest.raises(ValueError, match=f"{NAMES[0]}: would be written over .*{NAMES[0]}, which is read"):
        design(folder, out=out, progress=False, workers=1)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "designs").symlink_to(folder)
    with pytest.raises(ValueError, match="would be written over"):
        evaluate(
            folder,
            out=tmp_path / "report",
            designer=Alanines(),
            progress=False,
            workers=1,
            config=EvaluateConfig(num_seqs=1),
        )
    assert contents(folder) == before


def test_structures_that_are_somebody_elses_are_not_replaced_by_designs(folder, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    before = contents(out)
    with pytest.raises(ValueError, match="is there, and not from protgm; use another out= folder"):
        design(folder, out=out, progress=False, workers=1)
    assert contents(out) == before


def test_a_manifest_or_list_that_is_read_is_not_written_over(folder, tmp_path):
    out = tmp_path / "dataset"
    out.mkdir()
    for name in ("rejected.csv", "dataset.json"):
        table = out / name
        table.write_text(f"file,cluster\n{NAMES[0]},a\n")
        with pytest.raises(ValueError, match=f"{name}: would be written over .*{name}, which is read"):
            prepare(folder, out, manifest=tmp_path / "dataset" / "." / name, workers=1, progress=False)
        assert table.read_text().startswith("file,cluster")
    (out / "failed.csv").write_text("1abc\n")
    with pytest.raises(ValueError, match=r"failed.csv: would be written over"):
        fetch(out / "failed.csv", out)
    assert (out / "failed.csv").read_text() == "1abc\n"


def test_training_does_not_write_to_its_data_nor_over_the_weights_it_begins_with(example_dataset, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(example_dataset, data)
    before = contents(data)
    (tmp_path / "d").symlink_to(data)
    for out in (data, tmp_path / "d"):
        with pytest.raises(ValueError, match="is the folder that is read"):
            train(TrainConfig(data=str(data), out=str(out), steps=1))
    after = contents(data)
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if name != ".lock")
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.csv").write_text("name,value\nx,1\n")
    (run / "best.safetensors").write_bytes(b"weights")
    for init in (run / "best.safetensors", run, run / ".." / "run" / "best.safetensors"):
        with pytest.raises(ValueError, match=r"lies in out=.*use a new out= folder"):
            train(TrainConfig(data=str(data), out=str(run), init=str(init), steps=1))
    assert (run / "best.safetensors").read_bytes() == b"weights"


def test_tables_that_are_not_of_a_run_are_left_alone(example_dataset, small_config, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.csv").write_text("name,value\nx,1\n")
    config = TrainConfig(data=str(example_dataset), out=str(run), steps=1, model=small_config, tokens=256, sample_steps=2, sample_num=1, sample_lengths=(12,))  # fmt: skip  # noqa: E501
    train(config)
    train(replace(config, steps=2))
    assert (run / "mine.csv").read_text() == "name,value\nx,1\n"


def test_a_run_names_what_has_changed_and_does_not_take_other_data(example_dataset, small_config, tmp_path, capsys):
    config = TrainConfig(
        data=str(example_dataset), out=str(tmp_path / "run"), steps=1, model=small_config, tokens=256, sample_steps=2,
        sample_num=1, sample_lengths=(12,),
    )  # fmt: skip
    train(config)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    settings["looks"] = settings.pop("recycles") + 2  # as older runs called it
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    capsys.readouterr()
    moved = tmp_path / "moved"
    shutil.copytree(example_dataset, moved)
    train(replace(config, data=str(moved), steps=2, clip=0.5, loss=replace(config.loss, clash=2.0)))
    told = capsys.readouterr().err
    assert "goes on with other settings: " in told
    for words in (
        "steps=1, now steps=2",
        "clip=1.0, now clip=0.5",
        "loss.clash=0.5, now loss.clash=2.0",
        "recycles=3, now recycles=1",
    ):
        assert words in told
    other = tmp_path / "other"
    prepare(EXAMPLES, other, filters=Filters(max_length=90), workers=1, progress=False)
    weights = (tmp_path / "run" / "weights.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"was trained with data=.*moved, now data=.*other; use a new out= folder"):
        train(replace(config, data=str(other), steps=3))
    with pytest.raises(ValueError, match=r"was trained with model.heads=4, now model.heads=2; use a new"):
        train(replace(config, data=str(moved), model=replace(small_config, heads=2)))
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == weights


def test_designs_are_not_read_as_structures_of_their_own(folder, tmp_path, capsys):
    """Neither by another design, nor by an evaluation, nor as natives, nor as training data; what is beside them is."""
    design(folder, progress=False, workers=1)
    (folder / "deeper").mkdir()
    shutil.copy(folder / NAMES[0], folder / "deeper" / "own.pdb")
    shutil.copy(folder / NAMES[0], folder / "designs" / "by_hand.pdb")
    names = [str(path.relative_to(folder)) for path in structure_files(folder, recursive=True)]
    assert names == sorted([*NAMES, "deeper/own.pdb", "designs/by_hand.pdb"])
    assert f"left out {len(NAMES)} files that protgm made of others" in capsys.readouterr().err
    assert len(structure_files(folder / "designs")) == len(NAMES) + 1
    summary = prepare(folder, tmp_path / "data", workers=1, progress=False)
    assert summary.files == len(NAMES) + 2
    rejected = (tmp_path / "data" / "rejected.csv").read_text()
    assert rejected.count("made by protgm") == len(NAMES)
    again = design(folder, recursive=True, out=tmp_path / "again", progress=False, workers=1)
    assert sorted(again.designs) == sorted([Path(name).stem for name in NAMES] + ["deeper/own", "designs/by_hand"])


def test_a_report_is_not_read_as_samples(folder):
    out = folder / "report"
    evaluate(
        folder,
        out=out,
        designer=Alanines(),
        progress=False,
        workers=1,
        config=EvaluateConfig(num_seqs=1, html=False, figures=False),
    )
    assert (out / "designs" / NAMES[0]).exists()
    assert len(read_folder(folder, recursive=True)[0]) == len(NAMES)


def test_a_second_evaluation_leaves_nothing_of_the_first_behind(folder, tmp_path):
    out = tmp_path / "report"
    evaluate(folder, out=out, designer=Alanines(), progress=False, workers=1, config=EvaluateConfig(num_seqs=1))
    assert {"report.html", "tm.npz", "metrics.csv"} <= set(contents(out))
    (out / "notes.txt").write_text("mine")
    (out / "designs" / "mine.pdb").write_text("mine")
    (folder / NAMES[0]).unlink()
    evaluate(
        folder, out=out, progress=False, workers=1, config=EvaluateConfig(similarity=False, html=False, figures=False)
    )
    assert set(contents(out)) == {".lock", "metrics.csv", "metrics.json", "notes.txt", "designs/mine.pdb"}


def test_a_second_design_leaves_nothing_behind_and_does_not_mix_folders(folder, tmp_path):
    out = tmp_path / "out"
    design(folder, out=out, progress=False, workers=1)
    (folder / NAMES[0]).unlink()
    design(folder, out=out, progress=False, workers=1)
    assert Path(NAMES[0]).stem not in {path.stem for path in out.iterdir()}
    other = tmp_path / "other"
    other.mkdir()
    unpack(0, other / NAMES[0])
    before = contents(out)
    with pytest.raises(ValueError, match=r"out: has designs of .*structures, now .*other; use another out= folder"):
        design(other, out=out, progress=False, workers=1)
    assert contents(out) == before
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(folder, moved / folder.name)
    shutil.move(out, moved / "out")
    design(moved / folder.name, out=moved / "out", progress=False, workers=1)


def test_sequences_belong_to_the_contents_of_a_structure_not_to_its_name(folder):
    designer = Alanines()
    stem = Path(NAMES[0]).stem

    def again(**changed) -> list[str]:
        designer.calls.clear()
        arguments = {"num_seqs": 2, "seed": 0, "designer": designer, "progress": False} | changed
        design_samples(folder, NAMES, **arguments)
        return list(designer.calls)

    assert again() == [Path(name).stem for name in NAMES]
    assert again() == again(num_seqs=1) == []
    unpack(4, folder / NAMES[0])  # another one of the same name
    assert again() == [stem]
    designed = read_structure(folder / "designs" / NAMES[0])
    assert len(designed) == len(read_structure(folder / NAMES[0]))
    assert len(again(seed=1)) == len(NAMES)
    designer.settings = {"letter": "G"}
    assert len(again(seed=1)) == len(NAMES)
    (folder / "designs" / "designs.json").unlink()  # of whatever they are: nobody knows
    assert len(again(seed=1)) == len(NAMES)
    assert made_here(folder / "designs") >= {f"{stem}.fasta", f"{stem}.pdb"}


def test_entries_of_two_formats_do_not_meet_in_one_folder(tmp_path):
    (tmp_path / "ids.txt").write_text("1abc")
    append_lines(tmp_path / "fetched.jsonl", [{"file": "ab/1abc.bcif.gz", "bytes": 1, "sha256": "0"}])
    with pytest.raises(ValueError, match="has entries with format=bcif, now format=cif"):
        fetch(tmp_path / "ids.txt", tmp_path, format="cif", base="http://127.0.0.1:9", retries=0)


def test_lists_name_files_below_their_folder_only(tmp_path):
    (tmp_path / "keep").mkdir()
    victim = tmp_path / "victim.pdb"
    victim.write_text("x")
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / "b.pdb").write_text("x")
    names = ["../victim.pdb", str(victim), "a/b.pdb", "a/../../victim.pdb", "", 5, None]
    remove_others(out, {"protgm": "0", "files": names}, [])
    assert victim.exists()
    assert list(out.iterdir()) == []
    remove_others(tmp_path, {"files": ["victim.pdb"]}, [])  # a JSON file of somebody else
    assert victim.exists()
    for text in ("{", "[]", json.dumps({"files": ["victim.pdb"]}), json.dumps({"protgm": "1", "files": 3})):
        (tmp_path / "designs.json").write_text(text)
        assert made_here(tmp_path) == set()
    write_list(tmp_path / "designs.json", ["b", "a"], more=1)
    assert made_here(tmp_path) == {"a", "b"}


def test_places_that_are_not_there_are_not_the_same(tmp_path):
    check_apart("out", tmp_path / "a", tmp_path / "a")
    check_outputs([tmp_path / "a"], [tmp_path / "a"])
