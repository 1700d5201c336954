"""What changes a sample and what does not; settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from protgm.condition.guidance import Autoguidance
from protgm.layout import Layout
from protgm.lie import so3
from protgm.model import NoisyProtein
from protgm.process import ProteinProcess, State
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import Execution, SamplerSettings
from protgm.streams import Streams
from protgm.structure.frames import Frames


@pytest.mark.parametrize("oriented", [False, True])
def test_a_sample_does_not_depend_on_its_batch(small_denoiser, oriented):
    settings = SamplerSettings(steps=8, cogenerate=True)

    def frames(lengths: list[int], seeds: list[int]) -> list[torch.Tensor]:
        layout = Layout.unconditional(lengths)
        layout = replace(layout, oriented=torch.full((len(lengths),), oriented))
        made = sample_frames(small_denoiser, ProteinProcess(), layout, settings, Streams(seeds, lengths))
        return [made.frames.translations[i, :n] for i, n in enumerate(lengths)]

    together = frames([24, 17, 20], [1, 2, 3])
    alone = [frames([length], [seed])[0] for length, seed in zip([24, 17, 20], [1, 2, 3], strict=True)]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"generator": "teleport"}, "must be one of flow, jump, superposition, diffusion"),
        ({"temperature": -1.0}, "temperature=-1.0 must be a number, and not negative"),
        ({"steps": 1}, "steps=1 must be at least 2"),
        ({"jump_weight": 1.2}, "between 0 and 1"),
        ({"guidance": 0.5}, r"guidance=0\.5 must be at least 1"),
        ({"sequence_temperature": 0.0}, "sequence_temperature=0.0 must be positive"),
        ({"sequence_noise": -0.1}, "sequence_noise=-0.1 must be a number, and not negative"),
    ],
)
def test_settings_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        SamplerSettings(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"precision": "fp8"}, "precision='fp8': must be auto, bf16 or fp32"),
        ({"neighbours": 8}, "neighbours=8 must be at least 48"),
        ({"batch": 0}, "batch=0 must be at least 1"),
    ],
)
def test_how_it_is_computed_is_checked(values, message):
    with pytest.raises(ValueError, match=message):
        Execution(**values)


def test_times_of_the_evaluations_are_even():
    torch.testing.assert_close(SamplerSettings(steps=4).grid(), torch.tensor([0, 0.25, 0.5, 0.75]))


def test_guidance_goes_beyond_the_first_stage_while_it_is_early(small_denoiser):
    layout = Layout.unconditional([20])
    time = torch.full((1, 20), 0.3)
    time[0, :5] = 0.7
    frames = Frames(
        so3.random_uniform((1, 20), generator=torch.Generator().manual_seed(0)),
        torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(1)) * 9,
    )
    state = State(frames, layout.sequence, time, time, time)
    protein = NoisyProtein(
        frames=frames,
        time=time,
        concentration=ProteinProcess().concentration(time),
        sequence=layout.sequence,
        secondary=layout.secondary,
        residue_index=layout.residue_index,
        chain_index=layout.chain_index,
        mask=layout.mask,
        hotspot=layout.hotspot,
    )
    with torch.no_grad():
        prediction = small_denoiser(protein)
    assert Autoguidance(1.0, 0.5).steer(prediction, state, layout) is prediction
    aim = Autoguidance(2.0, 0.5).steer(prediction, state, layout).frames.translations
    first, last = prediction.intermediate[0].translations, prediction.frames.translations
    assert (first - last).norm(dim=-1).min() > 1e-3
    torch.testing.assert_close(aim[:, :5], last[:, :5])
    torch.testing.assert_close(aim[:, 5:], (2 * last - first)[:, 5:], atol=1e-4, rtol=1e-5)
