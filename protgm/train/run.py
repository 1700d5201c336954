"""A training run: its processes, its folder, and how it is asked to stop."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from protgm.files import read_json, remove_temporary, write_json
from protgm.lock import locked
from protgm.stopping import heeded
from protgm.structure.errors import printable
from protgm.train.config import TrainConfig
from protgm.train.parallel import World, launch, launch_fabric, started_by_launcher
from protgm.train.trainer import Trainer

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
        if config.with_fabric or started_by_launcher():
            # Also when asked to stop: the other processes wait for this one to agree.
            launch_fabric(run, devices=config.devices, num_nodes=config.num_nodes, strategy=config.strategy)
        elif stop.asked or not launch(run, config.processes):
            _say_stopped(config)


def _run(config: TrainConfig, world: World) -> None:
    with heeded() as stop:
        if world.any(stop.asked):
            if world.first:
                _say_stopped(config)
            return
        with _claimed(config, world):
            Trainer(config, world).run()


def _say_stopped(config: TrainConfig) -> None:
    out = printable(config.out, 1000)
    print(f"protgm: stopped before the first step; {out} is as it was, and the same command goes on", file=sys.stderr)


@contextlib.contextmanager
def _claimed(config: TrainConfig, world: World) -> Iterator[None]:
    """Hold the run's folder, which the first process does for all."""
    problem: Exception | None = None
    with contextlib.ExitStack() as held:
        if world.first:
            try:
                held.enter_context(locked(Path(config.out), "protgm train"))
                for folder in (Path(config.out), Path(config.out) / "checkpoints"):
                    remove_temporary(folder)
                _claim(config)
            except (ValueError, OSError) as error:
                problem = error
        if world.any(problem is not None):
            raise problem or SystemExit(1)  # the first process says why
        yield


def _claim(config: TrainConfig) -> None:
    """Record the settings in the run's folder, or check them against those recorded there."""
    run = Path(config.out)
    settings = json.loads(json.dumps(asdict(config)))
    path = run / "settings.json"
    if path.exists():
        before = {"optimizer": "adamw"} | read_json(path)
        for key in ("model", "seed", "optimizer"):
            if before.get(key) != settings[key]:
                raise ValueError(
                    f"{run}: was trained with {key}={before.get(key)}, now {key}={settings[key]}; use a new out= folder"
                )
    write_json(path, settings)
