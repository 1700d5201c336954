"""What people ask for everywhere: python -m, completion, weights in --version, evaluation in memory, quiet commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import protgm
from protgm.cli import COMMANDS, main
from protgm.completion import SHELLS, script
from protgm.config import keys_of
from protgm.evaluate import EvaluateConfig
from protgm.structure import read_structure
from protgm.train import TrainConfig, train
from protgm.weights import weights_id

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"


def bash(code: str) -> str:
    program = shutil.which("bash")
    if program is None:
        pytest.skip("needs bash")
    return subprocess.run([program, "-c", code], capture_output=True, text=True, check=True).stdout


def completed(*words: str) -> list[str]:
    """What bash offers for the last word."""
    source = script("bash", {name: ("", keys_of(command.settings or name)) for name, command in COMMANDS.items()})
    quoted = " ".join(f"'{word}'" for word in words)
    return bash(
        f"{source}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _protgm; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    ).split("\n")[:-1]


def test_the_package_is_a_program():
    done = subprocess.run([sys.executable, "-m", "protgm", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "protgm <command> key=value" in done.stdout


def test_the_version_names_the_weights(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"protgm {protgm.__version__}, weights {weights_id()}\n"


def test_the_version_needs_no_torch():
    code = "import sys; from protgm.cli import main; main(['--version']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_bash_completes_commands_and_settings():
    assert completed("protgm", "eva") == ["evaluate "]
    assert completed("protgm", "sample", "num") == ["num=", "num_seqs="]
    assert completed("protgm", "train", "loss.cl") == ["loss.clash="]
    assert completed("protgm", "prepare", "--h") == ["--help"]
    assert completed("protgm", "sample", "out", "=", "pa") == [""]  # left to the shell, which knows files
    assert completed("protgm", "nothing", "x") == [""]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_setting_is_offered(shell, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert all(f"{key}=" in text for key in keys_of(command.settings or name))
    program = shutil.which(shell)
    if program is not None:
        assert subprocess.run([program, "-n"], input=text, text=True, check=False).returncode == 0


def test_another_shell_is_refused(capsys):
    assert main(["completion", "tcsh"]) == 1
    assert "shell=tcsh: must be one of bash, zsh, fish" in capsys.readouterr().err


def test_backbones_in_memory_are_judged_without_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backbones = [read_structure(EXAMPLES / name) for name in ("1CSP_A.pdb.gz", "1SHG_A.pdb.gz")]
    found = protgm.evaluate([*backbones, backbones[0]], progress=False, workers=1)
    assert [row["name"] for row in found.samples] == ["1CSP_A", "1SHG_A", "1CSP_A_2"]
    assert found.summary["clusters"] == 2
    assert found.matrix[0, 2] == pytest.approx(1, abs=1e-3)
    assert "report:" not in str(found)
    assert not list(tmp_path.iterdir())
    one = protgm.evaluate(backbones[0], progress=False, workers=1)
    assert one.samples[0]["passed"]
    assert one.samples[0]["helix"] == found.samples[0]["helix"]


def test_a_report_of_backbones_in_memory_is_that_of_their_folder(tmp_path):
    backbones = [read_structure(EXAMPLES / "1CSP_A.pdb.gz")]
    found = protgm.evaluate(
        backbones, out=tmp_path / "report", progress=False, workers=1, config=EvaluateConfig(figures=False)
    )
    assert (tmp_path / "report" / "report.html").exists()
    (tmp_path / "files").mkdir()
    shutil.copy(EXAMPLES / "1CSP_A.pdb.gz", tmp_path / "files")
    read = protgm.evaluate(tmp_path / "files", progress=False, workers=1)
    assert {**read.samples[0], "file": None} == {**found.samples[0], "file": None}


@pytest.mark.parametrize("given", [[], [1], [np.zeros((5, 4, 3))], ["a.pdb"]])
def test_what_is_no_backbone_is_named(given):
    with pytest.raises(ValueError, match="evaluate: "):
        protgm.evaluate(given, progress=False)


def test_a_run_says_nothing_where_that_is_asked(example_dataset, small_config, tmp_path, capsys):
    config = TrainConfig(
        data=str(example_dataset), out=str(tmp_path / "run"), steps=1, model=small_config, tokens=256, sample_steps=2,
        sample_num=1, sample_lengths=(12,), progress=False, device="cpu", log_every=1,
    )  # fmt: skip
    train(config)
    train(replace(config, steps=2, progress=True))
    told = capsys.readouterr()
    assert told.out == f"step 2; weights in {tmp_path}/run/weights.safetensors\n"
    assert "step 1" not in told.err
    assert "100.0 % step 2" in told.err
    assert "progress" not in told.err
    with pytest.raises(ValueError, match="device=cpu is for a run of one process"):
        replace(config, processes=2)
    with pytest.raises(ValueError, match="device=tpu: cannot be used"):
        train(replace(config, device="tpu", steps=3))


def test_memory_that_runs_out_is_one_line(monkeypatch, capsys):
    import torch

    def greedy(_settings):
        torch.empty(2**58)

    monkeypatch.setitem(COMMANDS, "doctor", replace(COMMANDS["doctor"], run=greedy))
    assert main(["doctor"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("protgm: memory ran out; fewer workers= take less (")
    assert error.count("\n") == 1
    assert "tokens=" in COMMANDS["train"].lighter


def test_a_file_where_a_folder_is_wanted_gets_a_hint(tmp_path, capsys):
    file = tmp_path / "one.pdb"
    file.write_text("")
    for command in ("evaluate", "design"):
        assert main([command, str(file)]) == 1
        assert f"{file}: is a file; name the folder that it is in ({tmp_path})" in capsys.readouterr().err


def test_weights_that_are_not_there_leave_no_folder(tmp_path, capsys):
    arguments = [f"out={tmp_path / 'out'}", "length=20", "num=1", "steps=2"]
    for given in (f"checkpoint={tmp_path / 'none'}", f"checkpoint={tmp_path}", "device=tpu"):
        assert main(["sample", *arguments, given]) == 1
        assert given.partition("=")[2] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_current_folder_that_is_gone_is_one_line(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["check", "length=20", f"out={tmp_path}"]) == 1
    assert capsys.readouterr().err.startswith("protgm: the current folder is not there any more (No such file")


def test_a_reader_that_goes_away_is_no_error():
    """As in ``protgm --help | head -1``."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "protgm", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
