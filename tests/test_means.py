"""Where a command writes, and what it computes with, is looked at before anything is computed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from protgm.cli import main

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A structure."""
    path = tmp_path / "structures"
    path.mkdir()
    shutil.copy(EXAMPLES / "1CSP_A.pdb.gz", path)
    return path


@pytest.mark.parametrize("below", ["", "/inside/it"])
@pytest.mark.parametrize(
    "command", ["evaluate {folder}", "design {folder}", "prepare source={folder}", "sample num=1", "check num=1",
                "train steps=1 data={folder}", "score {folder}"],
)  # fmt: skip
def test_a_file_in_the_place_of_a_folder_is_named(command, below, folder, capsys):
    """Before anything is computed."""
    if command.startswith("score"):
        below = below or "/scores.csv"
    taken = folder / "a.txt"
    taken.write_text("mine")
    arguments = command.format(folder=folder).split()
    assert main([*arguments, f"out={taken}{below}"]) == 1
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"protgm: out={taken}")
    assert told.endswith("is a file; a folder is wanted")
    assert taken.read_text() == "mine"


@pytest.mark.parametrize(("setting", "message"), [
    ("device=gpu", "device=gpu: cannot be used"), ("device=cuda:7", "there are cpu"),
    ("checkpoint=nowhere.safetensors", "nowhere.safetensors"),
])  # fmt: skip
def test_check_looks_at_the_means_too(setting, message, tmp_path, capsys):
    assert main(["check", "num=1", setting, f"out={tmp_path}"]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
