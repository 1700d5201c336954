"""Simulate the marginal generator: from noise frames to clean frames, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.lie.random import Source, randn
from protgm.lie.so3 import from_quaternion
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, NoisyProtein, Prediction
from protgm.process import ProteinProcess, centre
from protgm.sample.settings import SamplerSettings
from protgm.sample.steps import step_rotations, step_translations

__all__ = ["Task", "sample_frames"]


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


@torch.no_grad()
def sample_frames(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    task: Task,
    settings: SamplerSettings,
    source: Source = None,
    on_step: Callable[[int, Prediction], None] | None = None,
) -> Prediction:
    """Generate frames.

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
        Called with the step's number (from 1) and the network's prediction.

    Returns
    -------
    Prediction
        The network's last prediction: its frames are the result.
    """
    mask = task.mask
    translations = centre(randn((*mask.shape, 3), source) * process.noise_scale * settings.noise_scale, mask)
    rotations = _uniform_rotations(mask, source)
    guess: tuple[Tensor, Tensor] | None = None
    grid = torch.linspace(0.0, 1.0, settings.steps + 1)[:-1]
    for step, now in enumerate(grid):
        time = now.expand(mask.shape)
        rotation_time = 1 - (1 - time) ** settings.rotation_power
        noisy = NoisyProtein(
            rotations=rotations,
            translations=translations,
            time=time,
            concentration=process.concentration(rotation_time),
            sequence=torch.full_like(task.residue_index, MASK_TOKEN),
            secondary=task.secondary,
            residue_index=task.residue_index,
            chain_index=task.chain_index,
            mask=mask,
        )
        prediction = model(noisy, guess)
        if on_step is not None:
            on_step(step + 1, prediction)
        if step + 1 == len(grid):
            break
        later = grid[step + 1].expand(mask.shape)
        translations = step_translations(process, translations, prediction, time, later, mask, settings, source)
        later_rotation = 1 - (1 - later) ** settings.rotation_power
        rotations = step_rotations(process, rotations, prediction, rotation_time, later_rotation, settings, source)
        if settings.self_conditioning:
            guess = prediction.rotations, prediction.translations
    return prediction


def _uniform_rotations(mask: Tensor, source: Source) -> Tensor:
    """Uniform rotations, shape (B, L, 3, 3): normalised Gaussian quaternions."""
    quaternion = torch.nn.functional.normalize(randn((*mask.shape, 4), source), dim=-1)
    return torch.where(mask[..., None, None], from_quaternion(quaternion), torch.eye(3))
