"""Training runs: they learn, resume exactly, survive kills, and run on two processes as on one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

import protgm
from protgm.data import prepare
from protgm.lock import locked
from protgm.model import Denoiser
from protgm.train import train
from protgm.train.checkpoint import latest_checkpoint
from protgm.train.optim import Schedule
from protgm.train.trainer import Trainer


def test_a_run_leaves_what_is_promised(config, curve, capfd):
    train(config)
    run = Path(config.out)
    assert capfd.readouterr().out == f"step 6; weights in {run}/weights.safetensors\n"
    assert [step for step, _ in curve(config.out)] == [2, 4, 6]
    for name in ("validation.csv", "samples.csv", "settings.json", "weights.safetensors"):
        assert (run / name).stat().st_size > 0, name
    assert not list(run.rglob("*.pkl")) + list(run.rglob("*.pt"))
    model = protgm.load(run / "weights.safetensors")
    with pytest.warns(UserWarning, match=r"length 16: the weights were trained on \d+ to \d+ residues"):
        assert len(model.sample(length=16, num=1)[0]) == 16


def test_a_dataset_without_a_validation_split_is_told(config, tmp_path, capfd):
    source, data = tmp_path / "few", tmp_path / "dataset"
    source.mkdir()
    for name in ("1CSP_A", "1SHG_A", "2CI2_I"):
        file = f"{name}.pdb.gz"
        shutil.copy(Path(__file__).parents[2] / "data" / "examples" / file, source / file)
    prepare(source, data, workers=1, progress=False)
    train(replace(config, data=str(data), steps=1))
    assert "nothing was validated" in capfd.readouterr().out
    assert not (Path(config.out) / "validation.csv").exists()


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_like_one_that_was_not(config, tmp_path, curve, weights):
    train(config)
    parts = replace(config, out=str(tmp_path / "parts"))
    for steps in (2, 3, 6):
        train(replace(parts, steps=steps))
    assert curve(parts.out)[-1] == curve(config.out)[-1]
    one, two = weights(config.out), weights(parts.out)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_training_lowers_the_loss(config, curve):
    train(replace(config, steps=60, log_every=10, schedule=Schedule(peak=3e-3, warmup_steps=5)))
    losses = [loss for _, loss in curve(config.out)]
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.slow
def test_a_guess_comes_from_one_to_so_many_recycles(config):
    trainer = Trainer(replace(config, recycles=3, self_conditioning=1.0))
    guesses: list[bool] = []
    trainer.model.register_forward_pre_hook(lambda _, inputs: guesses.append(len(inputs) > 1 and inputs[1] is not None))
    numbers = set()
    for batch, _ in zip(trainer._batches(), range(12), strict=False):
        guesses.clear()
        trainer.step(batch, 1e-3)
        assert guesses == [False] + [True] * (len(guesses) - 1)
        numbers.add(len(guesses) - 1)
    assert numbers == {1, 2, 3}


def test_long_chains_attend_to_neighbours_if_asked(config, monkeypatch):
    seen: list[tuple[int, int]] = []
    forward = Denoiser.forward

    def watched(self, protein, *rest, neighbours=None):
        seen.append((protein.mask.shape[1], neighbours or 0))
        return forward(self, protein, *rest, neighbours=neighbours)

    monkeypatch.setattr(Denoiser, "forward", watched)
    trainer = Trainer(replace(config, neighbours=90))
    for batch, _ in zip(trainer._batches(), range(8), strict=False):
        trainer.step(batch, 1e-3)
    assert {length > 90 for length, _ in seen} == {True, False}
    assert all(neighbours == (90 if length > 90 else 0) for length, neighbours in seen)
    with pytest.raises(ValueError, match="neighbours=8 must be at least 48"):
        replace(config, neighbours=8)


def test_two_processes_are_one_with_twice_the_batch(config, tmp_path, curve, weights):
    """Same examples, same noise, same losses, same weights; the sums are taken in another order."""
    # With these lengths both cut the epoch into the same batches.
    config = replace(config, steps=4, log_every=1, max_length=112, tokens=128, optimizer="adamw")
    one = replace(config, tokens=256, out=str(tmp_path / "one"))
    train(one)
    train(replace(config, processes=2))
    for (step, loss), (other_step, other) in zip(curve(one.out), curve(config.out), strict=True):
        assert step == other_step
        assert other == pytest.approx(loss, rel=1e-4)
    a, b = weights(one.out), weights(config.out)
    for name in a:
        assert torch.allclose(a[name], b[name], atol=2e-4), name


def test_a_run_goes_on_with_another_number_of_processes(config, curve):
    train(replace(config, steps=2, processes=2, log_every=1))
    train(replace(config, steps=4, log_every=1))
    assert [step for step, _ in curve(config.out)] == [1, 2, 3, 4]
    checkpoint = latest_checkpoint(Path(config.out))
    assert checkpoint is not None
    state = json.loads((checkpoint / "state.json").read_text())
    assert state["step"] == 4
    assert state["batch"] <= state["epoch_steps"]


def test_the_place_in_the_epoch_is_kept(config):
    train(replace(config, steps=2))
    trainer = Trainer(replace(config, tokens=1024))
    steps = trainer.sampler.steps(0)
    before = Trainer(config).sampler.steps(0)
    assert steps < before
    assert trainer.counters["batch"] == 2 * steps // before


def test_a_process_that_dies_ends_the_run_with_a_reason(config, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="not a dataset"):
        train(replace(config, data=str(tmp_path / "empty"), processes=2))


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


def test_a_full_disk_is_one_line_and_loses_nothing(config, monkeypatch):
    train(replace(config, steps=1))
    before = {path: path.read_bytes() for path in Path(config.out).rglob("*.safetensors")}

    def full(*_args, **_named):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("protgm.train.checkpoint.save_file", full)
    with pytest.raises(OSError, match=r"step-0*2: cannot be written \(.*No space left.*what was there before is unch"):
        train(replace(config, steps=2))
    assert {path: path.read_bytes() for path in Path(config.out).rglob("*.safetensors")} == before
    monkeypatch.undo()
    train(replace(config, steps=2))
    assert [path.name for path in sorted((Path(config.out) / "checkpoints").iterdir())][-1] == "step-00000002"


@pytest.mark.timeout(1200)  # a machine that is busy with other things takes minutes to start two processes
@pytest.mark.parametrize(
    ("kill", "processes"), [(signal.SIGKILL, 1), (signal.SIGTERM, 1), (signal.SIGKILL, 2), (signal.SIGTERM, 2)]
)
def test_a_killed_run_goes_on(config, kill, processes, curve):
    config = replace(config, steps=None, hours=1.0, checkpoint_minutes=0.02, log_every=1, processes=processes)
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
    deadline = time.monotonic() + 500
    while latest_checkpoint(Path(config.out)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(kill)
    assert process.wait(timeout=500) == (-9 if kill == signal.SIGKILL else 0)
    checkpoint = latest_checkpoint(Path(config.out))
    assert checkpoint is not None
    reached = json.loads((checkpoint / "state.json").read_text())["step"]
    if kill == signal.SIGTERM:
        assert not list(Path(config.out).rglob("*.tmp"))
    for _ in range(300):  # the first process stops a moment after its parent was killed
        try:
            with locked(Path(config.out), "test"):
                break
        except ValueError:
            time.sleep(0.1)
    reached = json.loads((latest_checkpoint(Path(config.out)) / "state.json").read_text())["step"]
    train(replace(config, hours=None, steps=reached + 2, processes=1))
    steps = [step for step, _ in curve(config.out)]
    assert steps == list(range(1, reached + 3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": None}, "say how long to train: hours=2 or steps=20000"),
        ({"precision": "fp8"}, "must be auto, bf16 or fp32"),
        ({"processes": 0}, "processes=0 must be at least 1"),
        ({"num_nodes": 0}, "num_nodes=0 must be at least 1"),
        ({"processes": 2, "devices": 2}, "processes= is for the processor of one machine"),
    ],
)
def test_settings_are_checked(config, values, message):
    with pytest.raises(ValueError, match=message):
        replace(config, **values)


def test_a_folder_that_is_no_dataset_is_refused(config, tmp_path):
    with pytest.raises(ValueError, match="not a dataset"):
        train(replace(config, data=str(tmp_path)))
