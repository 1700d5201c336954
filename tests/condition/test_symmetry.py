"""Point groups, and assemblies that lie on their orbits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from protgm.condition import Motif, Partial, SecondaryStructure, Sequence, Symmetry, Target
from protgm.condition.base import Draw
from protgm.condition.units import Units
from protgm.layout import Layout
from protgm.lie import so3
from protgm.lie.point_groups import point_group
from protgm.model import Prediction, RotationPosterior
from protgm.process import ProteinProcess, State
from protgm.sample.lengths import Item
from protgm.structure.frames import Frames

ORDERS = {**{f"C{n}": n for n in range(2, 13)}, **{f"D{n}": 2 * n for n in range(2, 7)}, "T": 12, "O": 24}


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_groups_are_groups_of_rotations(name, order):
    group = point_group(name)
    assert group.shape == (order, 3, 3)
    torch.testing.assert_close(group[0], torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(group @ group.mT, torch.eye(3, dtype=torch.float64).expand(order, 3, 3))
    torch.testing.assert_close(torch.linalg.det(group), torch.ones(order, dtype=torch.float64))
    apart = torch.cdist(group.flatten(1), group.flatten(1))
    assert (apart + 10 * torch.eye(order)).min() > 0.1
    products = (group[:, None] @ group[None]).flatten(0, 1)
    assert (products[:, None] - group).abs().amax((-1, -2)).min(1).values.max() < 1e-9


@pytest.mark.parametrize(
    ("name", "turns"),
    [
        ("C6", {60: 2, 120: 2, 180: 1}),
        ("D3", {120: 2, 180: 3}),
        ("T", {120: 8, 180: 3}),
        ("O", {90: 6, 120: 8, 180: 9}),
    ],
)
def test_groups_have_the_axes_of_their_names(name, turns):
    angles = so3.angle(point_group(name))[1:].rad2deg().round().int().tolist()
    assert Counter(angles) == turns


@pytest.mark.parametrize("name", ["C1", "C13", "D1", "D7", "I", "C", "3", "", "CC3"])
def test_other_groups_are_refused(name):
    with pytest.raises(ValueError, match=f"symmetry={name}: must be C2 to C12, D2 to D6, T or O"):
        Symmetry(name)


def off_orbit(coords: np.ndarray, name: str) -> float:
    """Largest distance of an atom from where the first unit's copy would be, Angstrom."""
    group = point_group(name).numpy()
    units = coords.astype(np.float64).reshape(len(group), -1, 3)
    return float(np.abs(units - np.einsum("kij,lj->kli", group, units[0])).max())


def assembly(name: str, length: int, copies: int) -> Layout:
    """A batch of assemblies of new chains."""
    return Layout.batch([Symmetry(name).lay_out(Layout.chain(length), Draw(0, 0))] * copies)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C2", "C3", "C6", "D2", "D3", "T"])
def test_noise_lies_on_the_orbit_and_is_independent_within_a_unit(name):
    length, copies = 5, 20_000
    condition, layout, process = Symmetry(name), assembly(name, length, copies), ProteinProcess()
    noise = condition.noise(process.noise(layout, torch.Generator().manual_seed(0)), layout)
    assert off_orbit(noise[:4].reshape(4, -1, 1, 3)[0].numpy(), name) < 1e-4
    first = noise[:, :length].double() / process.positions.scale
    covariance = torch.einsum("bix,bjy->xyij", first, first) / copies
    wanted = torch.einsum("xy,ij->xyij", torch.eye(3), torch.eye(length))
    if name.startswith("C"):  # centred along the axis
        wanted[2, 2] = torch.eye(length) - 1 / length
    assert (covariance - wanted).abs().max() < 5 / copies**0.5


@pytest.mark.parametrize("name", ["C2", "C3", "D2", "O"])
def test_noise_is_turned_onto_the_assembly_along_its_orbit(name):
    condition, layout, source = Symmetry(name), assembly(name, 4, 3), torch.Generator().manual_seed(0)
    noise, clean = (condition.noise(ProteinProcess().noise(layout, source), layout) for _ in range(2))
    turned = condition.couple(noise, clean, layout)
    for one in turned:
        assert off_orbit(one[:, None].numpy(), name) < 1e-4
    # No turn about the axis lays it better; other groups leave it as it is.
    for angle in torch.linspace(0, 6.28, 50):
        other = torch.einsum("ij,blj->bli", so3.exp(torch.tensor([0.0, 0.0, float(angle)])), noise)
        if name.startswith("C"):
            assert ((other * clean).sum((1, 2)) < (turned * clean).sum((1, 2)) + 1e-2).all()
    assert name.startswith("C") or torch.equal(turned, noise)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "length"), [("C3", 14), ("D2", 9), ("T", 6)])
def test_every_atom_lies_on_its_orbit(small_model, quick, name, length):
    for made in small_model.generate([Item(length, 0)], conditions=Symmetry(name), settings=quick):
        order = len(point_group(name))
        assert len(made.backbone) == order * length
        assert off_orbit(made.backbone.coords, name) < 1e-3
        assert off_orbit(made.raw.coords, name) < 1e-3
        assert made.backbone.chain_ids == tuple(letter for letter in "ABCDEFGHIJKL"[:order] for _ in range(length))
        assert made.backbone.residue_numbers.tolist() == list(range(1, length + 1)) * order


def test_copies_of_different_lengths_do_not_mix(small_model, quick):
    """Proteins of a batch are padded to the longest, and yet each has its own units."""
    items = [Item(16, 0, 48), Item(11, 0, 33)]
    made = {
        len(g.backbone): g for g in small_model.generate(items, conditions=Symmetry("C3"), settings=quick, refine=False)
    }
    assert off_orbit(made[48].backbone.coords, "C3") < 1e-3
    assert off_orbit(made[33].backbone.coords, "C3") < 1e-3
    (alone,) = small_model.generate(items[1:], conditions=Symmetry("C3"), settings=quick, refine=False)
    np.testing.assert_allclose(alone.backbone.coords, made[33].backbone.coords, atol=0.01)


@pytest.mark.parametrize(("group", "lengths"), [("T", [9, 7]), ("O", [5])])
def test_of_a_large_assembly_the_network_sees_a_unit_and_those_beside_it(group, lengths):
    """An oracle that knows where each residue ends: what it says of what it is shown is what it would say of all."""
    rotations, order = point_group(group).float(), len(point_group(group))
    whole = Layout.batch([Symmetry(group).lay_out(Layout.chain(n), Draw(0, 0)) for n in lengths])
    units = Units.of(whole.mask, order)
    source = torch.Generator().manual_seed(0)
    shape = whole.mask.shape
    places = 20 * torch.randn(*shape, 3, generator=source) + torch.tensor([30.0, 12.0, 5.0])
    frames = Frames(so3.random_uniform(shape, generator=source), places)
    condition = Symmetry(group, seen=40)
    state = condition.constrain(State(frames, whole.sequence, *[torch.zeros(shape)] * 3), whole)
    protein = ProteinProcess().seen(state, whole)
    shown = []

    def oracle(protein, guess=None):
        shown.append(protein)
        ends = Frames(protein.frames.rotations @ rotations[2], protein.frames.translations * 0.5)
        own = protein.residue_index.float()
        posterior = RotationPosterior(own[..., None], ends.rotations[:, :, None], own[..., None])
        way = own[..., None].expand(*own.shape, 3)
        return Prediction(ends, posterior, own[..., None].expand(*own.shape, 20), own, (ends, ends), way, way)

    found = condition.ask(oracle, whole)(protein, protein.frames)
    for row, length in enumerate(lengths):
        seen = shown[0].mask[row]
        assert seen.sum() == length * max(40 // length, 7)
        numbers = units.number[row][torch.isin(whole.residue_index[row], shown[0].residue_index[row][seen])].unique()
        centres = torch.stack([state.frames.translations[row, units.number[row] == k].mean(0) for k in range(order)])
        apart = (centres - centres[0]).norm(dim=-1)
        assert 0 in numbers
        others = torch.tensor([k for k in range(order) if k not in numbers])
        assert apart[others].min() > apart[numbers].max() - 0.02
    wanted = oracle(protein)
    mask = whole.mask
    for one, other in (
        (found.frames.translations, wanted.frames.translations),
        (found.frames.rotations, wanted.frames.rotations),
        (found.intermediate[1].translations, wanted.intermediate[1].translations),
        (found.posterior.rotations, wanted.posterior.rotations),
    ):
        torch.testing.assert_close(one[mask], other[mask], atol=1e-3, rtol=1e-4)
    for values in (found.confidence, found.velocity[..., 0], found.sequence_logits[..., 0], found.score[..., 2]):
        assert torch.equal(values[mask], units.first(whole.residue_index.float())[mask])
    assert Symmetry(group, seen=None).ask(oracle, whole) is oracle
    assert Symmetry(group, seen=len(whole)).ask(oracle, whole) is oracle


def test_a_large_assembly_of_which_a_part_is_seen_lies_on_its_orbit_whatever_its_batch(small_model, quick):
    asked = {"conditions": Symmetry("O", seen=40), "settings": quick}
    items = [Item(6, 0, 144), Item(5, 0, 120)]
    both = {len(g.backbone): g.backbone.coords for g in small_model.generate(items, **asked)}
    assert all(off_orbit(coords, "O") < 1e-3 for coords in both.values())
    (alone,) = small_model.generate(items[1:], **asked)
    np.testing.assert_allclose(alone.backbone.coords, both[120], atol=0.01)


@pytest.mark.slow
def test_a_motif_lies_in_every_unit(small_model, barrel, quick, rmsd):
    conditions = Motif(barrel, "2,A20-25,3,A40-42@2,2") & Symmetry("C3")
    for made in small_model.generate([Item(48, 0)], conditions=conditions, settings=quick):
        coords, layout = made.backbone.coords, made.layout
        assert off_orbit(coords, "C3") < 1e-3
        assert off_orbit(made.raw.coords, "C3") < 1e-3
        assert [site.chain for site in layout.sites] == [letter for letter in "ABC" for _ in range(16)]
        assert not bool(layout.known.any())
        for unit in range(3):
            first = [16 * unit + 2 + i for i in range(6)]
            second = [16 * unit + 11 + i for i in range(3)]
            assert [layout.sites[i].source for i in first] == [f"A{n}" for n in range(20, 26)]
            assert rmsd(coords[first], barrel.coords[19:25]) < 1e-3
            assert rmsd(coords[second], barrel.coords[39:42]) < 1e-3
            assert "".join(made.backbone.sequence[i] for i in first) == barrel.sequence[19:25]


def test_units_of_several_chains_get_letters_in_order(small_model, barrel, quick):
    conditions = Motif(barrel, "2,A20-23/0/A30-33,2") & Symmetry("C2")
    (made,) = small_model.sample(conditions=conditions, settings=quick, refine=False)
    assert "".join(dict.fromkeys(made.chain_ids)) == "ABCD"
    assert Counter(made.chain_ids) == dict.fromkeys("ABCD", 6)


def test_labels_and_types_are_those_of_the_unit(small_model, quick):
    conditions = Sequence("ACDEFGHI") & SecondaryStructure("H4E4") & Symmetry("C3")
    (made,) = small_model.generate([Item(8, 0)], conditions=conditions, settings=quick, refine=False)
    assert made.backbone.sequence == "ACDEFGHI" * 3
    assert made.layout.secondary.tolist() == [0, 0, 0, 0, 1, 1, 1, 1] * 3


def test_types_that_are_found_are_the_same_in_all_units(small_model, quick):
    settings = replace(quick, cogenerate=True, sequence_temperature=1.0)
    (made,) = small_model.sample(12, conditions=Symmetry("C3"), settings=settings, refine=False)
    assert made.sequence[:12] == made.sequence[12:24] == made.sequence[24:]
    assert len(set(made.sequence)) > 3


def test_what_has_no_symmetry_is_refused(small_model, barrel, quick):
    for other in (Target(barrel), Target(barrel, hotspots=("A5",))):
        with pytest.raises(ValueError, match="symmetry=C3: cannot be combined with a target, which has no symmetry"):
            small_model.sample(20, conditions=other & Symmetry("C3"), settings=quick)
    for fixed in (None, "A5-9"):
        for time in (0.0, 0.5):
            with pytest.raises(ValueError, match="symmetry=C3: cannot be combined with a start"):
                small_model.sample(conditions=Partial(barrel, time, fixed) & Symmetry("C3"), settings=quick)
    with pytest.raises(ValueError, match="Symmetry is asked for twice"):
        Symmetry("C3") & Symmetry("C2")
    with pytest.raises(ValueError, match="symmetry=O: 72 chains are more than there are letters"):
        small_model.sample(conditions=Motif(barrel, "A5-9,3/0/A15-19/0/A25-29") & Symmetry("O"), settings=quick)
