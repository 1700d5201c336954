"""The denoiser: equivariance, independence of batch and padding, known residues, ablations."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from protgm.lie import so3
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE, Denoiser, DenoiserConfig, NoisyProtein, Prediction
from protgm.structure.frames import Frames


def noisy_protein(size: int = 3, length: int = 21, *, seed: int = 0) -> NoisyProtein:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    mask = torch.ones(size, length, dtype=torch.bool)
    mask[0, -4:] = False
    index = torch.arange(length).expand(size, length).clone()
    index[1, 10:] += 7  # a chain break
    chain = torch.zeros_like(index)
    chain[2, 12:] = 1
    return NoisyProtein(
        frames=Frames(
            so3.random_uniform((size, length), generator=generator),
            torch.randn(size, length, 3, generator=generator) * 8,
        ),
        time=uniform(size, length),
        concentration=100 * uniform(size, length) ** 3,
        sequence=torch.randint(0, MASK_TOKEN + 1, (size, length), generator=generator),
        secondary=torch.randint(0, UNKNOWN_STRUCTURE + 1, (size, length), generator=generator),
        residue_index=index,
        chain_index=chain,
        mask=mask,
        hotspot=torch.zeros_like(mask),
    )


def select(protein: NoisyProtein, rows: slice, residues: slice = slice(None)) -> NoisyProtein:
    return NoisyProtein(**{f.name: getattr(protein, f.name)[rows, residues] for f in fields(protein)})


def guess_for(protein: NoisyProtein) -> Frames:
    return Frames(protein.frames.rotations.roll(1, 1), protein.frames.translations * 0.8)


def outputs(prediction: Prediction) -> dict[str, torch.Tensor]:
    return {
        "rotations": prediction.frames.rotations,
        "translations": prediction.frames.translations,
        "locations": prediction.posterior.rotations,
        "logits": prediction.posterior.logits,
        "concentration": prediction.posterior.concentration.log(),
        "sequence": prediction.sequence_logits,
        "confidence": prediction.confidence,
    }


@pytest.mark.parametrize("shift", [0.0, 30.0])
@pytest.mark.parametrize("conditioned", [False, True])
def test_moving_the_input_moves_the_frames_and_nothing_else(small_denoiser, shift, conditioned):
    protein = noisy_protein()
    turn = so3.random_uniform((3, 1), generator=torch.Generator().manual_seed(5))
    move = shift * torch.tensor([[[1.0, -0.5, 0.3]]])

    def place(frames: Frames) -> Frames:
        return frames.moved(turn, move)

    guess = guess_for(protein) if conditioned else None
    with torch.no_grad():
        one = outputs(small_denoiser(protein, guess))
        moved = replace(protein, frames=place(protein.frames))
        two = outputs(small_denoiser(moved, None if guess is None else place(guess)))
    placed = place(Frames(one["rotations"], one["translations"]))
    one["rotations"], one["translations"] = placed.rotations, placed.translations
    one["locations"] = turn[:, :, None] @ one["locations"]
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-3, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    # The network does move frames: the test would pass with an identity otherwise.
    assert (one["translations"] - moved.frames.translations).norm(dim=-1).mean() > 1


def test_a_mirror_image_is_another_protein(small_denoiser):
    protein = noisy_protein()
    flip = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    frames = Frames(flip @ protein.frames.rotations @ flip, protein.frames.translations @ flip)
    mirrored = replace(protein, frames=frames)
    with torch.no_grad():
        difference = small_denoiser(protein).sequence_logits - small_denoiser(mirrored).sequence_logits
    assert difference.abs().mean() > 0.01


def test_neither_batch_nor_padding_matters(small_denoiser):
    protein = noisy_protein()
    with torch.no_grad():
        together = outputs(small_denoiser(protein, guess_for(protein)))
        alone = outputs(small_denoiser(select(protein, slice(0, 1), slice(0, 17)), guess_for(protein)[:1, :17]))
    for name, value in alone.items():
        torch.testing.assert_close(together[name][:1, :17], value, atol=2e-4, rtol=1e-4)


def test_known_residues_stay_where_they_are(small_denoiser):
    protein = noisy_protein()
    time = protein.time.clone()
    time[:, 3:9] = 1.0
    with torch.no_grad():
        predicted = small_denoiser(replace(protein, time=time)).frames
    here = protein.frames
    torch.testing.assert_close(predicted.translations[:, 3:9], here.translations[:, 3:9], atol=1e-5, rtol=0)
    torch.testing.assert_close(predicted.rotations[:, 3:9], here.rotations[:, 3:9], atol=1e-5, rtol=0)
    assert (predicted.translations - here.translations)[:, 10:].norm(dim=-1).min() > 1e-3


def test_a_guess_that_is_not_listened_to_changes_nothing(small_denoiser):
    protein = noisy_protein()
    listen = torch.tensor([True, False, False])
    with torch.no_grad():
        without = outputs(small_denoiser(protein))
        partly = outputs(small_denoiser(protein, guess_for(protein), listen))
    for name in without:
        torch.testing.assert_close(partly[name][1:], without[name][1:])
    assert (partly["translations"] - without["translations"])[0].abs().max() > 1e-3


@pytest.mark.parametrize("switch", ["use_sequence", "use_secondary_structure"])
def test_inputs_can_be_ablated(small_config, switch):
    protein = noisy_protein()
    changed = (
        replace(protein, sequence=(protein.sequence + 1) % 20)
        if switch == "use_sequence"
        else replace(protein, secondary=(protein.secondary + 1) % 4)
    )
    for on in (True, False):
        torch.manual_seed(0)
        denoiser = Denoiser(replace(small_config, **{switch: on})).eval()
        with torch.no_grad():
            difference = denoiser(protein).sequence_logits - denoiser(changed).sequence_logits
        assert bool(difference.abs().max() > 1e-4) == on


def test_proper_rotations_and_finite_gradients_at_the_ends_of_time(small_denoiser):
    protein = noisy_protein()
    for time, concentration in ((0.0, 0.0), (1 - 1e-6, 1e5)):
        at = replace(
            protein,
            time=torch.full_like(protein.time, time),
            concentration=torch.full_like(protein.time, concentration),
        )
        prediction = small_denoiser(at)
        identity = torch.eye(3).expand(3, 21, 3, 3)
        gram = prediction.frames.rotations.mT @ prediction.frames.rotations
        torch.testing.assert_close(gram.detach(), identity, atol=1e-5, rtol=0)
        loss = sum(value.square().mean() for value in outputs(prediction).values())
        gradients = torch.autograd.grad(loss, list(small_denoiser.parameters()), allow_unused=True)
        assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"model\.width=30 must be a multiple of model\.heads=8"):
        DenoiserConfig(width=30)
    with pytest.raises(ValueError, match=r"model\.stages=0 must be at least 1"):
        DenoiserConfig(stages=0)
