"""Residue names to one-letter codes: the twenty amino acids, their modifications, and ``X``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from Bio.Data.PDBData import protein_letters_3to1_extended

__all__ = ["AMINO_ACIDS", "D_AMINO_ACIDS", "LETTERS", "THREE_LETTER", "canonical", "letter_of"]

#: The twenty letters a sequence is made of, beside ``X``.
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

#: Protonation and disulphide states as force fields name them.
_FORCE_FIELD = {
    "HID": "H", "HIE": "H", "HIP": "H", "HSD": "H", "HSE": "H", "HSP": "H",
    "CYX": "C", "CYM": "C", "ASH": "D", "GLH": "E", "LYN": "K",
}  # fmt: skip

#: Names that the chemical component dictionary's parents (as tabulated by Biopython) leave out.
_MORE = {
    # Selenocysteine and pyrrolysine: genetically encoded, here by their parents CYS and LYS.
    "SEC": "C", "PYL": "K",
    # Amino acids of unknown or ambiguous type.
    "UNK": "X", "ASX": "X", "GLX": "X", "XLE": "X",
}  # fmt: skip

#: D-amino acids by the letter of their mirror image.
D_AMINO_ACIDS: Mapping[str, str] = MappingProxyType(
    {
        "DAL": "A", "DAR": "R", "DSG": "N", "DAS": "D", "DCY": "C", "DGN": "Q", "DGL": "E", "DHI": "H", "DIL": "I",
        "DLE": "L", "DLY": "K", "MED": "M", "DPN": "F", "DPR": "P", "DSN": "S", "DTH": "T", "DTR": "W", "DTY": "Y",
        "DVA": "V",
    }
)  # fmt: skip

#: One-letter code of every residue name known to be an amino acid, modified ones by their parent.
LETTERS: Mapping[str, str] = MappingProxyType(
    {k.strip(): v for k, v in protein_letters_3to1_extended.items()} | dict(D_AMINO_ACIDS) | _FORCE_FIELD | _MORE
)

#: Residue name of each letter, ``X`` as UNK.
THREE_LETTER: Mapping[str, str] = MappingProxyType(
    {
        "A": "ALA", "C": "CYS", "D": "ASP", "E": "GLU", "F": "PHE", "G": "GLY", "H": "HIS", "I": "ILE", "K": "LYS",
        "L": "LEU", "M": "MET", "N": "ASN", "P": "PRO", "Q": "GLN", "R": "ARG", "S": "SER", "T": "THR", "V": "VAL",
        "W": "TRP", "Y": "TYR", "X": "UNK",
    }
)  # fmt: skip

_STANDARD = frozenset(THREE_LETTER.values()) - {"UNK"}

#: First letters by which AMBER tells the residues at the ends of a chain: NALA, CSER.
_TERMINI = ("N", "C")


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """A residue name as the tables here have it: in capitals, without AMBER's mark of the ends of a chain.

    >>> canonical("ala"), canonical("CSER"), canonical("TIP3")
    ('ALA', 'SER', 'TIP3')
    """
    name = name.upper()
    if len(name) == 4 and name.startswith(_TERMINI) and (name[1:] in _FORCE_FIELD or name[1:] in _STANDARD):
        return name[1:]
    return name


def letter_of(name: str, parents: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """One-letter code of a residue name; None where it is no amino acid that anybody knows.

    ``parents`` are parent residue names that a file itself states (MODRES and the like).
    """
    return LETTERS.get(canonical(name)) or LETTERS.get(canonical(parents.get(name, "")))
