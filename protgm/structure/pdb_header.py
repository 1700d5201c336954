"""What a PDB file says before its atoms: entry, method, resolution, sequences, missing and modified residues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice

import numpy as np

from protgm.structure.assemble import letters_of
from protgm.structure.atoms import B_FACTORS, CONFIDENCE, Header
from protgm.text import printable

__all__ = ["HEADER_WORDS", "MAX_RECORDS", "REMARK_NUMBERS", "REMARK_WORD", "pdb_header"]

#: First four bytes of the records that are read, as numbers.
HEADER_WORDS = np.frombuffer(b"HEADEXPDREMAMODR", dtype="<u4")
REMARK_WORD = HEADER_WORDS[2]
#: Columns 7 to 10 of the remarks that are read, as numbers: most files have hundreds of others.
REMARK_NUMBERS = np.frombuffer(b"   2  2  2   2 R   3  3  3   3 R   6 465", dtype="<u4")

#: Remarks that are read, with and without the blanks that the format wants: resolution and provenance.
_REMARK = re.compile(rb"REMARK(?: +2 +RES| +3 +RESOLUTION RANGE HIGH|   6 PROTGM )", re.IGNORECASE)
_MISSING = re.compile(rb"REMARK 465 +(?:\d+ +)?[!-~]{1,3} +([!-~]) *(-?\d+)([!-~]?)\s*$")
#: What remark 2 says, and remark 3 where remark 2 says nothing.
_RESOLUTIONS = (
    re.compile(r"REMARK\s+2\s+RESOLUTION[.:]?\s+(\d+\.?\d*)\s*(?:A\b|ANG|$)", re.IGNORECASE),
    re.compile(r"REMARK\s+3\s+RESOLUTION RANGE HIGH\s*\(ANGSTROMS?\)\s*:\s*(\d+\.?\d*)\s*$", re.IGNORECASE),
)
_CONFIDENT = f"REMARK   6 PROTGM {B_FACTORS}: {CONFIDENCE}"
_BLANKS = re.compile(r"\s+")

#: Records that are read, of sequences and of anything else.
MAX_RECORDS = 200_000


def pdb_header(records: Iterable[bytes], seqres: Mapping[bytes, bytes]) -> Header:
    """What the records say that stand before the atoms. Nothing here is needed, so nothing here is an error.

    ``seqres`` has the names of residues that the SEQRES records give of each chain.
    """
    header = Header()
    metadata = header.metadata
    missing: dict[str, list[str]] = {}
    resolutions: list[str | None] = [None] * len(_RESOLUTIONS)
    methods = ""
    for raw in islice(records, MAX_RECORDS):
        if match := _MISSING.match(raw):
            missing.setdefault(match[1].decode(), []).append((match[2] + match[3]).decode())
            continue
        record = raw[:6]
        if record == b"REMARK" and not _REMARK.match(raw):
            continue
        line = printable(raw.decode("latin-1").rstrip())
        if record == b"MODRES":
            header.parents[line[12:15].strip()] = line[24:27].strip()
        elif record == b"EXPDTA":
            methods += " " + line[10:79].strip()
        elif record == b"HEADER" and (code := line[62:66].strip()):
            metadata["entry"] = code
        elif line == _CONFIDENT:
            header.confident = True
        else:
            numbers = [match and match[1] for match in (pattern.match(line) for pattern in _RESOLUTIONS)]
            resolutions = [old or new for old, new in zip(resolutions, numbers, strict=True)]
    for number in filter(None, resolutions):
        metadata.setdefault("resolution", float(number))
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
