"""One step of the protein's generator with a prediction held: translations, rotations and tokens, each on its path."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from protgm.condition.base import Condition, Conditions
from protgm.layout import Layout
from protgm.matching.ctmc import draw_tokens
from protgm.matching.held import gaussian_step, rotation_step
from protgm.matching.jumps import jump_or_stay
from protgm.model import MASK_TOKEN, Prediction
from protgm.process import ProteinProcess, State, superposed
from protgm.sample.settings import SamplerSettings
from protgm.streams import Source
from protgm.structure.frames import Frames, centre

__all__ = ["take_step"]

_NONE = Conditions()
#: Draws of the posterior a step, whose mean velocity the flow of rotations follows.
_DRAWS = 4


def take_step(
    process: ProteinProcess,
    layout: Layout,
    state: State,
    prediction: Prediction,
    later: Tensor,
    settings: SamplerSettings,
    source: Source = None,
    *,
    conditions: Condition = _NONE,
) -> State:
    """From the state's times to ``later``.

    Parameters
    ----------
    process : ProteinProcess
    layout : Layout
        A batch.
    state : State
    prediction : Prediction
        What the step aims at, held while it lasts.
    later : Tensor, shape (B, L)
        Time of all modalities after it; where it is no later than a residue's own, that one stays as it is.
    settings : SamplerSettings
    source : torch.Generator or Streams, optional
    conditions : Condition
        How noise lies, where they say so.
    """
    times = [torch.maximum(time, later) for time in (state.time, state.rotation_time)]
    translations = _translations(process, layout, state, prediction, times[0], settings, source, conditions)
    rotations = _rotations(process, state, prediction, times[1], settings, source)
    sequence, sequence_time = state.sequence, state.sequence_time
    if settings.cogenerate:
        sequence_time = torch.maximum(state.sequence_time, later)
        sequence = _tokens(process, layout, state, prediction, sequence_time, settings, source)
    return State(Frames(rotations, translations), sequence, times[0], times[1], sequence_time)


def _rotations(
    process: ProteinProcess,
    state: State,
    prediction: Prediction,
    later: Tensor,
    settings: SamplerSettings,
    source: Source,
) -> Tensor:
    """Rotations after the step, (B, L, 3, 3), by whatever of velocity, score and posterior was predicted."""
    path, time, posterior = process.rotations, state.rotation_time, prediction.posterior
    score = prediction.score
    if score is not None:
        score = score * (0.25 * process.concentration(time))[..., None]
    return rotation_step(
        path,
        state.frames.rotations,
        None if posterior is None else partial(posterior.draw, source),
        time,
        later,
        pull=prediction.velocity,
        score=score,
        jump=settings.jump_share,
        strength=settings.rotation_strength,
        temperature=settings.temperature,
        draws=_DRAWS,
        generator=source,
    )


def _translations(
    process: ProteinProcess,
    layout: Layout,
    state: State,
    prediction: Prediction,
    later: Tensor,
    settings: SamplerSettings,
    source: Source,
    conditions: Condition,
) -> Tensor:
    """Translations after the step, (B, L, 3): of free proteins centred, and their noise turned onto the prediction."""
    mask, oriented = layout.mask, layout.oriented[:, None, None]
    clean = prediction.frames.translations
    clean = torch.where(oriented, clean - layout.anchor, centre(clean, mask))
    here = state.frames.translations - layout.anchor
    noise = None
    if settings.translation_noise > 0:
        noise = conditions.noise(process.noise(layout, source), layout) * settings.temperature

    def settle(deviation: Tensor) -> Tensor:
        coupled = conditions.couple(deviation, clean, layout)
        if coupled is not None:
            return coupled
        return torch.where(oriented, deviation, superposed(deviation, clean, mask))

    strength = settings.translation_noise
    moved = gaussian_step(
        process.positions, here, clean, state.time, later, strength=strength, noise=noise, settle=settle
    )
    moved = torch.where(oriented, moved + layout.anchor, centre(moved, mask))
    return torch.where((later > state.time)[..., None], moved, state.frames.translations)


def _tokens(
    process: ProteinProcess,
    layout: Layout,
    state: State,
    prediction: Prediction,
    later: Tensor,
    settings: SamplerSettings,
    source: Source,
) -> Tensor:
    """Tokens after the step, (B, L): masked residues get their types one by one, some lose them again."""
    path, tokens, step = process.tokens, state.sequence, later - state.sequence_time
    clean = draw_sequence(prediction, settings.sequence_temperature, source)
    hazard = path.hazard(tokens, clean, state.sequence_time, step)
    moved = jump_or_stay(tokens, clean, hazard, generator=source)
    if settings.sequence_noise > 0:
        hazard = settings.sequence_noise * path.balance_hazard(tokens, clean, state.sequence_time, step)
        moved = jump_or_stay(moved, path.balance_move(tokens, clean, state.sequence_time), hazard, generator=source)
    return torch.where(layout.design & layout.mask, moved, tokens)


def draw_sequence(prediction: Prediction, temperature: float, source: Source = None) -> Tensor:
    """Residue types from the predicted posterior, int64 of shape (B, L)."""
    return draw_tokens(torch.softmax(prediction.sequence_logits / temperature, dim=-1), generator=source)


def complete_sequence(
    prediction: Prediction, state: State, layout: Layout, temperature: float, source: Source
) -> Tensor:
    """The state's tokens with types drawn for what is still masked and to be designed, (B, L)."""
    drawn = draw_sequence(prediction, temperature, source)
    return torch.where(layout.design & layout.mask & (state.sequence == MASK_TOKEN), drawn, state.sequence)
