"""Folders that are read may be read-only: no command writes, makes or moves anything in them, for a moment even."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protgm.cli import main
from protgm.weights import save_weights

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"
NAMES = ("1CSP_A", "1POH_A", "2TRX_A")


def state(folder: Path) -> dict[str, Any]:
    """Contents of files, and of folders the time of their last change: a file that comes and goes changes it."""
    found: dict[str, Any] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        found[str(path)] = path.read_bytes() if path.is_file() else path.stat().st_mtime_ns
    return found


@pytest.fixture
def inputs(tmp_path, example_dataset, small_denoiser) -> Iterator[Path]:
    """Structures, samples, a dataset and a run, which nobody may write to (but root, to whom nothing is forbidden)."""
    folder = tmp_path / "inputs"
    (folder / "structures").mkdir(parents=True)
    for name in NAMES:
        shutil.copy(EXAMPLES / f"{name}.pdb.gz", folder / "structures")
    shutil.copytree(example_dataset, folder / "dataset")
    (folder / "run").mkdir()
    save_weights(folder / "run" / "weights.safetensors", small_denoiser, {})
    (folder / "tasks.yaml").write_text("tasks:\n  one: {length: 12, num: 1}\n")
    places = [folder, *folder.rglob("*")]
    for path in places:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    yield folder
    for path in places:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


SAMPLE = ("checkpoint={i}/run", "steps=2", "refine=false", "progress=false")

COMMANDS: dict[str, tuple[str, ...]] = {
    "prepare": ("source={i}/structures", "out={o}", "workers=1", "progress=false"),
    "evaluate": ("{i}/structures", "out={o}", "figures=false", "workers=1", "progress=false"),
    "evaluate by a dataset": (
        "{i}/structures", "out={o}", "reference={i}/dataset", "natives=10", "figures=false", "workers=1",
        "similarity=false", "candidates=1", "progress=false",
    ),
    "score": (
        "{i}/structures", "out={o}.csv", "checkpoint={i}/run", "steps=1", "draws=1", "sequence=false", "workers=1",
        "progress=false",
    ),
    "sample": ("length=12", "num=1", "out={o}", *SAMPLE),
    "sample about a motif": (
        "num=1", "out={o}", "motif={i}/structures/1CSP_A.pdb.gz", "contig=5/A10-15/5", *SAMPLE,
    ),
    "sample many": ("spec={i}/tasks.yaml", "out={o}", *SAMPLE),
    "check": ("spec={i}/tasks.yaml", "out={o}", "checkpoint={i}/run"),
    "train": (
        "data={i}/dataset", "out={o}", "init={i}/run", "steps=1", "tokens=128", "max_length=96", "sample_num=1",
        "sample_steps=2", "sample_lengths=[12]", "progress=false", "model.width=32", "model.heads=4", "model.stages=2",
        "model.blocks=1", "model.pair_width=16", "model.pair_values=8", "model.points=2", "model.feed_forward=64",
        "model.components=3",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_inputs_stay_as_they_are(command: str, inputs: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    before = state(inputs)
    words = [word.format(i=inputs, o=tmp_path / "out") for word in COMMANDS[command]]
    assert main([command.split()[0], *words]) == 0, capsys.readouterr().err
    assert state(inputs) == before
    assert not list(elsewhere.iterdir())


@pytest.mark.slow
def test_designs_of_structures_that_nobody_may_write_beside(inputs: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("protein_mpnn_utils")
    before = state(inputs)
    design = ["design", f"{inputs}/structures", "num_seqs=1", "workers=1", "progress=false"]
    assert main([*design, f"out={tmp_path / 'designs'}"]) == 0, capsys.readouterr().err
    assert state(inputs) == before


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_designs_that_would_lie_beside_are_refused(inputs: Path, capsys) -> None:
    before = state(inputs)
    assert main(["design", f"{inputs}/structures", "workers=1", "progress=false"]) == 1
    assert "structures/designs: " in (told := capsys.readouterr().err)
    assert "cannot be written to; name another folder with out=" in told
    assert state(inputs) == before
