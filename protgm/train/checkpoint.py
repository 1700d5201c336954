"""The state of a training run on disk: safetensors and JSON, complete or not there at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from protgm.files import read_json, sha256, write_json
from protgm.train.optim import EMA, Optimizer

__all__ = ["latest_checkpoint", "load_checkpoint", "save_checkpoint"]

_KEPT = 3
_FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors")


def save_checkpoint(run: Path, model: nn.Module, ema: EMA, optimizer: Optimizer, counters: dict[str, float]) -> Path:
    """Write ``run/checkpoints/step-N`` under a temporary name, rename it, and drop all but the last three.

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
    """
    folder = run / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{int(counters['step']):08d}"
    temporary = folder / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    parameters = {n: p.detach() for n, p in model.named_parameters()}
    moments: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state(parameter).items():
            moments[f"{name}:{key}"] = torch.as_tensor(value).clone()
    for name, tensors in zip(_FILES, (parameters, ema.state(), moments), strict=True):
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary / name)
    sums = {name: sha256(temporary / name) for name in _FILES}
    write_json(temporary / "state.json", {**counters, "ema_updates": ema.updates, "sha256": sums})
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    for old in _complete(run)[:-_KEPT]:
        shutil.rmtree(old)
    return final


def latest_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    found = _complete(run)
    return found[-1] if found else None


def load_checkpoint(folder: Path, model: nn.Module, ema: EMA, optimizer: Optimizer) -> dict[str, float]:
    """Restore a run from a folder of `save_checkpoint`; returns its counters.

    Raises
    ------
    ValueError
        If a file's checksum is wrong, or its parameters are not those of the model.
    """
    state = read_json(folder / "state.json")
    for name, expected in state.pop("sha256").items():
        if sha256(folder / name) != expected:
            raise ValueError(f"{folder / name}: damaged (checksum differs); delete {folder} to use the one before it")
    parameters, averaged, moments = (load_file(folder / name) for name in _FILES)
    named = dict(model.named_parameters())
    if set(named) != set(parameters) or any(named[n].shape != parameters[n].shape for n in named):
        raise ValueError(f"{folder}: was trained with other model settings; use a new out= folder")
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(parameters[name])
            ema.shadow[name].copy_(averaged[name])
    for name, parameter in named.items():
        entries = {k.rsplit(":", 1)[1]: v for k, v in moments.items() if k.rsplit(":", 1)[0] == name}
        if entries:
            optimizer.restore(parameter, entries)
    ema.updates = int(state.pop("ema_updates"))
    return state


def _complete(run: Path) -> list[Path]:
    folders = sorted((run / "checkpoints").glob("step-*"))
    return [f for f in folders if (f / "state.json").is_file()]
