"""Secondary structure as users ask for it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from protgm.condition.base import Draw
from protgm.condition.secondary import SecondaryStructure, check_secondary
from protgm.layout import FIXED, Layout
from protgm.model import UNKNOWN_STRUCTURE
from protgm.sample import SampleConfig
from protgm.sample.lengths import Item
from protgm.sample.request import lay_out, with_labels
from protgm.structure.secondary import STATES


def secondary_labels(text: str | None, length: int, index: int, seed: int) -> torch.Tensor:
    """What a request for one chain is laid out with."""
    return lay_out(with_labels(None, text), Item(length, index), seed).secondary


def test_letters_and_numbers():
    labels = secondary_labels("C2H3?E2", 8, 0, 0)
    assert labels.tolist() == [2, 2, 0, 0, 0, UNKNOWN_STRUCTURE, 1, 1]
    assert torch.equal(labels, secondary_labels("CCHHH?EE", 8, 5, 9))


@pytest.mark.parametrize("text", ["h10e10", "H10,E10", " h10 e10 ", "HHHHHHHHHHEEEEEEEEEE", "h9,h,e9,E"])
def test_one_request_in_several_spellings(text):
    check_secondary(text, (20,))
    assert torch.equal(secondary_labels(text, 20, 0, 0), secondary_labels("H10E10", 20, 0, 0))
    assert SecondaryStructure(text).text == text.replace(",", "").replace(" ", "").upper()
    assert SecondaryStructure("Native ").text == "native"


def test_nothing_asked():
    assert (secondary_labels(None, 8, 0, 0) == UNKNOWN_STRUCTURE).all()


@pytest.mark.parametrize("length", [40, 64, 101, 300])
def test_natives_fit_every_length_and_differ_between_samples(length):
    drawn = [tuple(secondary_labels("native", length, i, 0).tolist()) for i in range(20)]
    assert {len(labels) for labels in drawn} == {length}
    assert len(set(drawn)) > 10
    assert drawn[3] == tuple(secondary_labels("native", length, 3, 0).tolist())
    shares = torch.tensor([label for labels in drawn for label in labels]).bincount(minlength=3) / (20 * length)
    assert shares[0] > 0.1
    assert shares[1] > 0.05


@pytest.mark.parametrize(
    ("text", "message"), [("HHX", "must be native, or letters"), ("3H", "must be native"), ("H9", "says 9 residues")]
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        check_secondary(text, (10,))
    with pytest.raises(ValueError, match=message):
        SampleConfig(length=10, secondary=text)


def test_a_batch_keeps_each_chain_apart():
    parts = [
        SecondaryStructure(text).lay_out(Layout.chain(length), Draw(0, 0)) for text, length in (("H2E", 3), ("C5", 5))
    ]
    batch = Layout.batch(parts)
    assert batch.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert batch.secondary[0].tolist() == [0, 0, 1] + [UNKNOWN_STRUCTURE] * 2
    assert batch.secondary[1].tolist() == [2] * 5


def test_only_new_residues_are_asked():
    """Neither those that are known nor those of a rigid body; what is asked runs over them."""
    layout = Layout.chain(8)
    body, time = layout.body.clone(), layout.time.clone()
    body[2], time[2] = FIXED, 1.0
    body[5] = 1
    labels = SecondaryStructure("H3E3").lay_out(replace(layout, body=body, time=time), Draw(0, 0)).secondary
    assert labels.tolist() == [0, 0, UNKNOWN_STRUCTURE, 0, 1, UNKNOWN_STRUCTURE, 1, 1]


@pytest.mark.parametrize("length", [20, 400])
def test_no_native_is_stretched_to_lengths_far_from_its_own(length):
    assert (secondary_labels("native", length, 0, 0) == UNKNOWN_STRUCTURE).all()


def test_with_a_range_of_lengths_what_is_asked_is_stretched():
    """Every element keeps its share; the order stays, and the length that is written is asked for as it is."""
    text = "C4H12C4E8C4"
    check_secondary(text, range(26, 41))
    for length in range(26, 41):
        labels = secondary_labels(text, length, 0, 0).tolist()
        runs = [(key, len(list(group))) for key, group in itertools.groupby(labels)]
        assert [key for key, _ in runs] == [STATES.index(letter) for letter in "CHCEC"]
        assert all(abs(n - m * length / 32) <= 1 for (_, n), m in zip(runs, (4, 12, 4, 8, 4), strict=True))
    assert [n for _, n in runs] != [4, 12, 4, 8, 4]
    with pytest.raises(ValueError, match=r"says 32 residues, which can be stretched to lengths of 26 to 40; l"):
        check_secondary(text, range(26, 42))
    with pytest.raises(ValueError, match="says 32 residues, length=33"):
        check_secondary(text, (32, 33))
    with pytest.raises(ValueError, match="says more than 2048 residues"):
        check_secondary("H999999999999", (50,))
