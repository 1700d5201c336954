"""Energies that pull on what is predicted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from protgm.condition import Autoguidance, Draw, Motif, Potential
from protgm.condition.energies import Contacts, HotspotContacts, RadiusOfGyration
from protgm.layout import Layout
from protgm.lie import so3
from protgm.model import Prediction, RotationPosterior
from protgm.process import State
from protgm.structure.frames import Frames


def case(
    lengths: list[int], chains: int = 1, *, time: float = 0.3, spread: float = 15.0
) -> tuple[Prediction, State, Layout]:
    """A prediction of random places, widely spread, with chains of equal lengths."""
    layout = Layout.unconditional(lengths)
    index = layout.residue_index * chains // torch.tensor(lengths)[:, None]
    layout = replace(layout, chain_index=torch.where(layout.mask, index, 0))
    places = torch.randn(*layout.mask.shape, 3, generator=torch.Generator().manual_seed(0)) * spread
    frames = Frames(Frames.identity(*layout.mask.shape).rotations, places * layout.mask[..., None])
    shape = layout.mask.shape
    posterior = RotationPosterior(torch.zeros(*shape, 1), frames.rotations[:, :, None], torch.ones(*shape, 1))
    prediction = Prediction(frames, posterior, torch.zeros(*shape, 20), torch.ones(shape), (frames,))
    times = torch.full(shape, time)
    return prediction, State(frames, layout.sequence, times, times, times), layout


def radius(frames: Frames, layout: Layout) -> torch.Tensor:
    return torch.stack(
        [
            frames.translations[i, m].sub(frames.translations[i, m].mean(0)).square().sum(-1).mean().sqrt()
            for i, m in enumerate(layout.mask)
        ]
    )


def test_the_radius_is_drawn_to_that_of_a_globule():
    prediction, state, layout = case([30, 50])
    wanted = 2.2 * torch.tensor([30.0, 50.0]) ** 0.38
    before = radius(prediction.frames, layout)
    assert (before > wanted + 3).all()
    torch.testing.assert_close(
        RadiusOfGyration()(prediction.frames, layout),
        0.5 * torch.tensor([30.0, 50.0]) * (before - wanted).square(),
        rtol=1e-4,
        atol=1e-3,
    )
    condition = Potential(RadiusOfGyration(), scale=0.5, largest=100.0)
    after = radius(condition.steer(prediction, state, layout).frames, layout)
    # The gradient is that of L (Rg - wanted)^2 / 2: half of it is half of the way, in every protein.
    torch.testing.assert_close(after, (before + wanted) / 2, rtol=1e-3, atol=1e-2)


def test_a_small_radius_is_widened():
    prediction, state, layout = case([40], spread=2.0)
    after = Potential(RadiusOfGyration(20.0)).steer(prediction, state, layout).frames
    assert radius(after, layout) > radius(prediction.frames, layout) + 1


@pytest.mark.parametrize("between", [True, False])
def test_contacts_grow_between_chains_or_within_them(between):
    prediction, state, layout = case([40], chains=2, spread=10.0)
    energy, other = Contacts(between), Contacts(not between)
    moved = Potential(energy, scale=5.0).steer(prediction, state, layout).frames
    assert energy(moved, layout) < energy(prediction.frames, layout) - 3
    # By hand: pairs counted once, neighbours along the chain not at all.
    apart = torch.cdist(prediction.frames.translations[0], prediction.frames.translations[0])
    count = 0.0
    for i in range(40):
        for j in range(i):
            same = bool(layout.chain_index[0, i] == layout.chain_index[0, j])
            if same != between and (between or i - j > 3):
                count += float(torch.sigmoid((8 - apart[i, j]) / 2))
    assert float(energy(prediction.frames, layout)) == pytest.approx(-count, rel=1e-4)
    assert other(prediction.frames, layout).shape == (1,)


def test_hotspots_count_once_by_the_nearest_new_residue_and_are_drawn_near():
    prediction, state, layout = case([30, 30], spread=10.0)
    known = torch.arange(30).expand(2, 30) < 12
    hotspot = (torch.arange(30) == 3) | (torch.arange(30) == 7)
    hotspot = hotspot.expand(2, 30) & torch.tensor([[True], [False]])  # the second protein has none
    layout = replace(layout, time=known.float(), hotspot=hotspot)
    energy = HotspotContacts()
    places = prediction.frames.translations
    # A logarithm of a sum lies below the minimum by at most width log(count).
    nearest = torch.cdist(places[0, [3, 7]], places[0, 12:]).min(1).values
    value = energy(prediction.frames, layout)
    assert float(value[1]) == 0
    assert -float(torch.sigmoid((8 - nearest + 2 * np.log(18)) / 2).sum()) <= float(value[0])
    assert float(value[0]) <= -float(torch.sigmoid((8 - nearest) / 2).sum())
    moved = Potential(energy, scale=20.0).steer(prediction, state, layout).frames.translations
    assert torch.equal(moved[1], places[1])
    assert torch.equal(moved[known], places[known])
    after = torch.cdist(moved[0, [3, 7]], moved[0, 12:]).min(1).values
    assert (after < nearest - 0.2).all()


def test_provenance_has_the_numbers_of_an_energy():
    told = Potential(Contacts(distance=7.0), scale=2.0, name="contacts").describe()
    assert told["energy"] == {"energy": "Contacts", "between": True, "distance": 7.0, "width": 2.0}
    assert "energy" not in Potential(lambda frames, layout: frames.translations.sum((1, 2))).describe()


def test_pulls_are_bounded_and_leave_what_is_known_and_padding(barrel):
    layout = Motif(barrel, "6,A20-25,4").lay_out(Layout.chain(16), Draw(0, 0))
    batch = Layout.batch([Layout.chain(20), layout])
    prediction, state, _ = case([20, 16])
    moved = Potential(RadiusOfGyration(), scale=1e4, largest=1.5).steer(prediction, state, batch).frames
    step = (moved.translations - prediction.frames.translations).norm(dim=-1)
    still = batch.known | ~batch.mask
    assert still.sum() == 6 + 4
    assert (step[still] == 0).all()
    torch.testing.assert_close(step[~still], torch.full_like(step[~still], 1.5))


@pytest.mark.parametrize(("time", "pulls"), [(0.1, False), (0.2, True), (0.79, True), (0.8, False), (1.0, False)])
def test_it_pulls_in_its_window(time, pulls):
    prediction, state, layout = case([20], time=time)
    moved = Potential(RadiusOfGyration(), after=0.2, until=0.8).steer(prediction, state, layout)
    assert bool((moved.frames.translations != prediction.frames.translations).any()) == pulls


def upright(frames: Frames, layout: Layout) -> torch.Tensor:
    """How little the x axes of residues point along z: of rotations alone."""
    return -4.0 * (frames.rotations[..., 2, 0] * layout.mask).sum(1)


def test_what_is_predicted_of_rotations_is_turned_as_one():
    prediction, state, layout = case([20])
    layout = replace(layout, time=(torch.arange(20) < 5).float()[None])
    generator = torch.Generator().manual_seed(1)
    here, there, other = so3.random_uniform((3, 1, 20), generator=generator)
    state = replace(state, frames=Frames(here, state.frames.translations))
    posterior = RotationPosterior(torch.zeros(1, 20, 2), torch.stack((there, other), 2), torch.ones(1, 20, 2))
    way = so3.log(here.mT @ there)
    frames = Frames(there, prediction.frames.translations)
    prediction = replace(prediction, frames=frames, posterior=posterior, velocity=way, score=0.5 * way)
    moved = Potential(upright, scale=0.1).steer(prediction, state, layout)
    assert torch.equal(moved.frames.translations, prediction.frames.translations)
    turn = moved.frames.rotations @ there.mT
    still = layout.known
    assert (so3.angle(turn[still]) < 1e-3).all()
    # E = -4 cos(angle): the slope by an arc of 1.5 A a radian is 4 sin(angle) / 1.5.
    sine = (1 - there[..., 2, 0].square()).sqrt()
    torch.testing.assert_close(so3.angle(turn)[~still], (0.4 * sine / 1.5**2)[~still], atol=1e-3, rtol=1e-3)
    assert (moved.frames.rotations[..., 2, 0] > there[..., 2, 0])[~still].all()
    torch.testing.assert_close(moved.posterior.rotations, turn[:, :, None] @ posterior.rotations)
    torch.testing.assert_close(here @ so3.exp(moved.velocity), moved.frames.rotations, atol=1e-4, rtol=0)
    torch.testing.assert_close(here @ so3.exp(moved.score), turn @ here @ so3.exp(0.5 * way), atol=1e-4, rtol=0)


def test_an_energy_of_places_leaves_rotations_to_the_bit_and_turns_are_bounded():
    prediction, state, layout = case([20])
    assert Potential(RadiusOfGyration()).steer(prediction, state, layout).posterior is prediction.posterior
    turned = Potential(upright, scale=1e6, largest=0.3).steer(prediction, state, layout).frames.rotations
    torch.testing.assert_close(so3.angle(turned @ prediction.frames.rotations.mT), torch.full((1, 20), 0.2))


@pytest.mark.parametrize("generator", ["flow", "jump", "superposition", "diffusion"])
def test_residues_of_a_sample_point_where_an_energy_of_rotations_wants_them(small_model, quick, generator):
    settings = replace(quick, generator=generator, steps=12)
    options = {"settings": settings, "refine": False, "secondary": None}
    means = []
    for conditions in (None, Potential(upright, scale=1.0, until=0.8)):
        (made,) = small_model.sample(40, conditions=conditions, **options)
        means.append(float(Frames.from_atoms(torch.from_numpy(made.coords)).rotations[:, 2, 0].mean()))
    assert means[1] > means[0] + 0.3


def test_an_energy_is_one_number_a_protein():
    prediction, state, layout = case([20, 10])
    condition = Potential(lambda frames, layout: frames.translations.sum(), name="mine")
    with pytest.raises(
        ValueError, match=r"mine: an energy must be one number per protein, got shape torch.Size\(\[\]\)"
    ):
        condition.steer(prediction, state, layout)


def test_guidance_goes_beyond_the_first_stage_while_it_is_early():
    prediction, state, layout = case([20])
    first = prediction.frames.map(lambda x: x)
    last = Frames(first.rotations, first.translations + 1)
    times = torch.full((1, 20), 0.3)
    times[0, :5] = 0.7
    prediction, state = replace(prediction, frames=last, intermediate=(first,)), replace(state, time=times)
    assert Autoguidance(1.0).steer(prediction, state, layout) is prediction
    aim = Autoguidance(2.0, 0.6).steer(prediction, state, layout).frames.translations
    torch.testing.assert_close(aim[:, :5], last.translations[:, :5])
    torch.testing.assert_close(aim[:, 5:], last.translations[:, 5:] + 1)


def test_guidance_does_not_go_beyond_what_an_energy_pulls():
    prediction, state, layout = case([20], time=0.3)
    prediction = replace(prediction, intermediate=(prediction.frames,))
    pull = Potential(lambda frames, layout: 1e3 * frames.translations[..., 0].sum(1), largest=2.0)
    for asked in (Autoguidance(1.5) & pull, pull & Autoguidance(1.5)):
        moved = asked.steer(prediction, state, layout).frames.translations - prediction.frames.translations
        torch.testing.assert_close(moved.norm(dim=-1), torch.full((1, 20), 2.0))


def test_a_sample_is_more_compact_for_it(small_model, quick):
    """From noise to the end: the pull of each step adds up in what comes out."""
    options = {"settings": quick, "refine": False, "secondary": None}
    pulled = Potential(RadiusOfGyration(), until=1.0, largest=20.0)
    radii = []
    for conditions in (None, pulled):
        (made,) = small_model.sample(40, conditions=conditions, **options)
        radii.append(
            abs(
                radius(Frames.from_atoms(torch.from_numpy(made.coords))[None], Layout.unconditional([40]))
                - 2.2 * 40**0.38
            )
        )
    assert float(radii[1]) < 0.5 * float(radii[0])
