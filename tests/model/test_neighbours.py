"""The sparse mode: who is seen, agreement with the dense mode, padding, equivariance, memory that grows linearly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from protgm.lie import so3
from protgm.model import UNKNOWN_STRUCTURE, NoisyProtein, Prediction
from protgm.model.features import pair_features, relation_features
from protgm.model.neighbours import choose_edges, dot, mix, take
from protgm.structure.frames import Frames


def random_walk(size: int = 2, length: int = 150, *, padding: int = 30, seed: int = 0) -> NoisyProtein:
    """Chains of CA atoms 3.8 Angstrom apart; the first is shorter, the last is two chains."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.nn.functional.normalize(torch.randn(size, length, 3, generator=generator), dim=-1)
    mask = torch.ones(size, length, dtype=torch.bool)
    mask[0, length - padding :] = False
    index = torch.arange(length).expand(size, length)
    return NoisyProtein(
        frames=Frames(so3.random_uniform((size, length), generator=generator), 3.8 * steps.cumsum(1)),
        time=torch.full((size, length), 0.5),
        concentration=torch.full((size, length), 20.0),
        sequence=torch.randint(0, 20, (size, length), generator=generator),
        secondary=torch.full((size, length), UNKNOWN_STRUCTURE),
        residue_index=index,
        chain_index=(index >= 70).long() * (torch.arange(size) == size - 1)[:, None],
        mask=mask,
        hotspot=torch.zeros_like(mask),
    )


def guess_for(protein: NoisyProtein) -> Frames:
    return Frames(protein.frames.rotations.roll(1, 1), protein.frames.translations.roll(3, 1) * 0.8)


def outputs(prediction: Prediction) -> dict[str, torch.Tensor]:
    return {
        "rotations": prediction.frames.rotations,
        "translations": prediction.frames.translations,
        "locations": prediction.posterior.rotations,
        "sequence": prediction.sequence_logits,
        "confidence": prediction.confidence,
    }


def test_chosen_are_the_chain_neighbours_some_spread_over_the_chain_and_the_nearest_in_space():
    protein = random_walk(padding=40)
    edges = choose_edges([(protein.frames.translations, None)], protein.mask, 50)
    assert edges.shape == (2, 150, 50)
    for protein_number, length, stride in ((0, 110, 5), (1, 150, 6)):
        distance = torch.cdist(protein.frames.translations[protein_number], protein.frames.translations[protein_number])
        for i in (0, 37, length - 1):
            seen = edges[protein_number, i].tolist()
            assert seen == sorted(set(seen))
            always = {j for j in range(length) if abs(i - j) <= 8 or (i - j) % stride == 0}
            nearest = [j for j in distance[i, :length].argsort().tolist() if j not in always]
            assert len(always) < 45
            assert set(seen) == always | set(nearest[: 50 - len(always)])


def test_a_guess_that_is_heeded_makes_neighbours_too():
    protein = random_walk(padding=0)
    other = protein.frames.translations.roll(60, 1)
    place = (protein.frames.translations, None)
    both = choose_edges([place, (other, torch.tensor([True, False]))], protein.mask, 40)
    one = choose_edges([place], protein.mask, 40)
    assert torch.equal(both[1], one[1])
    assert not torch.equal(both[0], one[0])


def test_pair_functions_agree_with_picking_from_all_pairs():
    protein = random_walk()
    edges = choose_edges([(protein.frames.translations, None)], protein.mask, 50)

    def picked(everything: torch.Tensor) -> torch.Tensor:
        return torch.take_along_dim(everything, edges[:, None], dim=3)

    frames = protein.frames.rotations, protein.frames.translations * 0.1
    # All pairs at once go through differences of large products, which shows where a residue meets itself.
    for some, everything in zip(pair_features(*frames, edges), pair_features(*frames), strict=True):
        torch.testing.assert_close(some, picked(everything), atol=2e-3, rtol=1e-4)
    places = protein.residue_index, protein.chain_index
    assert torch.equal(relation_features(*places, edges), picked(relation_features(*places)))
    query, key = torch.randn(2, 2, 150, 4, 16, generator=torch.Generator().manual_seed(0)).unbind()
    products = picked(dot(query, key, None))
    torch.testing.assert_close(dot(query, key, edges), products, atol=1e-5, rtol=1e-5)
    weights = torch.rand(2, 4, 150, 50, generator=torch.Generator().manual_seed(1))
    slow = torch.einsum("bhlk,blkhd->blhd", weights, take(key, edges))
    torch.testing.assert_close(mix(weights, key, edges), slow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("conditioned", [False, True])
def test_equal_to_the_dense_mode_where_every_residue_is_seen(small_denoiser, conditioned):
    protein = random_walk()
    guess = guess_for(protein) if conditioned else None
    with torch.no_grad():
        dense = outputs(small_denoiser(protein, guess))
        sparse = outputs(small_denoiser(protein, guess, neighbours=150))
        fewer = outputs(small_denoiser(protein, guess, neighbours=40))
    for name, value in dense.items():
        torch.testing.assert_close(sparse[name][protein.mask], value[protein.mask], atol=2e-4, rtol=1e-4)
    # Fewer neighbours are another function: the test would pass if the number were ignored otherwise.
    assert (fewer["translations"] - dense["translations"])[protein.mask].norm(dim=-1).mean() > 1e-3


def test_gradients_are_those_of_the_dense_mode(small_denoiser):
    protein = random_walk(length=60, padding=10)
    gradients = []
    for neighbours in (None, 60):
        small_denoiser.zero_grad()
        prediction = small_denoiser(protein, guess_for(protein), neighbours=neighbours)
        (prediction.frames.translations.square().mean() + prediction.sequence_logits.square().mean()).backward()
        gradients.append({n: p.grad.clone() for n, p in small_denoiser.named_parameters() if p.grad is not None})
    small_denoiser.zero_grad(set_to_none=True)
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, atol=1e-4 * float(value.abs().max()) + 1e-7, rtol=1e-3)


def test_neither_batch_nor_padding_matters(small_denoiser):
    protein = random_walk(padding=30)
    alone = NoisyProtein(**{name: value[:1, :120] for name, value in vars(protein).items()})
    guess = guess_for(protein)
    with torch.no_grad():
        together = outputs(small_denoiser(protein, guess, neighbours=48))
        single = outputs(small_denoiser(alone, guess[:1, :120], neighbours=48))
    for name, value in single.items():
        torch.testing.assert_close(together[name][:1, :120], value, atol=2e-4, rtol=1e-4)


def test_moving_the_input_moves_the_frames_and_nothing_else(small_denoiser):
    protein = random_walk()
    turn = so3.random_uniform((2, 1), generator=torch.Generator().manual_seed(5))
    move = torch.tensor([[[30.0, -15.0, 9.0]]])

    def place(frames: Frames) -> Frames:
        return frames.moved(turn, move)

    guess = guess_for(protein)
    with torch.no_grad():
        one = outputs(small_denoiser(protein, guess, neighbours=48))
        moved = replace(protein, frames=place(protein.frames))
        two = outputs(small_denoiser(moved, place(guess), neighbours=48))
    placed = place(Frames(one["rotations"], one["translations"]))
    one["rotations"], one["translations"] = placed.rotations, placed.translations
    one["locations"] = turn[:, :, None] @ one["locations"]
    for name, value in one.items():
        torch.testing.assert_close(two[name][protein.mask], value[protein.mask], atol=2e-3, rtol=1e-3)
