"""mmCIF text (CIF 1.1 syntax): the categories that are needed are tokenised, the others stepped over."""

from __future__ import annotations

import re
from itertools import takewhile
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.aligned import aligned_atoms
from protgm.structure.assemble import MAX_ATOMS, AtomRows
from protgm.structure.atom_site import BACKBONE_ATOMS, WANTED, header_metadata, rows_from_atom_site
from protgm.structure.cif_lines import CifLines, ends_loop
from protgm.structure.errors import malformed, printable

__all__ = ["parse_mmcif"]

_PLAIN_TAG = re.compile(rb"_[\w.\-\[\]]+\s*\Z")
_PLAIN_LOOP = re.compile(rb"loop_\s*\Z", re.IGNORECASE)
_WANTED_TAG = re.compile(b"(?:" + b"|".join(name.encode() for name in WANTED) + rb")\.", re.IGNORECASE)
_BACKBONE = {name.encode(): atom for name, atom in BACKBONE_ATOMS.items()}
_HEADER_ROWS = 200_000
_MAX_TAGS = 1_000

#: Category -> column -> values.
_Tables = dict[str, dict[str, NDArray[Any]]]


def parse_mmcif(data: bytes, source: str, model: int) -> AtomRows:
    """The backbone atoms of model ``model`` (0 is the first one) of the first data block that has atoms.

    Raises
    ------
    StructureError
        If the syntax or a backbone atom is malformed or there is no such model.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = CifLines(data, source)
    tables: _Tables = {}
    atom_lines: list[int] = []
    for number in lines.marked():
        # Lines of a loop that has been read.
        if number < lines.at:
            continue
        line = lines[number].lstrip()
        lines.at = number
        if line[:1] == b"_":
            if _WANTED_TAG.match(line):
                _pair(lines, line, tables)
        elif line[:5].lower() == b"loop_":
            _loop(lines, tables, atom_lines)
        elif line[:5].lower() == b"data_":
            if "_atom_site" in tables:
                break
            tables.clear()
    else:
        lines.check_closed()
    if "_atom_site" not in tables:
        raise malformed(source, "no _atom_site category: there are no atoms in it")
    numbers = np.array(atom_lines, dtype=np.int64) if atom_lines else None
    rows = rows_from_atom_site(tables["_atom_site"], numbers, source, model)
    header_metadata(tables, rows)
    return rows


def _split_tag(tag: bytes) -> tuple[str, str]:
    category, _, column = tag.decode("latin-1").lower().partition(".")
    return category, column


def _pair(lines: CifLines, line: bytes, tables: _Tables) -> None:
    """A tag of a wanted category and its value; the position moves past both if the tag is wanted too."""
    tag = line.split(None, 1)[0]
    category, column = _split_tag(tag)
    if column not in WANTED[category]:
        return
    number = lines.at + 1
    rest = lines.tokens(line)[1:]
    lines.at += 1
    if not rest:
        for token, _ in lines.values():
            rest.append(token)
            break
    if not rest:
        raise malformed(lines.source, f"{printable(tag.decode('latin-1'))} has no value", number)
    tables.setdefault(category, {})[column] = np.array([rest[0].decode("latin-1")], dtype=object)


def _passed(lines: CifLines) -> bool:
    """Move past the tags of a loop if that shows at once that it is not wanted: whether it does.

    What its values are need not be known: until the loop ends none of them can look like a tag or a reserved word.
    """
    at = lines.at
    if at + 1 == len(lines) or not _PLAIN_LOOP.match(lines[at]) or _WANTED_TAG.match(lines[at + 1].lstrip()):
        return False
    for end in range(at + 1, min(at + _MAX_TAGS, len(lines))):
        line = lines[end]
        if not _PLAIN_TAG.match(line):
            # Comments, empty lines, and values behind tags are left to the thorough reader.
            if end == at + 1 or line[:1] in b"_# \t":
                return False
            lines.at = end
            return True
    return False


def _loop(lines: CifLines, tables: _Tables, atom_lines: list[int]) -> None:
    if _passed(lines):
        return
    start = lines.at + 1
    words = lines.tokens(lines[lines.at])[1:]
    lines.at += 1
    tags: list[bytes] = []
    while True:
        of_line = list(takewhile(lambda word: word[:1] == b"_", words))
        words = words[len(of_line) :]
        tags += of_line
        if len(tags) > _MAX_TAGS:
            raise malformed(lines.source, f"a loop of more than {_MAX_TAGS:,} columns", start)
        if words or lines.at >= len(lines):
            break
        line = lines[lines.at].lstrip()
        if line and line[:1] not in b"_#":
            break
        words = lines.tokens(line)
        lines.at += 1
    if not tags:
        raise malformed(lines.source, "loop_ without tags", start)
    category = _split_tag(tags[0])[0]
    # The residues of the polymers one by one are only looked at where their sequences are not given.
    spare = category == "_pdbx_poly_seq_scheme" and "pdbx_seq_one_letter_code_can" in tables.get("_entity_poly", ())
    if category not in WANTED or spare:
        return
    if words:
        raise malformed(lines.source, f"values on the line of the tags of {category}", lines.at)
    columns = [_split_tag(tag)[1] for tag in tags]
    if category == "_atom_site":
        tables[category] = _atoms(lines, columns, atom_lines)
    else:
        tables[category] = _table(lines, category, columns)


def _table(lines: CifLines, category: str, columns: list[str]) -> dict[str, NDArray[Any]]:
    """A wanted loop that is not atom_site."""
    width = len(columns)
    wanted = [(i, name) for i, name in enumerate(columns) if name in WANTED[category]]
    table: dict[str, list[str]] = {name: [] for _, name in wanted}
    row: list[bytes] = []
    count = 0
    for token, _ in lines.values():
        row.append(token)
        if len(row) == width:
            count += 1
            if count <= _HEADER_ROWS:
                for i, name in wanted:
                    table[name].append(row[i].decode("latin-1"))
            row = []
    if row:
        raise malformed(
            lines.source,
            f"the {category} loop ends within a row: {len(row)} of {width} values",
            min(lines.at, len(lines)),
        )
    return {name: np.array(values, dtype=object) for name, values in table.items()}


def _atoms(lines: CifLines, columns: list[str], atom_lines: list[int]) -> dict[str, NDArray[Any]]:
    """The atom_site loop at the rows of backbone atoms; their line numbers go to ``atom_lines``."""
    width = len(columns)
    names = [name for name in columns if name in WANTED["_atom_site"]]
    atom_name = "label_atom_id" if "label_atom_id" in columns else "auth_atom_id"
    if atom_name not in columns:
        raise malformed(lines.source, "the _atom_site category has no column label_atom_id", lines.at)
    where = columns.index(atom_name)
    atom_lines.clear()
    if (found := aligned_atoms(lines, columns, where)) is not None:
        table, chosen, lines.at = found
        atom_lines.extend((chosen + 1).tolist())
        return table
    pick = itemgetter(*(columns.index(name) for name in names), 0)
    picked: list[tuple[bytes, ...]] = []
    row: list[bytes] = []
    while lines.at < len(lines):
        line = lines[lines.at]
        tokens = line.split()
        # The usual case: one row per line, nothing quoted.
        if len(tokens) == width and not row and b"'" not in line and b'"' not in line and b"#" not in line:
            if line[:1] == b";":
                pass
            elif tokens[where] in _BACKBONE:
                # Each row has some twenty values: no more of them than will be read.
                if len(picked) > MAX_ATOMS:
                    break
                picked.append(pick(tokens))
                atom_lines.append(lines.at + 1)
                lines.at += 1
                continue
            elif line[:1] != b"_":
                lines.at += 1
                continue
        if line[:1] == b";":
            row.append(lines.text_field())
        elif ends_loop(line):
            break
        else:
            row.extend(lines.tokens(line))
        lines.at += 1
        done = len(row) - len(row) % width
        for start in range(0, done, width):
            if row[start + where] in _BACKBONE:
                picked.append(pick(row[start : start + width]))
                atom_lines.append(lines.at)
        row = row[done:]
        if len(picked) > MAX_ATOMS:
            break
    if row and len(picked) <= MAX_ATOMS:
        last = min(lines.at, len(lines))
        raise malformed(lines.source, f"the _atom_site loop ends within a row: {len(row)} of {width} values", last)
    transposed = list(zip(*picked, strict=True)) or [()] * len(names)
    return {name: np.array(values, dtype=bytes) for name, values in zip(names, transposed, strict=False)}
