"""What a folder of samples holds already is compared, file by file; where it is computed and how it is shown."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from protgm.cli import main
from protgm.device import usable_device
from protgm.process import ProteinProcess
from protgm.sample import BackboneModel, SampleConfig, load, sample
from protgm.sample.manifest import MANIFEST
from protgm.weights import save_weights


@pytest.fixture(scope="module")
def run_folder(small_denoiser, tmp_path_factory) -> Path:
    """A folder as training leaves it."""
    folder = tmp_path_factory.mktemp("a run")
    save_weights(folder / "weights.safetensors", small_denoiser, {"lengths": [12, 30]})
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    return folder


@pytest.fixture
def config(run_folder, tmp_path) -> SampleConfig:
    return SampleConfig(
        length=(13,), num=2, out=str(tmp_path / "out"), checkpoint=str(run_folder), steps=2, refine=False
    )


def contents(config: SampleConfig) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(config.out).iterdir()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "cif"}, "L13_0000 was made with format=pdb, now format=cif; use another out= folder"),
        ({"steps": 3}, "L13_0000 was made with steps=2, now steps=3; use another"),
        ({"steps": 3, "jump_weight": 0.25}, "steps=2, now steps=3; jump_weight=0.5, now jump_weight=0.25; use"),
        ({"secondary": None}, r"was made with SecondaryStructure\(text=native\), now without; use another"),
        ({"refine": True}, "refine=False, now refine=True"),
    ],
)
def test_what_differs_is_named_and_nothing_is_touched(config, change, message):
    sample(config)
    before = contents(config)
    with pytest.raises(ValueError, match=message):
        sample(replace(config, **change))
    assert contents(config) == before


def test_a_file_that_was_changed_is_neither_kept_as_made_nor_overwritten(config):
    sample(config)
    path = Path(config.out) / "L13_0001.pdb"
    path.write_text(path.read_text().replace("GLY", "ALA"))
    with pytest.raises(ValueError, match=r"L13_0001.pdb: has changed since it was made .* move it away"):
        sample(config)
    assert "ALA" in path.read_text()
    path.rename(path.with_suffix(".mine"))
    sample(config)
    assert "GLY" in path.read_text()


def test_a_file_of_somebody_else_with_a_name_of_ours_stays(config):
    Path(config.out).mkdir()
    foreign = Path(config.out) / "L13_0000.pdb"
    foreign.write_text("REMARK my own\n")
    with pytest.raises(ValueError, match=r"L13_0000.pdb: is there, and not from protgm sample"):
        sample(config)
    assert foreign.read_text() == "REMARK my own\n"


def test_a_file_of_a_killed_run_is_made_again(config):
    rows = sample(config)
    before = (Path(config.out) / "L13_0001.pdb").read_bytes()
    (Path(config.out) / MANIFEST).write_text(json.dumps(rows[0]) + "\n")
    sample(config)
    assert (Path(config.out) / "L13_0001.pdb").read_bytes() == before


def test_a_run_folder_is_a_checkpoint(run_folder, tmp_path):
    assert load(run_folder).checkpoint == load(run_folder / "weights.safetensors").checkpoint
    with pytest.raises(ValueError, match=r"step-00000001: a folder without weights.safetensors.* has .*weights.safet"):
        load(run_folder / "checkpoints" / "step-00000001")
    with pytest.raises(ValueError, match=r"a folder without weights.safetensors in it$"):
        load(tmp_path)


def test_a_length_beyond_training_gets_a_word(config, run_folder):
    console = Console(file=io.StringIO(), width=500)
    sample(config, console)
    assert "trained on" not in console.file.getvalue()
    sample(replace(config, length=(13, 31, 8), num=1), console)
    assert "length 8 to 31: the weights were trained on 12 to 30 residues" in console.file.getvalue()
    with pytest.warns(UserWarning, match="length 40: the weights were trained on 12 to 30 residues"):
        load(run_folder).sample(40, settings=config.sampler, refine=False)


@pytest.mark.parametrize("card", [{}, {"lengths": None}, {"lengths": [5]}])
def test_weights_that_do_not_say_get_no_word(small_denoiser, card):
    assert BackboneModel(small_denoiser, ProteinProcess(), card, "x").beyond([4, 2000]) is None


def test_where_to_compute_can_be_said(config, run_folder, capsys):
    assert load(run_folder, device="cpu").device == torch.device("cpu")
    assert load(run_folder, device=torch.device("cpu")).device == torch.device("cpu")
    for name in ("gpu", "cuda:99", "meta", "cpu:x"):
        with pytest.raises(ValueError, match=f"device={name}: "):
            usable_device(name)
    arguments = [f"out={config.out}", f"checkpoint={run_folder}", "length=12", "num=1", "steps=2", "refine=false"]
    assert main(["sample", *arguments, "device=gpu0"]) == 1
    assert "device=gpu0: cannot be used" in capsys.readouterr().err
    assert main(["sample", *arguments, "device=cpu", "progress=false"]) == 0


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_is_shown_on_a_terminal_unless_it_is_not_wanted(config, shown):
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    sample(replace(config, progress=shown), console)
    assert ("2/2 proteins" in console.file.getvalue()) == shown
