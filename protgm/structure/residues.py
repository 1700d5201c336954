"""Residue names to one-letter codes: the twenty amino acids, their modifications, and ``X``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from Bio.Data.PDBData import protein_letters_3to1_extended

__all__ = ["AMINO_ACIDS", "D_AMINO_ACIDS", "LETTERS", "THREE_LETTER"]

#: The twenty letters a sequence is made of, beside ``X``.
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

#: Names that the chemical component dictionary's parents (as tabulated by Biopython) leave out.
_MORE = {
    # Selenocysteine and pyrrolysine: genetically encoded, here by their parents CYS and LYS.
    "SEC": "C", "PYL": "K",
    # Protonation and disulphide states as force fields name them.
    "HID": "H", "HIE": "H", "HIP": "H", "HSD": "H", "HSE": "H", "HSP": "H",
    "CYX": "C", "CYM": "C", "ASH": "D", "GLH": "E", "LYN": "K",
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
    {k.strip(): v for k, v in protein_letters_3to1_extended.items()} | dict(D_AMINO_ACIDS) | _MORE
)

#: Residue name of each letter, ``X`` as UNK.
THREE_LETTER: Mapping[str, str] = MappingProxyType(
    {
        "A": "ALA", "C": "CYS", "D": "ASP", "E": "GLU", "F": "PHE", "G": "GLY", "H": "HIS", "I": "ILE", "K": "LYS",
        "L": "LEU", "M": "MET", "N": "ASN", "P": "PRO", "Q": "GLN", "R": "ARG", "S": "SER", "T": "THR", "V": "VAL",
        "W": "TRP", "Y": "TYR", "X": "UNK",
    }
)  # fmt: skip
