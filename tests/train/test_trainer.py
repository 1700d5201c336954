"""Training runs: they learn, resume exactly, survive kills, and run on two processes as on one."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import protgm
from protgm.lock import locked
from protgm.train import TrainConfig, train
from protgm.train.checkpoint import latest_checkpoint
from protgm.train.optim import Schedule


@pytest.fixture
def config(example_dataset, small_config, tmp_path) -> TrainConfig:
    return TrainConfig(
        data=str(example_dataset),
        out=str(tmp_path / "run"),
        steps=6,
        tokens=256,
        model=small_config,
        precision="fp32",
        log_every=2,
        sample_lengths=(16,),
        sample_num=1,
        sample_steps=2,
        schedule=Schedule(warmup_steps=2, decay_share=0.0),
    )


def curve(folder: str) -> list[tuple[int, float]]:
    with open(Path(folder) / "train.csv", newline="") as file:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]


def weights(folder: str) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(Path(folder))
    assert checkpoint is not None
    return load_file(checkpoint / "model.safetensors")


def test_a_run_leaves_what_is_promised(config):
    train(config)
    run = Path(config.out)
    assert [step for step, _ in curve(config.out)] == [2, 4, 6]
    for name in ("validation.csv", "samples.csv", "settings.json", "weights.safetensors"):
        assert (run / name).stat().st_size > 0, name
    assert not list(run.rglob("*.pkl")) + list(run.rglob("*.pt"))
    assert len(protgm.load(run / "weights.safetensors").sample(length=16, num=1)[0]) == 16


def test_a_run_that_was_interrupted_ends_like_one_that_was_not(config, tmp_path):
    train(config)
    parts = replace(config, out=str(tmp_path / "parts"))
    for steps in (2, 3, 6):
        train(replace(parts, steps=steps))
    assert curve(parts.out)[-1] == curve(config.out)[-1]
    one, two = weights(config.out), weights(parts.out)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_training_lowers_the_loss(config):
    train(replace(config, steps=60, log_every=10, schedule=Schedule(peak=3e-3, warmup_steps=5)))
    losses = [loss for _, loss in curve(config.out)]
    assert losses[-1] < 0.75 * losses[0]


def test_two_processes_see_other_data_and_agree_on_the_weights(config):
    train(replace(config, processes=2, steps=3, log_every=1))
    assert len(curve(config.out)) == 3
    assert all(torch.isfinite(tensor).all() for tensor in weights(config.out).values())


def test_other_settings_in_one_folder_are_refused(config):
    train(replace(config, steps=1))
    with pytest.raises(ValueError, match="was trained with seed=0, now seed=1; use a new out= folder"):
        train(replace(config, seed=1))


def test_two_trainers_in_one_folder_are_refused(config):
    with (
        locked(Path(config.out), "protgm train"),
        pytest.raises(ValueError, match=r"protgm train \(process \d+\) is writing there"),
    ):
        train(config)


def test_a_damaged_checkpoint_is_told_not_used(config):
    train(replace(config, steps=2))
    checkpoint = latest_checkpoint(Path(config.out))
    assert checkpoint is not None
    path = checkpoint / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged \(checksum differs\)"):
        train(config)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on(config, kill):
    config = replace(config, steps=None, hours=1.0, checkpoint_minutes=0.02, log_every=1)
    script = (
        "import json, sys\n"
        "from protgm.config import build\n"
        "from protgm.train import TrainConfig, train\n"
        "if __name__ == '__main__':\n"
        "    train(build(TrainConfig, json.loads(sys.argv[1])))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(asdict(config))],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while latest_checkpoint(Path(config.out)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(kill)
    assert process.wait(timeout=120) == (-9 if kill == signal.SIGKILL else 0)
    checkpoint = latest_checkpoint(Path(config.out))
    assert checkpoint is not None
    reached = json.loads((checkpoint / "state.json").read_text())["step"]
    train(replace(config, hours=None, steps=reached + 2))
    steps = [step for step, _ in curve(config.out)]
    assert steps == list(range(1, reached + 3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": None}, "say how long to train: hours=2 or steps=20000"),
        ({"precision": "fp8"}, "must be auto, bf16 or fp32"),
        ({"processes": 0}, "processes=0 must be at least 1"),
    ],
)
def test_settings_are_checked(config, values, message):
    with pytest.raises(ValueError, match=message):
        replace(config, **values)


def test_a_folder_that_is_no_dataset_is_refused(config, tmp_path):
    with pytest.raises(ValueError, match="not a dataset"):
        train(replace(config, data=str(tmp_path)))
