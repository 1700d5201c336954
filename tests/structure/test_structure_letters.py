"""Letters that a generator writes where it has chosen nothing are no residue types."""

from __future__ import annotations

import pytest

from protgm.structure.letters import chosen

NATIVE = "MKAEIKHYQFNVVMTCSGCSGAVNKVLTKLEPDVSKIDISLEKQLVDVYTTLPYDFILEKIKKTGKEVRSGKQL"  # with glycines


def marks(sequence: str) -> str:
    return "".join("+" if there else "." for there in chosen(sequence))


def test_a_native_chooses_all_of_its_types():
    assert marks(NATIVE) == "+" * len(NATIVE)
    assert marks("MGSSHHHHHHSSGLVPRGSHM" + NATIVE) == "+" * (21 + len(NATIVE))  # a tag
    assert marks("X" + NATIVE + "XX") == "." + "+" * len(NATIVE) + ".."


@pytest.mark.parametrize("letter", "GAVX")
def test_of_a_scaffold_only_the_motif_is_chosen(letter):
    sequence = letter * 40 + NATIVE[:30].replace(letter, "S") + letter * 40
    assert marks(sequence) == "." * 40 + "+" * 30 + "." * 40
    scattered = letter * 20 + "H" + letter * 3 + "D" + letter * 9 + "S" + letter * 15
    assert [i for i, there in enumerate(chosen(scattered)) if there] == [20, 24, 34]


def test_a_partner_keeps_its_types():
    assert marks(NATIVE + "G" * 60) == "+" * len(NATIVE) + "." * 60


@pytest.mark.parametrize(
    "stretch",
    [
        "HHHHHH",
        "LEHHHHHH",
        "H" * 12,
        "K" * 20,
        "Q" * 40,
        "A" * 9,
        "GGGGSGGGGSGGGGS",
        "E" * 14,
        "AAAAAASGGAGAAAAAAASGGG",
    ],
)
@pytest.mark.parametrize("chain", [NATIVE, NATIVE * 4])
def test_what_natives_repeat_is_chosen(stretch, chain):
    for sequence in (stretch + chain, chain + stretch, chain[:40] + stretch + chain[40:]):
        assert marks(sequence) == "+" * len(sequence)


def test_antifreeze_is_alanine_by_choice():
    assert chosen("DTASDAAAAAALTAANAKAAAELTAANAAAAAAATAR").all()  # 1WFA, the helix of winter flounder


@pytest.mark.parametrize("letter", "GA")
def test_short_linkers_of_a_scaffold_are_not_chosen(letter):
    motif = NATIVE[:20].replace(letter, "S")
    sequence = letter * 12 + motif + letter * 4 + motif + letter * 15 + "H" + letter * 30
    assert marks(sequence) == "." * 12 + "+" * 20 + "." * 4 + "+" * 20 + "." * 15 + "+" + "." * 30


def test_single_residues_of_a_motif_are_chosen_though_they_have_the_scaffolds_letter():
    sequence = "G" * 30 + "KDGLHGGE" + "G" * 30
    assert marks(sequence) == "." * 30 + "++++++++" + "." * 30


@pytest.mark.parametrize("length", [0, 3, 14, 15, 16])
def test_short_sequences(length):
    assert len(chosen("G" * length)) == length
    assert not chosen("G" * length).any()
    assert chosen("GHEAT"[:length]).sum() == min(length, 5)
