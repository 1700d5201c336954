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


@pytest.mark.parametrize("length", [0, 1, 3, 14, 15, 16])
def test_short_sequences(length):
    assert len(chosen("G" * length)) == length
    assert not chosen("G" * length).any()
    assert chosen("GHEAT"[:length]).sum() == (min(length, 5) if length > 1 else 0)
