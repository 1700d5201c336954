"""Lightning Fabric, torchrun and SLURM start what `processes=` starts."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from protgm.device import automatic_device, moved, placed
from protgm.train.checkpoint import latest_checkpoint
from protgm.train.parallel import World, launch_fabric, started_by_launcher

SETTINGS = [
    "steps=3",
    "log_every=1",
    "max_length=112",
    "tokens=128",
    "precision=fp32",
    "optimizer=adamw",
    "sample_lengths=[16]",
    "sample_num=1",
    "sample_steps=2",
    "schedule.warmup_steps=2",
    "schedule.decay_share=0.0",
    "model.width=32",
    "model.heads=4",
    "model.stages=2",
    "model.blocks=1",
    "model.pair_width=16",
    "model.pair_values=8",
    "model.points=2",
    "model.feed_forward=64",
    "model.components=3",
]


def run(data: Path, out: Path, *arguments: str, launcher: tuple[str, ...] = ("-m",)) -> subprocess.CompletedProcess:
    command = [sys.executable, *launcher, "protgm.cli", "train", f"data={data}", f"out={out}", *SETTINGS, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)


def losses(out: Path) -> list[float]:
    with open(out / "train.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def check_same(one: Path, two: Path) -> None:
    assert losses(one) == pytest.approx(losses(two), rel=1e-5)
    a, b = (load_file(latest_checkpoint(run) / "model.safetensors") for run in (one, two))
    assert all(torch.allclose(a[name], b[name], atol=1e-5) for name in a)


@pytest.mark.slow
@pytest.mark.timeout(2000)  # as long as `run` waits for each: a busy machine takes minutes to start two processes
def test_fabric_computes_what_gloo_processes_do(example_dataset, tmp_path):
    pytest.importorskip("lightning_fabric")
    for name, arguments in (("gloo", ["processes=2"]), ("fabric", ["devices=2"])):
        done = run(example_dataset, tmp_path / name, *arguments)
        assert done.returncode == 0, done.stderr
    check_same(tmp_path / "gloo", tmp_path / "fabric")


@pytest.mark.long
@pytest.mark.timeout(2000)
def test_torchrun_computes_what_gloo_processes_do(example_dataset, tmp_path):
    pytest.importorskip("lightning_fabric")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    done = run(example_dataset, tmp_path / "torchrun", launcher=torchrun)
    assert done.returncode == 0, done.stderr
    assert run(example_dataset, tmp_path / "gloo", "processes=2").returncode == 0
    check_same(tmp_path / "gloo", tmp_path / "torchrun")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}, True),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "1"}, False),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, False),
    ],
)
def test_launchers_are_recognised(monkeypatch, variables, expected):
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert started_by_launcher() is expected


def test_without_fabric_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ValueError, match=r"pip install 'protgm\[scale\]'.*processes= does without"):
        launch_fabric(print, devices=2, num_nodes=1)


def test_one_device_is_a_world_of_one():
    pytest.importorskip("lightning_fabric")
    seen: list[World] = []
    launch_fabric(seen.append, devices=1, num_nodes=1, accelerator="cpu")
    assert [(world.rank, world.size, world.device.type) for world in seen] == [(0, 1, "cpu")]


def test_a_network_elsewhere_is_called_from_here():
    device = automatic_device()
    assert device.type in ("cpu", "cuda", "mps")
    world = World(device=device)
    back = moved(moved((world, torch.ones(2), "x"), device), "cpu")
    assert back[1].device.type == "cpu"
    assert (back[0], back[2]) == (world, "x")
    # The meta device stands for another one: what is called is there, and cannot come back.
    called = placed(lambda x: torch.zeros(3) if x.device.type == "meta" else None, "meta")
    assert torch.equal(called(torch.ones(2)), torch.zeros(3))
    assert placed(len, "cpu") is len
