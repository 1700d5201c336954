"""What holds for every condition: composition, independence of batch and order, a user's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from protgm.condition import (
    Condition,
    Conditions,
    Draw,
    Motif,
    Partial,
    Potential,
    SecondaryStructure,
    Sequence,
    Symmetry,
    Target,
)
from protgm.condition.energies import Contacts, RadiusOfGyration
from protgm.layout import Layout
from protgm.sample.request import requested

CASES = {
    "motif": (None, lambda b: Motif(b, "2-6,A20-25,3-9,A40,2-5")),
    "bodies": (None, lambda b: Motif(b, "2-6,A20-25@2,3-9,A40-48,2-5", unordered=True)),
    "partial": (None, lambda b: Partial(b.select(slice(0, 20)), 0.6)),
    "fixed": (None, lambda b: Partial(b.select(slice(0, 20)), 0.6, "A5-9")),
    "symmetry": ("7-12", lambda b: Symmetry("C3")),
    "motif in a symmetry": (None, lambda b: Motif(b, "2-6,A20-23,2") & Symmetry("C2")),
    "target": ("7-12", lambda b: Target(b, hotspots=("A30",), crop=20)),
    "labels and types": (9, lambda b: SecondaryStructure("H4C5") & Sequence("ACDXXXGHI")),
    "potential": ("10-18", lambda b: Potential(RadiusOfGyration()) & Potential(Contacts(False))),
}


@pytest.mark.parametrize("name", CASES)
def test_a_sample_does_not_depend_on_its_batch_or_its_order(small_model, barrel, quick, name):
    length, make = CASES[name]
    conditions = Conditions() & make(barrel)
    items = requested(conditions, length, 3, 5)

    def made(chosen: list) -> dict[int, tuple[np.ndarray, str]]:
        found = small_model.generate(
            chosen, conditions=conditions, seed=5, settings=replace(quick, cogenerate=True), refine=False
        )
        return {g.item.index: (g.backbone.coords, g.backbone.sequence) for g in found}

    together, reverse = made(items), made(items[::-1])
    assert sorted(together) == sorted(reverse) == [0, 1, 2]
    alone = {index: one for item in items for index, one in made([item]).items()}
    for index, (coords, sequence) in together.items():
        np.testing.assert_allclose(coords, alone[index][0], atol=0.01)
        np.testing.assert_allclose(coords, reverse[index][0], atol=0.01)
        assert sequence == alone[index][1] == reverse[index][1]
    assert np.abs(together[0][0][:8] - together[1][0][:8]).max() > 0.1


def test_asking_for_more_only_adds(barrel):
    motif = Conditions() & Motif(barrel, "2-60,A20-25,3-9")
    few, many = requested(motif, None, 3, 1), requested(motif, None, 9, 1)
    assert set(few) < set(many)


def test_conditions_compose_in_their_order_whatever_the_order_of_asking(barrel):
    motif, ring, pull = Motif(barrel, "2,A20-25,3"), Symmetry("C3"), Potential(Contacts())
    assert (pull & ring & motif).parts == (motif & (ring & pull)).parts == (motif, ring, pull)
    assert Conditions((ring & pull, motif)).parts == (motif, ring, pull)
    layout = (ring & motif).lay_out(Layout.chain(50), Draw(0, 0))
    assert len(layout) == 33
    described = (ring & motif & pull).describe()["conditions"]
    assert [one["condition"] for one in described] == ["Motif", "Symmetry", "Potential"]
    assert repr(ring & motif) == "Motif(1CSP_A, contig='2,A20-25,3') & Symmetry(group='C3', seen=512)"


def test_what_contradicts_is_refused_in_one_line(barrel):
    motif, partial = Motif(barrel, "2,A20-25,3"), Partial(barrel, 0.5)
    with pytest.raises(ValueError, match="Motif and Partial both say how long the protein is; ask for one of them"):
        motif & partial
    for one in (motif, partial, Symmetry("C2"), Target(barrel), Sequence("ACD"), SecondaryStructure("HHH")):
        with pytest.raises(
            ValueError, match=f"{type(one).__name__} is asked for twice; one of them must say everything"
        ):
            one & one
    assert len((Potential(Contacts()) & Potential(Contacts())).parts) == 2


def test_length_beside_what_says_it_is_refused(small_model, barrel, quick):
    with pytest.raises(ValueError, match=r"length=60: what is asked for says itself how long the protein is; bounds"):
        small_model.sample(60, conditions=Motif(barrel, "2,A20-25,3"), settings=quick)


def test_too_many_residues_in_all_are_refused(small_model, quick):
    with pytest.raises(ValueError, match="2400 residues in all are more than the 2048 that can be made"):
        small_model.sample(200, conditions=Symmetry("T"), settings=quick)


class Hairpin(Condition):
    """Two strands, and the chain's ends near each other."""

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        third = len(layout) // 3
        labels = torch.tensor([1] * third + [2] * (len(layout) - 2 * third) + [1] * third)
        return replace(layout, secondary=labels)

    def steer(self, prediction, state, layout):
        places = prediction.frames.translations.clone()
        last = layout.mask.sum(-1) - 1
        rows = torch.arange(len(places))
        middle = (places[rows, 0] + places[rows, last]) / 2
        places[rows, 0], places[rows, last] = middle, middle
        return replace(prediction, frames=replace(prediction.frames, translations=places))


def test_a_users_own_condition(small_model, quick):
    made = list(
        small_model.generate(
            requested(Conditions() & Hairpin(), [12, 15], 1, 0), conditions=Hairpin(), settings=quick, refine=False
        )
    )
    for one in made:
        coords = one.backbone.coords
        assert np.abs(coords[0, 1] - coords[-1, 1]).max() < 1e-3
        assert one.layout.secondary.bincount().tolist() == [0, len(coords) // 3 * 2, len(coords) - len(coords) // 3 * 2]
        assert one.backbone.metadata["conditions"] == [{"condition": "Hairpin"}]
    (ring,) = small_model.sample(12, conditions=Hairpin() & Symmetry("C2"), settings=quick, refine=False)
    assert len(ring) == 24


def test_hooks_that_do_nothing_change_nothing(small_model, quick):
    options = {"settings": quick, "refine": False, "secondary": None}
    (plain,), (same,) = small_model.sample(12, **options), small_model.sample(12, conditions=Condition(), **options)
    assert np.array_equal(plain.coords, same.coords)
