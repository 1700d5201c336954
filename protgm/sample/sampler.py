"""From noise to residue frames: one evaluation of the network per step, batched, under any conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from protgm.condition.base import Condition, Conditions
from protgm.condition.guidance import Autoguidance
from protgm.layout import Layout
from protgm.model import Prediction
from protgm.process import ProteinProcess, State
from protgm.sample.settings import SamplerSettings
from protgm.sample.steps import complete_sequence, take_step
from protgm.streams import Source
from protgm.structure.frames import Frames

__all__ = ["Sampled", "sample_frames"]

OnStep = Callable[[int, State, Prediction], None]


@dataclass(frozen=True)
class Sampled:
    """Where a walk ended.

    Parameters
    ----------
    prediction : Prediction
        The last one, as steered: its frames are the result.
    sequence : Tensor of int64, shape (B, L)
        Residue types that were given or found, the mask elsewhere.
    """

    prediction: Prediction
    sequence: Tensor

    @property
    def frames(self) -> Frames:
        """The result, (B, L)."""
        return self.prediction.frames


@torch.no_grad()
def sample_frames(
    model: Callable[..., Prediction],
    process: ProteinProcess,
    layout: Layout,
    settings: SamplerSettings,
    source: Source = None,
    *,
    conditions: Condition | None = None,
    on_step: OnStep | None = None,
) -> Sampled:
    """Generate frames.

    Parameters
    ----------
    model : callable
        A `protgm.model.Denoiser`, or what calls one.
    process : ProteinProcess
    layout : Layout
        A batch, as the conditions have laid it out.
    settings : SamplerSettings
    source : torch.Generator or Streams, optional
        Where random numbers come from.
    conditions : Condition, optional
    on_step : callable, optional
        Called with the step's number (from 1), the state that the network saw, and what it predicted, as steered.
    """
    both = Autoguidance(settings.guidance, settings.guidance_until) & (conditions or Conditions())
    walk = _Walk(both.ask(model, layout), process, layout, settings, both, source, on_step)
    state, guess = both.start(process.begin(layout, source), layout, source), None
    # Residues that start on the way wait for the others: what moves none is not evaluated.
    grid = settings.grid()
    for step, later in enumerate(grid[1:]):
        if not walk.moves(state, later):
            continue
        aim = walk.predict(state, guess, step + 1)
        until = later.expand(layout.mask.shape)
        state = take_step(process, layout, state, aim, until, settings, source, conditions=both)
        state = both.constrain(state, layout)
        guess = aim.frames
    last = walk.predict(state, guess, settings.steps)
    sequence = state.sequence
    if settings.cogenerate:
        sequence = complete_sequence(last, state, layout, settings.sequence_temperature, source)
    # What holds after every step holds at the end.
    end = both.constrain(replace(state, frames=last.frames, sequence=sequence), layout)
    return Sampled(replace(last, frames=end.frames), end.sequence)


@dataclass(frozen=True)
class _Walk:
    """What stays the same from step to step."""

    model: Callable[..., Prediction]
    process: ProteinProcess
    layout: Layout
    settings: SamplerSettings
    conditions: Condition
    source: Source
    on_step: OnStep | None

    def moves(self, state: State, later: Tensor) -> bool:
        """Whether anything is to move until then."""
        waits = (state.time < later) | (state.rotation_time < later)
        if self.settings.cogenerate:
            waits = waits | (self.layout.design & (state.sequence_time < later))
        return bool((waits & self.layout.mask).any())

    def predict(self, state: State, guess: Frames | None, step: int) -> Prediction:
        """What the network makes of a state, as the conditions steer it."""
        layout = self.layout
        noisy = self.process.seen(state, layout)
        prediction = self.model(self.conditions.show(noisy, layout), guess)
        prediction = self.conditions.steer(prediction, state, layout)
        # A network computes in other units: what is known comes back rounded.
        prediction = replace(prediction, frames=layout.frames.where(layout.known, prediction.frames))
        if self.on_step is not None:
            self.on_step(step, state, prediction)
        return prediction
