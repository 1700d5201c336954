"""What a run is judged by while it goes on: validation losses, and generated samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from protgm.data.batches import EpochSampler
from protgm.data.dataset import Dataset
from protgm.layout import Layout
from protgm.made import write_list
from protgm.metrics.geometry import geometry
from protgm.model import Prediction
from protgm.process import ProteinProcess
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import SamplerSettings
from protgm.streams import Streams
from protgm.structure import Backbone
from protgm.train.config import TrainConfig
from protgm.train.corrupt import corrupt
from protgm.train.losses import denoising_losses, total_loss

__all__ = ["sample_geometry", "validation_losses"]

_FIGURES = ("cn_ok", "trans", "rama_favoured", "ca_clashes", "clashes", "rg_ratio", "helix", "strand")


def validation_losses(
    model: Callable[..., Prediction], process: ProteinProcess, config: TrainConfig
) -> dict[str, float]:
    """Mean loss terms over the validation split, the same noise every time.

    Raises
    ------
    DatasetError
        If the dataset has no validation split.
    """
    sampler = EpochSampler(
        Dataset.open(config.data, split="val"),
        tokens=4 * config.tokens,
        min_length=config.min_length,
        max_length=config.max_length,
    )
    generator = torch.Generator().manual_seed(0)
    rows = []
    for batch in sampler.epoch(0):
        noised = corrupt(batch, process, config.corruption, generator)
        terms = denoising_losses(model(noised.protein), noised, divergence=config.divergence)
        rows.append([*terms.values(), total_loss(terms, config.loss)])
    means = torch.tensor(rows, dtype=torch.float64).mean(0)
    return dict(zip((*terms, "loss"), means.tolist(), strict=True))


def sample_geometry(
    model: Callable[..., Prediction], process: ProteinProcess, config: TrainConfig, folder: Path | None = None
) -> dict[str, float]:
    """Generate a few proteins from fixed seeds and average their geometry; the latest are kept in ``folder``."""
    lengths = [length for length in config.sample_lengths for _ in range(config.sample_num)]
    layout = Layout.unconditional(lengths)
    source = Streams(range(len(lengths)), lengths)
    settings = SamplerSettings.fitting(config.model, steps=config.sample_steps)
    frames = sample_frames(model, process, layout, settings, source).frames
    figures = []
    for i, length in enumerate(lengths):
        atoms = frames[i, :length].to_atoms()
        backbone = Backbone.from_coords(atoms.float().numpy(), name=f"{length}_{i}")
        if folder is not None:
            folder.mkdir(exist_ok=True)
            backbone.to_pdb(folder / f"{backbone.name}.pdb")
        report = geometry(backbone)
        figures.append([getattr(report, name) for name in _FIGURES])
    if folder is not None:
        write_list(folder / "samples.json", [f"{length}_{i}.pdb" for i, length in enumerate(lengths)])
    # A figure that no sample has (omega of a chain without a bond) stays NaN.
    columns = [column[np.isfinite(column)] for column in np.array(figures).T]
    means = [float(column.mean()) if column.size else math.nan for column in columns]
    return dict(zip(_FIGURES, means, strict=True))
