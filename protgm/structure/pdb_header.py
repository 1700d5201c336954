"""What a PDB file says before its atoms: entry, method, resolution, sequences, missing and modified residues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice

import numpy as np

from protgm.structure.assemble import letters_of
from protgm.structure.atoms import B_FACTORS, CONFIDENCE, Header
from protgm.text import printable

__all__ = ["HEADER_WORDS", "MAX_RECORDS", "REFINEMENT", "REMARKS", "REMARK_WORD", "pdb_header"]

#: First four bytes of the records that are read, as numbers; remarks by their number.
HEADER_WORDS = np.frombuffer(b"HEADEXPDMODR", dtype="<u4")
REMARK_WORD = np.frombuffer(b"REMA", dtype="<u4")[0]
#: Columns 7 to 10 of the remarks that are read, as numbers: most files have hundreds of others. Those of the refinement
#: are read where the others do not tell the resolution.
REMARKS = np.frombuffer(b"   2  2  2   2 R   6 465", dtype="<u4")
REFINEMENT = np.frombuffer(b"   3  3  3   3 R", dtype="<u4")

_MISSING = re.compile(rb"REMARK 465 +(?:\d+ +)?[!-~]{1,3} +([!-~]) *(-?\d+)([!-~]?)\s*$")
_RESOLUTION = re.compile(r"REMARK\s+2\s+RESOLUTION[.:]?\s+(\d+\.?\d*)\s*(?:A\b|ANG|$)", re.IGNORECASE)
_RANGE = re.compile(rb"REMARK\s+3\s+RESOLUTION RANGE HIGH\s*\(ANGSTROMS?\)\s*:\s*(\d+\.?\d*)\s*$", re.IGNORECASE)
_CONFIDENT = f"REMARK   6 PROTGM {B_FACTORS}: {CONFIDENCE}"
_BLANKS = re.compile(r"\s+")

#: Records that are read, of sequences and of anything else.
MAX_RECORDS = 200_000


def pdb_header(records: Iterable[bytes], refinement: Iterable[bytes], seqres: Mapping[bytes, bytes]) -> Header:
    """What the records say that stand before the atoms. Nothing here is needed, so nothing here is an error.

    ``refinement`` are those of remark 3, read where remark 2 does not tell the resolution; ``seqres`` has the names of
    residues that the SEQRES records give of each chain.
    """
    header = Header()
    metadata = header.metadata
    missing: dict[str, list[str]] = {}
    methods = ""
    for raw in islice(records, MAX_RECORDS):
        if match := _MISSING.match(raw):
            missing.setdefault(match[1].decode(), []).append((match[2] + match[3]).decode())
            continue
        record, line = raw[:6], printable(raw.decode("latin-1").rstrip())
        if record == b"MODRES":
            header.parents[line[12:15].strip()] = line[24:27].strip()
        elif record == b"EXPDTA":
            methods += " " + line[10:79].strip()
        elif record == b"HEADER" and (code := line[62:66].strip()):
            metadata["entry"] = code
        elif line == _CONFIDENT:
            header.confident = True
        elif stated := _RESOLUTION.match(line):
            metadata.setdefault("resolution", float(stated[1]))
    if "resolution" not in metadata and (high := next(filter(None, map(_RANGE.match, refinement)), None)):
        metadata["resolution"] = float(high[1])
    if methods:
        metadata["method"] = _BLANKS.sub(" ", methods).strip()
    names = {_text(chain).strip(): _text(names).split() for chain, names in seqres.items()}
    if sequences := letters_of(names, header.parents):
        metadata["seqres"] = sequences
    if missing:
        metadata["missing_residues"] = missing
    return header


def _text(columns: bytes) -> str:
    return printable(columns.decode("latin-1"), limit=len(columns))
