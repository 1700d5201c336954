"""Simulate the marginal generator: from noise frames to clean frames, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from protgm.lie.random import Source, Streams, randn
from protgm.lie.so3 import from_quaternion
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, NoisyProtein, Prediction
from protgm.outline import HEAD_START, STRIDE
from protgm.process import ProteinProcess, centre
from protgm.sample.settings import SamplerSettings
from protgm.sample.steps import guided, step_rotations, step_translations

__all__ = ["Task", "sample_frames"]

_PHASE = 1  # place of the first residue of an outline: the ends of chains are loose


@dataclass(frozen=True)
class Task:
    """What is to be generated: B proteins, padded to L residues.

    Parameters
    ----------
    mask : Tensor of bool, shape (B, L)
    residue_index, chain_index : Tensor of int64, shape (B, L)
    secondary : Tensor of int64, shape (B, L)
        Secondary structure asked for, `protgm.model.UNKNOWN_STRUCTURE` where nothing is.
    """

    mask: Tensor
    residue_index: Tensor
    chain_index: Tensor
    secondary: Tensor

    @classmethod
    def chains(cls, secondary: Sequence[Tensor]) -> Task:
        """Single chains with the secondary structure asked of each, tensors of int64 of shape (length,)."""
        size, longest = len(secondary), max(map(len, secondary))
        index = torch.arange(longest).expand(size, longest)
        labels = torch.full((size, longest), UNKNOWN_STRUCTURE)
        for row, asked in zip(labels, secondary, strict=True):
            row[: len(asked)] = asked
        mask = index < torch.tensor([len(asked) for asked in secondary])[:, None]
        return cls(mask, index, torch.zeros_like(index), labels)

    @classmethod
    def unconditional(cls, lengths: Sequence[int]) -> Task:
        """Single chains of the given lengths, nothing else asked."""
        return cls.chains([torch.full((length,), UNKNOWN_STRUCTURE) for length in lengths])

    def outline(self, phase: int) -> Task:
        """Every `STRIDE`-th residue, from place ``phase`` of each chain on."""
        parts = (self.mask, self.residue_index, self.chain_index, self.secondary)
        return Task(*(part[:, phase::STRIDE] for part in parts))


@dataclass(frozen=True)
class _State:
    """Frames on their way and the time of each residue's, shapes (B, L, 3, 3), (B, L, 3) and (B, L)."""

    rotations: Tensor
    translations: Tensor
    time: Tensor


@torch.no_grad()
def sample_frames(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    task: Task,
    settings: SamplerSettings,
    source: Source = None,
    on_step: Callable[[int, Prediction], None] | None = None,
) -> Prediction:
    """Generate frames: all at once, or an outline first, where the settings give steps to it.

    Parameters
    ----------
    model : callable
        A `protgm.model.Denoiser`, or what calls one.
    process : ProteinProcess
    task : Task
    settings : SamplerSettings
    source : torch.Generator or Streams, optional
        Where random numbers come from.
    on_step : callable, optional
        Called with the step's number (from 1) and the network's prediction of whole chains.

    Returns
    -------
    Prediction
        The network's last prediction: its frames are the result.
    """
    begin = _noise(process, task.mask, settings, source)
    if settings.outline_steps:
        outline = task.outline(_PHASE)
        thinned = source.cut(outline.mask.sum(1).tolist()) if isinstance(source, Streams) else source
        noise = _noise(process, outline.mask, settings, thinned)
        made = _walk(model, process, outline, replace(settings, steps=settings.outline_steps), noise, thinned)
        begin = _filled_in(process, begin, made, settings, thinned)
    return _walk(model, process, task, settings, begin, source, on_step)


def _walk(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    task: Task,
    settings: SamplerSettings,
    begin: _State,
    source: Source,
    on_step: Callable[[int, Prediction], None] | None = None,
) -> Prediction:
    """From a state to the end of every residue's time."""
    mask, rotations, translations = task.mask, begin.rotations, begin.translations
    guess: tuple[Tensor, Tensor] | None = None
    grid = settings.grid()
    for step, now in enumerate(grid):
        time = begin.time + (1 - begin.time) * now
        noisy = NoisyProtein(
            rotations=rotations,
            translations=translations,
            time=time,
            concentration=process.concentration(settings.rotation_time(time)),
            sequence=torch.full_like(task.residue_index, MASK_TOKEN),
            secondary=task.secondary,
            residue_index=task.residue_index,
            chain_index=task.chain_index,
            mask=mask,
        )
        prediction = guided(model(noisy, guess), time, settings)
        if on_step is not None:
            on_step(step + 1, prediction)
        if step + 1 == len(grid):
            break
        later = begin.time + (1 - begin.time) * grid[step + 1]
        translations = step_translations(process, translations, prediction, time, later, mask, settings, source)
        rotation_times = settings.rotation_time(time), settings.rotation_time(later)
        rotations = step_rotations(process, rotations, prediction, *rotation_times, settings, source)
        if settings.self_conditioning:
            guess = prediction.rotations, prediction.translations
    return prediction


def _noise(process: ProteinProcess, mask: Tensor, settings: SamplerSettings, source: Source) -> _State:
    """A draw from the priors, at time 0."""
    translations = centre(randn((*mask.shape, 3), source) * process.noise_scale * settings.noise_scale, mask)
    quaternion = torch.nn.functional.normalize(randn((*mask.shape, 4), source), dim=-1)
    rotations = torch.where(mask[..., None, None], from_quaternion(quaternion), torch.eye(3))
    return _State(rotations, translations, torch.zeros(mask.shape))


def _filled_in(
    process: ProteinProcess, noise: _State, made: Prediction, settings: SamplerSettings, source: Source
) -> _State:
    """Noise with an outline in it, at a time of its own."""
    places = slice(_PHASE, None, STRIDE)
    rotations, translations, time = noise.rotations.clone(), noise.translations.clone(), noise.time.clone()
    time[:, places] = HEAD_START
    translations[:, places] = torch.lerp(translations[:, places], made.translations, HEAD_START)
    rotation_time = settings.rotation_time(time[:, places])
    rotations[:, places] = process.rotation_path.sample(made.rotations, rotation_time, generator=source)
    return _State(rotations, translations, time)
