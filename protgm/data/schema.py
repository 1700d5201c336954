"""What a dataset file holds: the columns, their units and the names of the files."""

from __future__ import annotations

import pyarrow as pa

from protgm.structure.residues import AMINO_ACIDS
from protgm.structure.secondary import STATES

__all__ = ["FORMAT", "INDEX_FILE", "REJECTED_FILE", "SCHEMA", "SPLITS", "STATES", "UNKNOWN", "VERSION"]

#: Index of a residue whose type is not known; those of the others are places in ``AMINO_ACIDS``.
UNKNOWN = len(AMINO_ACIDS)

FORMAT = "protgm-dataset"
VERSION = 1
INDEX_FILE = "dataset.json"
REJECTED_FILE = "rejected.csv"

SPLITS = ("train", "val", "test")

#: Columns of the Arrow file, one row per entry. ``coords`` is (L, 4, 3) flattened: N, CA, C, O in
#: Angstrom, NaN where missing.
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("source", pa.string()),  # path of the file below the source folder
        ("pdb_id", pa.string()),  # empty where unknown
        ("chain", pa.string()),  # the author's chain identifiers, joined by "," where there are several
        ("length", pa.int32()),
        ("cluster", pa.string()),
        ("split", pa.string()),
        ("coords", pa.list_(pa.float32())),
        ("sequence", pa.string()),  # X where unknown
        ("residue_numbers", pa.list_(pa.int32())),  # the author's
        ("insertion_codes", pa.string()),  # one character a residue, blank where there is none
        ("residue_index", pa.list_(pa.int32())),  # strictly growing: see protgm.data.dataset.Example
        ("chain_index", pa.list_(pa.int32())),
        ("chain_breaks", pa.list_(pa.bool_())),  # True where residue i is not bonded to i + 1
        ("secondary", pa.string()),  # H, E or C
        ("helix", pa.float32()),  # shares of the residues
        ("strand", pa.float32()),
        ("rg", pa.float32()),  # radius of gyration of the CA atoms, Angstrom
        ("rg_ratio", pa.float32()),  # rg / (2.2 L^0.38)
        ("resolution", pa.float32()),  # Angstrom; null where unknown
    ]
)
