"""Simulate the marginal generator: from noise frames to clean frames, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from protgm.lie.random import Source, Streams, randn
from protgm.lie.so3 import from_quaternion
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, NoisyProtein, Prediction
from protgm.process import ProteinProcess, centre
from protgm.sample.settings import SamplerSettings
from protgm.sample.steps import guided, step_rotations, step_translations
from protgm.seeds import mix

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


@dataclass(frozen=True)
class _Seen:
    """What the network made of a state: frames to aim at, shown to it again, and its confidence (B, L) in them."""

    rotations: Tensor
    translations: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class _State:
    """Frames at one time, (B, L, 3, 3) and (B, L, 3), and what was seen one step before."""

    rotations: Tensor
    translations: Tensor
    seen: _Seen | None = None

    def or_better(self, other: _State, mask: Tensor) -> _State:
        """For each protein the state of higher mean confidence: this one or the other."""
        if self.seen is None or other.seen is None:
            return self
        wins = ((other.seen.confidence - self.seen.confidence) * mask).sum(1) > 0

        def pick(mine: Tensor, others: Tensor) -> Tensor:
            return torch.where(wins.view(-1, *[1] * (mine.ndim - 1)), others, mine)

        return _State(
            pick(self.rotations, other.rotations),
            pick(self.translations, other.translations),
            _Seen(
                pick(self.seen.rotations, other.seen.rotations),
                pick(self.seen.translations, other.seen.translations),
                pick(self.seen.confidence, other.seen.confidence),
            ),
        )


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
        Called with the step's number (from 1) and the network's prediction; the first steps come again with every
        candidate.

    Returns
    -------
    Prediction
        The network's last prediction: its frames are the result.
    """
    walk = _Walk(model, process, task, settings, source, on_step)
    fork = settings.fork()
    state = walk.steps(walk.begin(), 0, fork)
    for number in range(1, settings.candidates):
        branch = replace(walk, source=_branch(source, number))
        state = state.or_better(branch.steps(branch.begin(), 0, fork), task.mask)
    last = settings.steps - 1
    return walk.predict(walk.steps(state, fork, last), last)


def _branch(source: Source, number: int) -> Source:
    """Where a candidate's random numbers come from: other streams for the same proteins, the same ones each time."""
    if isinstance(source, Streams):
        return Streams([mix(seed, number) for seed in source.seeds], source.lengths)
    return source


@dataclass(frozen=True)
class _Walk:
    """The steps of a simulation, by number: step n begins at the n-th time of the settings' grid."""

    model: Callable[..., Prediction]
    process: ProteinProcess
    task: Task
    settings: SamplerSettings
    source: Source
    on_step: Callable[[int, Prediction], None] | None

    def begin(self) -> _State:
        """A draw from the priors."""
        mask = self.task.mask
        noise = randn((*mask.shape, 3), self.source) * self.process.noise_scale * self.settings.noise_scale
        quaternion = torch.nn.functional.normalize(randn((*mask.shape, 4), self.source), dim=-1)
        rotations = torch.where(mask[..., None, None], from_quaternion(quaternion), torch.eye(3))
        return _State(rotations, centre(noise, mask))

    def steps(self, state: _State, first: int, last: int) -> _State:
        """Take the steps from ``first`` to before ``last``."""
        for step in range(first, last):
            state = self.step(state, step)
        return state

    def step(self, state: _State, step: int) -> _State:
        """Along the generator that the network predicts, to the time of the next step."""
        settings, mask = self.settings, self.task.mask
        now, later = self.time(step), self.time(step + 1)
        aim = guided(self.predict(state, step), now, settings)
        translations = step_translations(self.process, state.translations, aim, now, later, mask, settings, self.source)
        times = settings.rotation_time(now), settings.rotation_time(later)
        rotations = step_rotations(self.process, state.rotations, aim, *times, settings, self.source)
        return _State(rotations, translations, _Seen(aim.rotations, aim.translations, aim.confidence))

    def predict(self, state: _State, step: int) -> Prediction:
        """What the network makes of a state."""
        task, time = self.task, self.time(step)
        noisy = NoisyProtein(
            rotations=state.rotations,
            translations=state.translations,
            time=time,
            concentration=self.process.concentration(self.settings.rotation_time(time)),
            sequence=torch.full_like(task.residue_index, MASK_TOKEN),
            secondary=task.secondary,
            residue_index=task.residue_index,
            chain_index=task.chain_index,
            mask=task.mask,
            hotspot=torch.zeros_like(task.mask),
        )
        seen = state.seen if self.settings.self_conditioning else None
        prediction = self.model(noisy, None if seen is None else (seen.rotations, seen.translations))
        if self.on_step is not None:
            self.on_step(step + 1, prediction)
        return prediction

    def time(self, step: int) -> Tensor:
        """Time of a step for every residue, (B, L)."""
        return self.settings.grid()[step].expand(self.task.mask.shape)
