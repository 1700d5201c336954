"""The PDB format (version 3.3, wwPDB 2012), read line by line; only backbone atoms are looked at closely."""

from __future__ import annotations

import re
from io import BytesIO

import numpy as np

from protgm.structure.assemble import MAX_ATOMS, MAX_COORDINATE, AtomRows, letters_of, parse_point, too_many
from protgm.structure.errors import StructureError, malformed, printable
from protgm.structure.residues import LETTERS
from protgm.structure.source import check_lines

__all__ = ["parse_pdb"]

_ATOMS = {b" N  ": 0, b" CA ": 1, b" C  ": 2, b" O  ": 3}
# As programs write them that do not keep to the columns or call the last residue's oxygens otherwise; only believed
# inside amino acids.
_LOOSE_ATOMS = {
    b"N": 0, b"CA": 1, b"C": 2, b"O": 3,
    b"OT1": 3, b"OC1": 3, b"O1": 3,
}  # fmt: skip
_MISSING = re.compile(r"^REMARK 465\s+(?:\d+\s+)?\w{1,3}\s+(\S)\s*(-?\d+)(\S?)\s*$")
_RESOLUTION = re.compile(r"RESOLUTION\.\s+(\d+\.\d+) ANGSTROM")
_HEADER = frozenset({b"HEADER", b"EXPDTA", b"REMARK", b"SEQRES", b"MODRES"})
_HEADER_LINES = 200_000
_METHODS = re.compile(r"\s+")
_HYBRID36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse_pdb(data: bytes, source: str, model: int) -> AtomRows:
    """The backbone atoms of model ``model`` (0 is the first one).

    Raises
    ------
    StructureError
        If a record of a backbone atom is malformed or there is no such model.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    check_lines(data, source)
    rows = AtomRows()
    header: list[bytes] = []
    segment = 0
    current, is_open = -1, False
    atoms: list[int] = []
    flat: list[float] = []
    occupancies: list[float] = []
    last_site = last_record = b""
    for number, line in enumerate(BytesIO(data), 1):
        record = line[:6]
        if record == b"ATOM  " or record == b"HETATM":
            if not is_open:
                current, is_open = current + 1, True
                if current > model:
                    break
            if current != model:
                continue
            atom = _ATOMS.get(line[12:16])
            if atom is None:
                atom = _LOOSE_ATOMS.get(line[12:16].strip())
                residue = line[17:20].strip()
                if atom is None or residue == b"CA" or residue.decode("latin-1") not in LETTERS:
                    continue
                # A calcium ion that is put into an amino acid is still no CA atom.
                if atom == 1 and line[76:78] == b"CA":
                    continue
            # Alternate location, residue name, chain, number and insertion code; the record's name tells hetero groups.
            site = line[16:27]
            if site != last_site or record != last_record:
                key, residue_name = _residue(line, segment, source, number)
                # Some programs write everything as ATOM: a residue that nobody knows must show that it is bonded.
                polymer = record == b"ATOM  " and residue_name in LETTERS
                rows.add_run(key, residue_name, polymer, site[:1].decode("latin-1").strip(), len(atoms))
                last_site, last_record = site, record
                if len(atoms) > MAX_ATOMS:
                    raise too_many(source, number)
            try:
                x, y, z = float(line[30:38]), float(line[38:46]), float(line[46:54])
                good = -MAX_COORDINATE < x < MAX_COORDINATE and abs(y) < MAX_COORDINATE and abs(z) < MAX_COORDINATE
            except ValueError:
                good = False
            if not good or len(line) < 54 or b"_" in line[30:54]:
                raise _bad_point(line, source, number)
            atoms.append(atom)
            flat += (x, y, z)
            occupancies.append(1.0 if site[:1] == b" " else _occupancy(line, source, number))
        elif record == b"TER   " or record.rstrip() == b"TER":
            segment += 1
            last_site = b""
        elif record == b"ENDMDL" or record.rstrip() == b"END":
            is_open = False
        elif record == b"MODEL ":
            is_open = True
            current += 1
            if current > model:
                break
        elif current < 0 and record in _HEADER and len(header) < _HEADER_LINES:
            header.append(line[:80])
    if not atoms and current < model and current >= 0:
        raise malformed(source, f"no model {model}: there are {current + 1}, counted from 0")
    rows.atoms = np.array(atoms, dtype=np.int64)
    rows.points = np.array(flat, dtype=np.float64).reshape(-1, 3)
    rows.occupancies = np.array(occupancies, dtype=np.float64)
    _header(header, rows)
    return rows


def _residue(line: bytes, segment: int, source: str, number: int) -> tuple[tuple[int, str, int, str], str]:
    text = line[17:27].decode("latin-1")
    if not (text.isascii() and text.rstrip("\n").isprintable()):
        raise malformed(source, f"unprintable characters in columns 18-27: {printable(text)!r}", number)
    name, chain, resseq, code = text[:3].strip(), text[4:5].strip(), text[5:9].strip(), text[9:10].strip()
    try:
        value = int(resseq)
        if "_" in resseq:
            raise ValueError
    except ValueError:
        value_or_none = _hybrid36(resseq)
        if value_or_none is None:
            raise malformed(
                source, f"residue number {printable(resseq)!r} in columns 23-26 is not a number", number
            ) from None
        value = value_or_none
    return (segment, chain, value, code), name


def _hybrid36(text: str) -> int | None:
    """Residue numbers above 9999 as A000, A001, ... ZZZZ, a000, ... (hybrid-36, cci.lbl.gov/hybrid_36)."""
    if len(text) != 4 or not text[0].isalpha() or not text.isalnum() or not (text.isupper() or text.islower()):
        return None
    value = 0
    for digit in text.upper():
        value = value * 36 + _HYBRID36.index(digit)
    offset = 10**4 - 10 * 36**3 if text[0].isupper() else 10**4 + 16 * 36**3
    return value + offset


def _bad_point(line: bytes, source: str, number: int) -> StructureError:
    text = line.rstrip()
    if len(text) < 54:
        return malformed(source, f"record ends in column {len(text)}; coordinates stand in columns 31-54", number)
    try:
        parse_point(line[30:38], line[38:46], line[46:54], source, number)
    except StructureError as error:
        return error
    return malformed(source, f"coordinates {printable(line[30:54].decode('latin-1'))!r} are not numbers", number)


def _occupancy(line: bytes, source: str, number: int) -> float:
    text = line[54:60].strip()
    if not text:
        return 1.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1000.0:
        raise malformed(source, f"occupancy {printable(text.decode('latin-1'))!r} is not a number >= 0", number)
    return value


def _header(lines: list[bytes], rows: AtomRows) -> None:
    """What stands before the atoms. Nothing here is needed, so nothing here is an error."""
    seqres: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    methods = ""
    for raw in lines:
        record = raw[:6]
        if record == b"SEQRES":
            line = printable(raw.decode("latin-1").rstrip())
            seqres.setdefault(line[11:12].strip(), []).extend(line[19:70].split())
        elif record == b"REMARK":
            line = printable(raw.decode("latin-1").rstrip())
            if line.startswith("REMARK 465"):
                if match := _MISSING.match(line):
                    missing.setdefault(match[1], []).append(match[2] + match[3])
            elif line.startswith("REMARK   2") and (match := _RESOLUTION.search(line)):
                rows.metadata["resolution"] = float(match[1])
        elif record == b"MODRES":
            line = printable(raw.decode("latin-1").rstrip())
            rows.parents[line[12:15].strip()] = line[24:27].strip()
        elif record == b"EXPDTA":
            methods += " " + printable(raw.decode("latin-1")[10:79].strip())
        elif record == b"HEADER" and (code := printable(raw.decode("latin-1")[62:66].strip())):
            rows.metadata["entry"] = code
    if methods:
        rows.metadata["method"] = _METHODS.sub(" ", methods).strip()
    if sequences := letters_of(seqres, rows.parents):
        rows.metadata["seqres"] = sequences
    if missing:
        rows.metadata["missing_residues"] = missing
