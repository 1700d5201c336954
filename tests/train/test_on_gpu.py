"""The script that trains on a borrowed GPU, end to end on the processor: small files out, and on from them again."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from protgm.weights import load_model

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_on_gpu.py"
SMALL = (
    "model.width=32", "model.heads=4", "model.stages=2", "model.blocks=1", "model.pair_width=16", "model.pair_values=8",
    "model.feed_forward=64", "tokens=256", "max_length=80", "sample_lengths=[16]", "sample_num=1", "sample_steps=2",
    "precision=fp32", "progress=false",
)  # fmt: skip


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_run_leaves_small_files_and_goes_on_from_them(example_dataset, tmp_path):
    packed, out = tmp_path / "dataset.tar.xz", tmp_path / "out"
    with tarfile.open(packed, "w:xz") as archive:
        archive.add(example_dataset, arcname=".")
    made = run(f"data={packed}", f"out={out}", "minutes=100", "steps=3", "init=null", *SMALL)
    assert made.returncode == 0, made.stderr
    names = {"weights.safetensors", "model.safetensors", "optimizer.safetensors", "state.json"}
    assert {path.name for path in out.iterdir()} == names
    assert all(path.stat().st_size < 16e6 for path in out.iterdir())
    before = json.loads((out / "state.json").read_text())
    assert before["step"] == 3
    assert load_model(out / "weights.safetensors")[2]["samples"] == before["samples"]
    again = tmp_path / "again"
    made = run(f"data={packed}", f"out={again}", f"from={out}", "minutes=100", "steps=5", "init=null", *SMALL)
    assert made.returncode == 0, made.stderr
    after = json.loads((again / "state.json").read_text())
    assert after["step"] == 5
    assert after["samples"] > before["samples"]


@pytest.mark.slow
def test_what_must_be_given_is_named():
    made = run("data=x")
    assert made.returncode == 1
    assert made.stderr.startswith("out=, minutes= must be given")
