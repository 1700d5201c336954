"""A training run: its processes, its folder, and how it is asked to stop."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from protgm.data.dataset import Dataset
from protgm.files import check_folder, read_json, remove_temporary, write_json
from protgm.lock import locked
from protgm.made import check_apart
from protgm.stopping import heeded
from protgm.text import printable
from protgm.train.config import TrainConfig
from protgm.train.parallel import World, launch, launch_fabric, started_by_launcher
from protgm.train.trainer import Trainer
from protgm.weights import weights_file

__all__ = ["train"]


def train(config: TrainConfig) -> None:
    """Train, or go on with the run in ``config.out``.

    Ends when the run's steps or hours are done, or after a checkpoint when the process gets SIGTERM or SIGINT (at once
    where it has not begun yet).

    Raises
    ------
    ValueError
        If the dataset cannot be read, the run was started with other settings, or another process goes on with it.
    """
    run = partial(_run, config)
    with heeded() as stop:
        if not stop.asked:
            _check_sources(config)
        if config.with_fabric or started_by_launcher():
            # Also when asked to stop: the other processes wait for this one to agree.
            launch_fabric(run, devices=config.devices, num_nodes=config.num_nodes)
        elif stop.asked or not launch(run, config.processes, config.device):
            _say_stopped(config)


def _check_sources(config: TrainConfig) -> None:
    """Refuse what a run cannot be made from before it has a folder."""
    check_folder("out", config.out)
    Dataset.open(config.data, split="train")
    if config.init is not None:
        _check_init(config)
        weights_file(config.init)


def _run(config: TrainConfig, world: World) -> None:
    with heeded() as stop:
        if world.any(stop.asked):
            if world.first:
                _say_stopped(config)
            return
        with _claimed(config, world) as settings:
            trainer = Trainer(config, world)
            if world.first:  # not before: what cannot be trained leaves no run that the next attempt would be held to
                write_json(Path(config.out) / SETTINGS, settings)
            trainer.run()
            if world.first and config.progress:
                print(_done(trainer))


def _done(trainer: Trainer) -> str:
    """What a run leaves, in a line."""
    folder = printable(trainer.folder, 1000)
    line = f"step {int(trainer.counters['step'])}; weights in {folder}/weights.safetensors"
    if "val" not in Dataset.open(trainer.config.data).info["splits"]:
        line += "; nothing was validated: the dataset has no split for it (val_share= of protgm prepare)"
    return line


def _say_stopped(config: TrainConfig) -> None:
    out = printable(config.out, 1000)
    print(f"protgm: stopped before the first step; {out} is as it was, and the same command goes on", file=sys.stderr)


@contextlib.contextmanager
def _claimed(config: TrainConfig, world: World) -> Iterator[dict[str, Any]]:
    """Hold the run's folder, which the first process does for all; the settings to be recorded there."""
    problem: Exception | None = None
    settings: dict[str, Any] = {}
    with contextlib.ExitStack() as held:
        if world.first:
            try:
                if not os.path.lexists(config.out):
                    held.callback(_remove_empty, Path(config.out))
                held.enter_context(locked(Path(config.out), "protgm train"))
                for folder in (Path(config.out), Path(config.out) / "checkpoints"):
                    remove_temporary(folder)
                settings = _settings(config)
            except (ValueError, OSError) as error:
                problem = error
        if world.any(problem is not None):
            raise problem or SystemExit(1)  # the first process says why
        yield settings


def _remove_empty(run: Path) -> None:
    """Remove a folder in which there is nothing but the lock."""
    with contextlib.suppress(OSError):
        if {path.name for path in run.iterdir()} <= {".lock"}:
            (run / ".lock").unlink(missing_ok=True)
            run.rmdir()


SETTINGS = "settings.json"
#: What a run is made of, so that it cannot go on with another: the rest may change on the way, and is told.
_FIXED = ("model", "seed", "optimizer", "init", "data")
#: What may change without a word.
_UNTOLD = ("data_sha256", "out", "progress")


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The settings to be recorded in the run's folder, compared with those recorded there."""
    run, data = Path(config.out), Path(config.data)
    check_apart("out", run, data)
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    settings["data_sha256"] = Dataset.open(data).info.get("sha256")
    path = run / SETTINGS
    if path.exists():
        before = {"optimizer": "adamw", "method": "jump"} | read_json(path)
        if "looks" in before:  # what runs of 0.1 called recycles
            before["recycles"] = before.pop("looks")
        before["model"] = {"method": before["method"]} | before["model"]
        if "data_sha256" in before and before["data_sha256"] == settings["data_sha256"]:
            before["data"] = settings["data"]  # the same structures, wherever they lie
        differences = {key: _difference(key, before.get(key), settings[key]) for key in settings if key in before}
        for key in _FIXED:
            if differences.get(key):
                raise ValueError(f"{run}: was trained with {differences[key]}; use a new out= folder")
        changed = "; ".join(text for key, text in differences.items() if text and key not in _UNTOLD)
        if changed:
            print(f"protgm: {printable(run, 1000)}: goes on with other settings: {changed}", file=sys.stderr)
    return settings


def _check_init(config: TrainConfig) -> None:
    """A run's own weights are written over while it goes on: another run cannot begin with them in the same folder."""
    run, init = Path(config.out).resolve(), Path(str(config.init)).resolve()
    if init == run or run in init.parents:
        raise ValueError(f"init={config.init}: lies in out={config.out}, which is written to; use a new out= folder")


def _difference(key: str, before: Any, now: Any) -> str:
    """How a setting, or a group of them, was and is; empty where both are the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = ((f"{key}.{name}", before.get(name), now.get(name)) for name in {**before, **now})
        return "; ".join(text for pair in pairs if (text := _difference(*pair)))
    return "" if before == now else f"{key}={before}, now {key}={now}"
