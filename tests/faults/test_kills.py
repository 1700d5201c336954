"""Kill -9 at random moments of prepare, train and sample: a restart completes, and ends as if nothing had happened.

``PROTGM_KILLS`` (100 by default) kills are dealt to the three commands in turn; ``PROTGM_SEED`` draws the moments.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from protgm.data import build as build_module
from protgm.data import prepare
from protgm.model import Denoiser, DenoiserConfig
from protgm.sample import SampleConfig, sample
from protgm.train import TrainConfig, train
from protgm.train.optim import Schedule
from protgm.weights import save_weights

pytestmark = [pytest.mark.faults, pytest.mark.timeout(4 * 3600)]

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"
KILLS = int(os.environ.get("PROTGM_KILLS", "100"))
SEED = int(os.environ.get("PROTGM_SEED", "0"))

# Processes forked from one that has imported everything: they start at once.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["protgm.data.build", "protgm.data.entry", "protgm.train.trainer", "protgm.sample.run"])


def run_prepare(source: str, out: str) -> None:
    build_module.PART = 16
    prepare(source, out, workers=1, progress=False)


def run_train(config: TrainConfig) -> None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    torch.set_num_threads(1)
    train(config)


def run_sample(config: SampleConfig) -> None:
    torch.set_num_threads(1)
    sample(config, Console(quiet=True))


def files(out: Path) -> dict[str, bytes]:
    """All that is there but locks, whose text is the process that held them."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        times = ("seconds", "time", "samples_per_second", "residues_per_second")
        return {key: without_times(item) for key, item in value.items() if key not in times}
    return value


def prepared(out: Path) -> dict[str, Any]:
    """Everything, as bytes."""
    return dict(files(out))


def sampled(out: Path) -> dict[str, Any]:
    """Structures as bytes, manifest rows in order without their times."""
    found: dict[str, Any] = dict(files(out))
    lines = found["manifest.jsonl"].decode().splitlines()
    return found | {"manifest.jsonl": [without_times(json.loads(line)) for line in lines]}


def trained(out: Path) -> dict[str, Any]:
    """Curves without times, the last checkpoint's tensors as bytes."""
    found: dict[str, Any] = {}
    for name in ("train.csv", "validation.csv", "samples.csv"):
        with open(out / name, newline="") as file:
            found[name] = [without_times(row) for row in csv.DictReader(file)]
    last = sorted((out / "checkpoints").iterdir())[-1]
    found["step"] = last.name
    found |= {path.name: path.read_bytes() for path in last.glob("*.safetensors")}
    found["leftovers"] = sorted(path.name for path in out.rglob("*.tmp"))
    return found


def undisturbed(job: Callable[..., None], arguments: tuple, out: Path) -> float:
    """Run to the end; seconds of the run after a first one that warms up."""
    for folder in (out.with_name("warm"), out):
        start = time.monotonic()
        process = FORKS.Process(target=job, args=at(arguments, folder))
        process.start()
        process.join()
        assert process.exitcode == 0
        seconds = time.monotonic() - start
    return seconds


def at(arguments: tuple, out: Path) -> tuple:
    """Arguments with this output folder in the place of None (a path), or in a configuration."""
    return tuple(
        replace(argument, out=str(out)) if is_dataclass(argument) else str(out) if argument is None else argument
        for argument in arguments
    )


def harass(
    job: Callable[..., None], arguments: tuple, result: Callable[[Path], dict[str, Any]], folder: Path, kills: int
) -> None:
    """Kill and restart until ``kills`` kills are done; whenever a run gets through, compare and begin anew."""
    rng = random.Random(SEED)
    whole = folder / "whole"
    longest = undisturbed(job, arguments, whole)
    expected, out = result(whole), folder / "out"
    done = finished = 0
    while True:
        process = FORKS.Process(target=job, args=at(arguments, out))
        process.start()
        process.join(rng.uniform(0.0, 1.05 * longest) if done < kills else None)
        if process.exitcode is None:
            process.kill()
            done += 1
        process.join()
        if process.exitcode != 0:
            assert process.exitcode == -9, f"after {done} kills (seed {SEED}): status {process.exitcode}"
            continue
        found = result(out)
        differ = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        assert not differ, f"after {done} kills (seed {SEED}): {differ} differ"
        finished += 1
        if done >= kills:
            break
        shutil.rmtree(out)
    print(f"{job.__name__}: {done} kills, {finished} runs that got through, {longest:.1f} s undisturbed", flush=True)
    assert finished > 0


def share(place: int) -> int:
    return len(range(place, KILLS, 3))


def test_prepare(tmp_path):
    for copy in range(3):  # several parts
        shutil.copytree(EXAMPLES, tmp_path / "source" / f"{copy}")
    harass(run_prepare, (str(tmp_path / "source"), None), prepared, tmp_path, share(0))


SMALL = DenoiserConfig(
    width=32, heads=4, stages=2, blocks=1, pair_width=16, pair_values=8, points=2, feed_forward=64, components=3
)


def test_train(example_dataset, tmp_path):
    config = TrainConfig(
        data=str(example_dataset),
        out="",
        steps=8,
        tokens=128,
        max_length=96,
        model=SMALL,
        precision="fp32",
        log_every=1,
        checkpoint_minutes=0.0,
        validate_minutes=0.002,
        sample_lengths=(16,),
        sample_num=1,
        sample_steps=2,
        schedule=Schedule(warmup_steps=2, decay_share=0.4),
    )

    def curves(out: Path) -> dict[str, Any]:
        found = trained(out)
        # When validations come depends on the clock; the last one always comes.
        return found | {name: found[name][-1] for name in ("validation.csv", "samples.csv")}

    harass(run_train, (config,), curves, tmp_path, share(1))


def test_sample(tmp_path):
    torch.manual_seed(0)
    denoiser = Denoiser(SMALL)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 / max(1, parameter.shape[-1]) ** 0.5))
    save_weights(tmp_path / "weights.safetensors", denoiser, {})
    config = SampleConfig(
        length="12-24", num=8, steps=3, batch=2, out="", checkpoint=str(tmp_path / "weights.safetensors")
    )
    harass(run_sample, (config,), sampled, tmp_path, share(2))
