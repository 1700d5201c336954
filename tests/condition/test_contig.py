"""The contig grammar, and what a structure has of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protgm.condition import Motif
from protgm.condition.base import Draw
from protgm.condition.source import residues_of
from protgm.layout import Layout
from protgm.sample.describe import layout_lines
from protgm.structure import Backbone
from protgm.structure.contig import Break, New, Segment, parse_contig


def segment(text: str) -> Segment:
    (element,) = parse_contig(text)
    assert isinstance(element, Segment)
    return element


@pytest.mark.parametrize(
    "text",
    [
        "8-15,A92-99,30,B5/0,A",
        "8-15/A92-99/30/B5/0/A",
        "8-15/A92-99/30/B5/0 A",
        "8-15, A92-99, 30, B5, /0, A",
        "[8-15/A92-99/30/B5/0 A/0]",
        "'8-15,A92-99,30,B5,0,A'",
    ],
)
def test_commas_slashes_and_brackets_say_the_same(text):
    assert parse_contig(text) == (
        New(8, 15),
        Segment("A92-99", "A", (92, ""), (99, "")),
        New(30, 30),
        Segment("B5", "B", (5, ""), (5, "")),
        Break(),
        Segment("A", "A"),
    )


@pytest.mark.parametrize(
    ("text", "chain", "first", "last", "file", "body"),
    [
        ("A5", "A", (5, ""), (5, ""), 1, 1),
        ("a5-9", "a", (5, ""), (9, ""), 1, 1),
        ("AB5-9", "AB", (5, ""), (9, ""), 1, 1),
        ("A-3-2", "A", (-3, ""), (2, ""), 1, 1),
        ("A-5--3", "A", (-5, ""), (-3, ""), 1, 1),
        ("A52a-53B", "A", (52, "A"), (53, "B"), 1, 1),
        ("2:A5-9", "A", (5, ""), (9, ""), 2, 1),
        ("A5-9@3", "A", (5, ""), (9, ""), 1, 3),
        ("12:H@2", "H", None, None, 12, 2),
        ("1_5-9", "1", (5, ""), (9, ""), 1, 1),
        ("0_5", "0", (5, ""), (5, ""), 1, 1),
        ("7_", "7", None, None, 1, 1),
        ("A-2_-5--3", "A-2", (-5, ""), (-3, ""), 1, 1),
        ("AAA_52a@3", "AAA", (52, "A"), (52, "A"), 1, 3),
        ("2:B1_5-9", "B1", (5, ""), (9, ""), 2, 1),
        ("A_5", "A", (5, ""), (5, ""), 1, 1),
    ],
)
def test_segments_name_chain_ends_codes_file_and_body(text, chain, first, last, file, body):
    assert segment(text) == Segment(text, chain, first, last, file, body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"contig='' is empty; write something like 8-15,A92-99,16-30"),
        (" , ", "is empty"),
        ("/0", "is empty"),
        ("8-15,A92+99", r"contig=8-15,A92\+99: A92\+99 is neither a number of new residues \(12, 8-15\), nor"),
        ("8-15,ABC5", "ABC5 is neither"),
        ("8-15-20", "8-15-20 is neither"),
        ("A5-9@x", "A5-9@x is neither"),
        ("15-8,A5", r"contig=15-8,A5: the range 15-8 runs backwards; write 8-15"),
        ("A9-5", r"contig=A9-5: A9-5 runs backwards"),
        ("0,A5", r"contig=0,A5: a chain break \(0\) must have residues on both sides"),
        ("A5,0,0,8", "must have residues on both sides"),
        ("0:A5", "0:A5: files and bodies are numbered from 1"),
        ("A5@0", "A5@0: files and bodies are numbered from 1"),
    ],
)
def test_what_is_no_contig_is_named(text, message):
    with pytest.raises(ValueError, match=message) as refused:
        parse_contig(text)
    assert "\n" not in str(refused.value)


def test_residues_of_a_segment(barrel, complex_):
    assert residues_of(barrel, segment("A5-9")).tolist() == [4, 5, 6, 7, 8]
    assert residues_of(barrel, segment("A67")).tolist() == [66]
    assert residues_of(barrel, segment("A")).tolist() == list(range(67))
    rows = residues_of(complex_, segment("C"))
    assert len(rows) == 86
    assert {complex_.chain_ids[i] for i in rows} == {"C"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("B5-9", r"1CSP_A: there is no chain B \(B5-9\); it has A"),
        ("A60-70", r"1CSP_A: residue A70 \(A60-70\) is not there; chain A has residues 1 to 67"),
        ("A5C", r"residue A5C \(A5C\) is not there"),
    ],
)
def test_residues_that_are_not_there_are_named(barrel, text, message):
    with pytest.raises(ValueError, match=message):
        residues_of(barrel, segment(text))


def test_a_gap_and_a_residue_without_its_atoms_are_named(barrel):
    gap = barrel.select(np.array([i for i in range(67) if i not in (9, 10)]))
    with pytest.raises(ValueError, match="A5-20 lacks residue A10; name the stretches on both sides"):
        residues_of(gap, segment("A5-20"))
    coords = barrel.coords.copy()
    coords[7, 2] = np.nan
    with pytest.raises(ValueError, match=r"1CSP_A: residue A8 \(A5-20\) lacks N, CA or C"):
        residues_of(replace(barrel, coords=coords), segment("A5-20"))


def test_a_chain_that_others_interrupt_keeps_to_itself(barrel):
    """Files may list a chain's residues in several places."""
    other = replace(barrel, chain_ids=("B",) * 67).select(slice(0, 3))
    mixed = Backbone(
        coords=np.concatenate((barrel.coords[:6], other.coords, barrel.coords[6:])),
        sequence=barrel.sequence[:6] + other.sequence + barrel.sequence[6:],
        chain_ids=("A",) * 6 + other.chain_ids + ("A",) * 61,
        residue_numbers=np.concatenate((barrel.residue_numbers[:6], other.residue_numbers, barrel.residue_numbers[6:])),
        insertion_codes=("",) * 70,
        name="mixed",
    )
    rows = residues_of(mixed, segment("A5-9"))
    assert [int(mixed.residue_numbers[i]) for i in rows] == [5, 6, 7, 8, 9]
    assert {mixed.chain_ids[i] for i in rows} == {"A"}


@pytest.mark.parametrize("chain", ["1", "0", "AAA", "A-2"])
def test_a_chain_that_is_no_letter_is_asked_for_as_it_is_named(barrel, chain):
    other = replace(barrel, chain_ids=(chain,) * len(barrel))
    assert other.label(4) == f"{chain}_5"
    assert residues_of(other, segment(f"{chain}_5-9")).tolist() == [4, 5, 6, 7, 8]
    motif = Motif(other, f"4,{chain}_5-9,4", redesign=(f"{chain}_6",))
    (line,) = layout_lines(motif.lay_out(Layout.chain(4), Draw(0, 0)))
    assert line == f"chain A: 13 residues: 4 new, {chain}_5-{chain}_9 (motif), 4 new"
    with pytest.raises(ValueError, match=f"1CSP_A: there is no chain Z .Z5.; it has {chain}_"):
        residues_of(other, segment("Z5"))
