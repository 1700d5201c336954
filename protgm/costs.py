"""What a step of training and a protein cost on this machine, by a few seconds of measurement."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from protgm.data.batches import Batch
from protgm.device import bfloat16_is_fast
from protgm.layout import Layout
from protgm.lie import so3
from protgm.model import Denoiser
from protgm.process import ProteinProcess
from protgm.sample.generate import load
from protgm.sample.settings import SamplerSettings
from protgm.streams import Streams
from protgm.structure.frames import Frames
from protgm.train.config import TrainConfig
from protgm.train.corrupt import corrupt
from protgm.train.losses import denoising_losses, total_loss
from protgm.train.optim import EMA, descend, make_optimizer

__all__ = ["sampling_seconds", "step_seconds"]

_LENGTH = 64


def step_seconds(config: TrainConfig | None = None) -> tuple[float, int]:
    """Seconds of a training step of one process on the processor, and the residues of its batch.

    Without self-conditioning, which shows the network its own prediction in half of the steps by default.

    Parameters
    ----------
    config : TrainConfig, optional
        The default settings if not given; its data are not read.
    """
    config = config or TrainConfig(data="", out="", steps=1)
    count = max(1, config.tokens // _LENGTH)
    batch = _batch(count, config.model.noise_scale)
    process = ProteinProcess.of_scale(config.model.noise_scale)
    model = Denoiser(config.model)
    optimizer = make_optimizer(model, config.optimizer, config.weight_decay)
    average = EMA(model, config.ema)
    half = config.precision == "bf16" or (config.precision == "auto" and bfloat16_is_fast())

    def step(seed: int) -> float:
        begin = time.perf_counter()
        source = Streams([seed * count + place for place in range(count)], [_LENGTH] * count)
        noised = corrupt(batch, process, config.corruption, source)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            prediction = model(noised.protein)
        loss = total_loss(denoising_losses(prediction, noised), config.loss)
        descend(loss, model, optimizer, average, 1e-4, config.clip)
        return time.perf_counter() - begin

    return min(step(seed) for seed in range(2)), count * _LENGTH


def sampling_seconds(length: int, settings: SamplerSettings | None = None) -> float:
    """Seconds that a protein takes on the processor with the weights of the package, relaxation included.

    Measured on a few steps, of which each takes as long as any other.
    """
    settings = settings or SamplerSettings()
    model = load(device="cpu")

    def seconds(steps: int, refine: bool) -> float:
        few = replace(settings, steps=steps)
        begin = time.perf_counter()
        model.sample(length=length, num=1, settings=few, refine=refine, secondary=None)
        return time.perf_counter() - begin

    seconds(2, False)
    bare = seconds(2, False)
    step = (seconds(6, False) - bare) / 4
    return max(0.0, bare + step * (settings.steps - 2)) + max(0.0, seconds(2, True) - bare)


def _batch(count: int, scale: float) -> Batch:
    """Chains of random frames: what they are like takes no time."""
    layout = Layout.unconditional([_LENGTH] * count)
    generator = torch.Generator().manual_seed(0)
    noise = ProteinProcess.of_scale(scale).noise(layout, generator)
    frames = Frames(so3.random_uniform((count, _LENGTH), generator=generator), noise)
    nothing = torch.zeros_like(layout.sequence)
    return Batch(
        frames=frames,
        mask=layout.mask,
        sequence=nothing,
        secondary=nothing,
        residue_index=layout.residue_index,
        chain_index=layout.chain_index,
        names=tuple(f"chain{i}" for i in range(count)),
    )
