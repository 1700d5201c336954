"""A short run of a small network, and what it left."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from protgm.train import TrainConfig
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


@pytest.fixture
def curve() -> Callable[[str], list[tuple[int, float]]]:
    """Steps and losses of the run in a folder."""

    def read(folder: str) -> list[tuple[int, float]]:
        with open(Path(folder) / "train.csv", newline="") as file:
            return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]

    return read


@pytest.fixture
def weights() -> Callable[[str], dict[str, torch.Tensor]]:
    """The weights of the last checkpoint of the run in a folder."""

    def read(folder: str) -> dict[str, torch.Tensor]:
        checkpoint = latest_checkpoint(Path(folder))
        assert checkpoint is not None
        # Copies: what is loaded is a view of the file, which some tests damage.
        return {name: tensor.clone() for name, tensor in load_file(checkpoint / "model.safetensors").items()}

    return read
