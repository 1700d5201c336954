"""The state of a training run on disk: safetensors and JSON, complete or not there at all."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from protgm.files import fsync, read_json, sha256, unwritable, write_json
from protgm.train.optim import EMA, Optimizer
from protgm.weights import not_finite

__all__ = ["BEST", "Damaged", "best", "latest_checkpoint", "load_checkpoint", "note_best", "resume", "save_checkpoint"]

_KEPT = 3
#: In a run's folder: the step with the lowest validation loss so far, and that loss.
BEST = "best.json"
_FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors")


class Damaged(ValueError):
    """A checkpoint that is not what was written."""


def save_checkpoint(run: Path, model: nn.Module, ema: EMA, optimizer: Optimizer, counters: dict[str, float]) -> Path:
    """Write ``run/checkpoints/step-N`` under a temporary name, rename it, and drop all but the last three and the best.

    Parameters
    ----------
    run : Path
    model, ema, optimizer
        What to save. Optimizer moments are stored under the parameters' names.
    counters : dict
        ``step``, ``epoch``, ``batch``, ``seconds``, ``samples``; JSON values.

    Returns
    -------
    Path
        The folder written.

    Raises
    ------
    OSError
        If it cannot be written; the checkpoints that are there stay.
    """
    parameters = {n: p.detach() for n, p in model.named_parameters()}
    moments: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state(parameter).items():
            moments[f"{name}:{key}"] = torch.as_tensor(value).clone()
    folder = run / "checkpoints"
    final = _folder(run, int(counters["step"]))
    temporary = folder / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        sums = {}
        for name, tensors in zip(_FILES, (parameters, ema.state(), moments), strict=True):
            save_file({k: v.contiguous() for k, v in tensors.items()}, temporary / name)
            fsync(temporary / name)
            sums[name] = sha256(temporary / name)
        write_json(temporary / "state.json", {**counters, "ema_updates": ema.updates, "sha256": sums})
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        fsync(folder)
    except (OSError, SafetensorError) as error:  # disk full, permission lost
        shutil.rmtree(temporary, ignore_errors=True)
        raise unwritable(final, error if isinstance(error, OSError) else OSError(0, str(error))) from error
    # What lies beyond this step was damaged, or it would have been gone on from.
    before = [other for other in _complete(run) if other <= final]
    kept = {*before[-_KEPT:], _folder(run, best(run)[0])}
    for other in _complete(run):
        if other not in kept:
            shutil.rmtree(other, ignore_errors=True)
    return final


def best(run: Path) -> tuple[int, float]:
    """Step and validation loss of the checkpoint that was validated best; (-1, inf) where there is none."""
    try:
        found = read_json(run / BEST)
        return int(found["step"]), float(found["loss"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1, math.inf


def note_best(run: Path, step: int, loss: float) -> None:
    """Keep the checkpoint of a step, which there must be, until another one is validated better."""
    write_json(run / BEST, {"step": step, "loss": loss})


def latest_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    found = _complete(run)
    return found[-1] if found else None


def load_checkpoint(folder: Path, model: nn.Module, ema: EMA, optimizer: Optimizer) -> dict[str, float]:
    """Restore a run from a folder of `save_checkpoint`; returns its counters.

    Raises
    ------
    Damaged
        If a file is missing, its checksum is wrong, or its weights are not finite.
    ValueError
        If its parameters are not those of the model.
    """
    state = _verified(folder)
    parameters, averaged, moments = (load_file(folder / name) for name in _FILES)
    named = dict(model.named_parameters())
    if set(named) != set(parameters) or any(named[n].shape != parameters[n].shape for n in named):
        raise ValueError(f"{folder}: was trained with other model settings; use a new out= folder")
    if (name := not_finite([*parameters.items(), *averaged.items()])) is not None:
        raise Damaged(f"{folder}: weights of {name} are not finite")
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(parameters[name])
            ema.shadow[name].copy_(averaged[name])
    for name, parameter in named.items():
        entries = {k.rsplit(":", 1)[1]: v for k, v in moments.items() if k.rsplit(":", 1)[0] == name}
        if entries:
            optimizer.restore(parameter, {key: value.to(parameter.device) for key, value in entries.items()})
    ema.updates = int(state.pop("ema_updates"))
    return state


def resume(
    run: Path, model: nn.Module, ema: EMA, optimizer: Optimizer, tell: Callable[[str], None]
) -> dict[str, float] | None:
    """Restore the newest checkpoint of a run that is sound; None where there is no checkpoint.

    Parameters
    ----------
    tell : callable
        Gets a line for every damaged checkpoint that is passed over.

    Raises
    ------
    ValueError
        If all of them are damaged, or the parameters are not those of the model.
    """
    found = _complete(run)
    for folder in reversed(found):
        try:
            return load_checkpoint(folder, model, ema, optimizer)
        except Damaged as error:
            tell(f"{error}; going on from the one before it")
    if found:
        raise ValueError(f"{run / 'checkpoints'}: all checkpoints are damaged; delete that folder to start again")
    return None


def _verified(folder: Path) -> dict[str, Any]:
    """The counters of a checkpoint, once its files have been compared with their checksums."""
    try:
        state = read_json(folder / "state.json")
        sums = state.pop("sha256")
        for name in _FILES:
            if sha256(folder / name) != sums[name]:
                raise Damaged(f"{folder / name}: damaged (checksum differs)")
        numbers = all(isinstance(value, int | float) for value in state.values())
        if not (numbers and {"step", "epoch", "batch", "ema_updates"} <= set(state)):
            raise Damaged(f"{folder / 'state.json'}: damaged (counters are missing)")
    except Damaged:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{folder}: damaged ({type(error).__name__})") from None
    return state


def _folder(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def _complete(run: Path) -> list[Path]:
    folders = sorted((run / "checkpoints").glob("step-*"))
    return [f for f in folders if (f / "state.json").is_file()]
