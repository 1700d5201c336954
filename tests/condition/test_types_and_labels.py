"""Residue types and secondary structure that are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from protgm.condition import Condition, Draw, Motif, Partial, SecondaryStructure, Sequence
from protgm.condition.source import tokens_to_letters
from protgm.layout import Layout
from protgm.model import MASK_TOKEN, UNKNOWN_STRUCTURE
from protgm.sample.lengths import Item
from protgm.sample.request import lay_out, requested, with_labels
from protgm.structure.residues import AMINO_ACIDS


def test_given_letters_come_out_and_others_are_glycines(small_model, quick):
    (made,) = small_model.sample(conditions=Sequence("ACXD?EFGHI"), settings=quick, refine=False)
    assert made.sequence == "ACGDGEFGHI"


def test_a_sequence_says_how_long_the_protein_is_unless_that_is_said(small_model, quick):
    assert len(small_model.sample(conditions=Sequence(AMINO_ACIDS), settings=quick, refine=False)[0]) == 20
    with pytest.raises(ValueError, match=r"sequence=ACDEF: has 5 letters for 8 new residues"):
        small_model.sample(8, conditions=Sequence("ACDEF"), settings=quick)
    with pytest.raises(ValueError, match=r"sequence=A{20}\.\.\.: has 30 letters for 8 new residues"):
        small_model.sample(8, conditions=Sequence("A" * 30), settings=quick)


def test_letters_go_to_residues_whose_types_are_open(barrel):
    conditions = Motif(barrel, "3,A20-23,2", redesign=("A21",)) & Sequence("WWWXYY")
    layout = conditions.lay_out(Layout.chain(9), Draw(0, 0))
    own = barrel.sequence[19:23]
    assert tokens_to_letters(layout.sequence.tolist()) == "WWW" + own[0] + "X" + own[2:] + "YY"
    assert layout.design.nonzero().flatten().tolist() == [4]


@pytest.mark.parametrize(("letters", "wrong", "place"), [("ACB", "B", 3), ("acd", "a", 1), ("AC-D", "-", 3)])
def test_unknown_letters_are_named(letters, wrong, place):
    with pytest.raises(ValueError, match=rf"sequence={letters}: letter '{wrong}' \(place {place}\) is no amino acid's"):
        Sequence(letters)


def test_types_are_found_everywhere_and_given_ones_kept(small_model, barrel, quick):
    """Also with a corrector that masks residues again: what is given is never masked."""
    settings = replace(quick, cogenerate=True, sequence_noise=2.0, sequence_temperature=1.0)
    motif = Motif(barrel, "5,A20-25,6", redesign=("A24",))
    for made in small_model.generate([Item(17, 0)], conditions=motif, settings=settings, refine=False):
        letters = made.backbone.sequence
        assert set(letters) <= set(AMINO_ACIDS)
        kept = [i for i, design in enumerate(made.layout.design.tolist()) if not design]
        assert len(kept) == 5
        assert [letters[i] for i in kept] == [barrel.sequence[n - 1] for n in (20, 21, 22, 23, 25)]
        assert len({letters[i] for i in range(17) if i not in kept}) > 2


@pytest.mark.slow
def test_a_fixed_backbone_gets_types(small_model, barrel, quick):
    """Inverse folding: frames known, types open."""
    open_ = tuple(f"A{n}" for n in range(1, 68))
    settings = replace(quick, cogenerate=True)
    (made,) = small_model.sample(conditions=Motif(barrel, "A", redesign=open_), settings=settings)
    assert abs(made.coords - barrel.coords).max() < 1e-3
    assert set(made.sequence) <= set(AMINO_ACIDS)


def test_labels_are_those_of_new_residues(barrel):
    conditions = Motif(barrel, "3,A20-23,2") & SecondaryStructure("H3C2")
    layout = conditions.lay_out(Layout.chain(9), Draw(0, 0))
    assert layout.secondary.tolist() == [0, 0, 0, *[UNKNOWN_STRUCTURE] * 4, 2, 2]


def test_labels_that_do_not_fit_what_is_new_are_refused(small_model, barrel, quick):
    motif = Motif(barrel, "10,A20-23,10")
    with pytest.raises(ValueError, match="secondary=H40: says 40 residues, which can be stretched to lengths of 32 to"):
        small_model.sample(conditions=motif, secondary="H40", settings=quick)
    with pytest.raises(ValueError, match="secondary=H9: there are no new residues"):
        small_model.sample(conditions=Partial(barrel, 0.5), secondary="H9", settings=quick)
    with pytest.raises(ValueError, match="SecondaryStructure is asked for twice"):
        small_model.sample(8, conditions=SecondaryStructure("H8"), secondary="E8", settings=quick)


class Helical(Condition):
    """All new residues helix."""

    def lay_out(self, layout: Layout, draw: Draw) -> Layout:
        return replace(layout, secondary=torch.zeros_like(layout.secondary))


@pytest.mark.parametrize("asked", [SecondaryStructure("H64"), Helical()])
def test_labels_of_natives_do_not_replace_those_asked_for(asked):
    conditions = with_labels(asked, "native")
    (work,) = requested(conditions, 64, 1, 0)
    assert (lay_out(conditions, work, 0).secondary == 0).all()


def test_nothing_is_told_of_types_that_are_open():
    layout = (Sequence("AX") & SecondaryStructure("native")).lay_out(Layout.chain(2), Draw(0, 0))
    assert layout.sequence.tolist() == [0, MASK_TOKEN]
