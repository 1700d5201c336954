"""Trained weights as one safetensors file that knows its network's settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from protgm.checks import check_path
from protgm.config import build
from protgm.device import own_defaults
from protgm.files import atomic, sha256, unwritable
from protgm.model import Denoiser, DenoiserConfig
from protgm.model.grow import with_inputs, with_stages
from protgm.process import ProteinProcess
from protgm.text import printable
from protgm.version import BUNDLED

__all__ = [
    "BUNDLED",
    "WEIGHTS",
    "load_model",
    "load_weights",
    "not_finite",
    "save_weights",
    "weights_file",
    "weights_id",
]

#: Name of the averaged weights in the folder of a run.
WEIGHTS = "weights.safetensors"


def save_weights(
    path: str | PathLike[str],
    model: Denoiser,
    card: Mapping[str, object],
    *,
    process: ProteinProcess | None = None,
    half: bool = False,
) -> None:
    """Write a model's weights, its settings and a card (JSON-able facts about its training), atomically.

    Parameters
    ----------
    process : ProteinProcess, optional
        The process that it was trained on; by default the usual one with the network's own scale.
    half : bool
        Store float16: half the size, at a relative rounding of 5e-4.

    Raises
    ------
    ValueError
        If a weight is NaN or infinite, or becomes infinite in half precision.
    OSError
        If the file cannot be written.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {name: p.detach().to(dtype).contiguous() for name, p in model.named_parameters()}
    if (name := not_finite(tensors.items())) is not None:
        raise ValueError(f"{path}: not written, weights of {name} are not finite{' in half precision' if half else ''}")
    process = process or ProteinProcess.of_scale(model.config.noise_scale)
    parts = {"model": asdict(model.config), "process": process.to_dict(), "card": dict(card)}
    metadata = {"format": "protgm-1"} | {key: json.dumps(value) for key, value in parts.items()}
    with atomic(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:  # disk full, permission lost
            raise unwritable(path, OSError(0, str(error))) from error


@own_defaults()
def load_model(path: str | PathLike[str] | None = None) -> tuple[Denoiser, ProteinProcess, dict[str, object]]:
    """The network in a file of `save_weights` in evaluation mode, its process, and its card.

    Parameters
    ----------
    path : path, optional
        The file, or the folder of a run; by default the weights that come with the package.

    Raises
    ------
    ValueError
        If the file is not there, is damaged, is not of this format, or holds weights that are not finite.
    """
    path = weights_file(path)
    tensors, metadata = _read(path)
    config, process, card = _header(metadata, len(tensors), path)
    # A network that holds nothing is compared with the file first: what a header asks for is not made unseen.
    try:
        with torch.device("meta"), _Unfilled():
            empty = Denoiser(config)
    except RuntimeError:  # sizes beyond what can be counted
        raise ValueError(f"{path}: its header does not describe the network that is in it") from None
    _check(empty, tensors, path)
    model = Denoiser(config)
    _fill(model, tensors, path)
    return model.eval(), process, card


class _Unfilled(TorchFunctionMode):
    """Parameters are not drawn: on the meta device there is nothing to fill, and torch imports its compiler for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "").endswith(("normal_", "uniform_")):  # of torch.nn.init, or of a tensor
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_weights(model: Denoiser, path: str | PathLike[str]) -> None:
    """Overwrite a model's weights with those of a file.

    Settings must agree (`ValueError` otherwise), except that a model may have more stages than the file: those begin
    as faint copies of the file's last (`protgm.model.grow`).
    """
    path = weights_file(path)
    tensors, _ = _read(path)
    _fill(model, with_stages(tensors, model.config.stages), path)


def weights_id(path: str | PathLike[str] | None = None) -> str:
    """First 12 hex digits of the SHA-256 of a weights file: what provenance records name."""
    return sha256(weights_file(path))[:12]


def weights_file(path: str | PathLike[str] | None = None) -> Path:
    """The file that weights are in: that of the package for None, of a run for its folder, or ``path`` itself.

    Raises
    ------
    ValueError
        If there is no such file, or a folder has no weights in it.
    """
    if path is not None:
        check_path("checkpoint", path)
    path = BUNDLED if path is None else Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such checkpoint")
    if not path.is_dir():
        return path
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    run = next((p for p in path.absolute().parents if (p / WEIGHTS).is_file()), None)
    hint = "" if run is None else f"; the run that it is part of has {run / WEIGHTS}"
    raise ValueError(f"{path}: a folder without {WEIGHTS} in it{hint}")


def not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Name of the first of named tensors that holds NaN or infinity; None where all are finite."""
    return next((name for name, x in tensors if x.is_floating_point() and not bool(torch.isfinite(x).all())), None)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a safetensors checkpoint, or a damaged one ({error})") from None
    if metadata.get("format") != "protgm-1":
        raise ValueError(f"{path}: a safetensors file, but not weights written by protgm")
    return with_inputs(tensors), metadata


def _header(
    metadata: Mapping[str, str], count: int, path: Path
) -> tuple[DenoiserConfig, ProteinProcess, dict[str, object]]:
    """Settings, process and card in a file of ``count`` tensors."""
    try:
        settings, card = json.loads(metadata["model"]), json.loads(metadata["card"])
        config = build(DenoiserConfig, settings)
        # Files from before the process was written down were trained on the usual one.
        usual = ProteinProcess.of_scale(config.noise_scale)
        process = ProteinProcess.from_dict(json.loads(metadata["process"])) if "process" in metadata else usual
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: its header does not describe a network ({printable(error)})") from None
    if not isinstance(card, dict) or max(config.stages * config.blocks, config.refinements) > count:
        raise ValueError(f"{path}: its header does not describe the network that is in it")
    return config, process, card


def _fill(model: Denoiser, tensors: dict[str, torch.Tensor], path: Path) -> None:
    _check(model, tensors, path)
    if (name := not_finite(tensors.items())) is not None:
        raise ValueError(
            f"{path}: weights of {name} are not finite: its training has diverged; use weights of before that"
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])


def _check(model: Denoiser, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """That a model has the tensors' names and shapes."""
    named = dict(model.named_parameters())
    for name in sorted(set(named) ^ set(tensors)):
        what = "misses" if name in named else "has an unknown"
        raise ValueError(f"{path}: {what} parameter {name}; its model settings differ from this network's")
    for name, parameter in named.items():
        if parameter.shape != tensors[name].shape:
            raise ValueError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}"
            )
