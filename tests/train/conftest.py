"""A short run of a small network."""

from __future__ import annotations

import pytest

from protgm.train import TrainConfig
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
