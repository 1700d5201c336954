"""mmCIF text (CIF 1.1 syntax): the categories that are needed are tokenised, the others stepped over by line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.aligned import aligned_atoms, ends_loop
from protgm.structure.assemble import MAX_ATOMS, AtomRows
from protgm.structure.atom_site import BACKBONE_ATOMS, WANTED, header_metadata, rows_from_atom_site
from protgm.structure.errors import malformed, printable
from protgm.structure.source import MAX_LINE, check_lines

__all__ = ["parse_mmcif"]

# A quoted value ends at a quote that is followed by white space. An opening quote that finds no end is the last
# alternative, and an error: retrying it as a bare word would take quadratic time on hostile lines.
_TOKEN = re.compile(rb"""'((?:[^']|'(?=\S))*)'(?!\S)|"((?:[^"]|"(?=\S))*)"(?!\S)|(\#.*)|([^\s'"]\S*)|(['"])""")
_PLAIN_TAG = re.compile(rb"_[\w.\-\[\]]+\s*\Z")
_BACKBONE = {name.encode(): atom for name, atom in BACKBONE_ATOMS.items()}
_HEADER_ROWS = 200_000
_MAX_TAGS = 1_000
_WANTED_TAGS = frozenset(f"{category}.{column}".encode() for category, columns in WANTED.items() for column in columns)

#: Category -> column -> values.
_Tables = dict[str, dict[str, NDArray[Any]]]


class _Lines:
    """The lines of a file with a position."""

    def __init__(self, data: bytes, source: str) -> None:
        check_lines(data, source)
        self.lines = data.split(b"\n")
        if len(longest := max(self.lines, key=len)) > MAX_LINE:
            number = self.lines.index(longest) + 1
            raise malformed(
                source, f"a line of {len(longest):,} characters, more than the limit of {MAX_LINE:,}", number
            )
        self.at = 0
        self.source = source

    def tokens(self, line: bytes) -> list[tuple[bytes, bool]]:
        """Values on one line and whether each was quoted, without the comment."""
        found = []
        for match in _TOKEN.finditer(line):
            kind = match.lastindex
            if kind == 5:
                raise malformed(self.source, "a quoted value has no end", self.at + 1)
            if kind != 3:
                found.append((match[kind or 4], kind in (1, 2)))
        return found

    def text_field(self) -> bytes:
        """The text between two lines that begin with a semicolon; the position moves to the closing line."""
        start = self.at
        parts = [self.lines[start][1:]]
        for i in range(start + 1, len(self.lines)):
            if self.lines[i][:1] == b";":
                self.at = i
                return b"\n".join(parts)
            parts.append(self.lines[i])
        raise malformed(self.source, "a text field that begins with ';' has no end", start + 1)

    def values(self) -> Iterator[tuple[bytes, int]]:
        """The values from here on, with their lines, up to the next tag or reserved word."""
        while self.at < len(self.lines):
            line = self.lines[self.at]
            number = self.at + 1
            if line[:1] == b";":
                text = self.text_field()
                self.at += 1
                yield text, number
                continue
            if ends_loop(line):
                return
            found = self.tokens(line)
            self.at += 1
            for token, _ in found:
                yield token, number


def parse_mmcif(data: bytes, source: str, model: int) -> AtomRows:
    """The backbone atoms of model ``model`` (0 is the first one) of the first data block that has atoms.

    Raises
    ------
    StructureError
        If the syntax or a backbone atom is malformed or there is no such model.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = _Lines(data, source)
    tables: _Tables = {}
    atom_lines: list[int] = []
    while lines.at < len(lines.lines):
        line = lines.lines[lines.at]
        first = line[:1]
        if first == b";":
            lines.text_field()
            lines.at += 1
            continue
        if first in (b" ", b"\t"):
            line = line.lstrip()
            first = line[:1]
        if first == b"_":
            _pair(lines, line, tables)
        elif first in b"lL" and line[:5].lower() == b"loop_":
            _loop(lines, tables, atom_lines)
        elif first in b"dD" and line[:5].lower() == b"data_":
            if "_atom_site" in tables:
                break
            tables.clear()
            lines.at += 1
        else:
            lines.at += 1
    if "_atom_site" not in tables:
        raise malformed(source, "no _atom_site category: there are no atoms in it")
    numbers = np.array(atom_lines, dtype=np.int64) if atom_lines else None
    rows = rows_from_atom_site(tables["_atom_site"], numbers, source, model)
    header_metadata(tables, rows)
    return rows


def _split_tag(tag: bytes) -> tuple[str, str]:
    category, _, column = tag.decode("latin-1").lower().partition(".")
    return category, column


def _pair(lines: _Lines, line: bytes, tables: _Tables) -> None:
    """A tag and its value; the position moves past both where they are wanted, else past the tag's line."""
    tag = line.split(None, 1)[0]
    if tag.lower() not in _WANTED_TAGS:
        lines.at += 1
        return
    category, column = _split_tag(tag)
    number = lines.at + 1
    rest = [token for token, _ in lines.tokens(line)][1:]
    lines.at += 1
    if not rest:
        for token, _ in lines.values():
            rest.append(token)
            break
    if not rest:
        raise malformed(lines.source, f"{printable(tag.decode('latin-1'))} has no value", number)
    tables.setdefault(category, {})[column] = np.array([rest[0].decode("latin-1")], dtype=object)


def _loop(lines: _Lines, tables: _Tables, atom_lines: list[int]) -> None:
    start = lines.at + 1
    words = [token for token, _ in lines.tokens(lines.lines[lines.at])][1:]
    lines.at += 1
    tags: list[bytes] = []
    while True:
        of_line = list(takewhile(lambda word: word[:1] == b"_", words))
        words = words[len(of_line) :]
        tags += of_line
        if len(tags) > _MAX_TAGS:
            raise malformed(lines.source, f"a loop of more than {_MAX_TAGS:,} columns", start)
        if words or lines.at >= len(lines.lines):
            break
        line = lines.lines[lines.at].lstrip()
        if line and line[:1] not in b"_#":
            break
        words = line.split() if _PLAIN_TAG.match(line) else [token for token, _ in lines.tokens(line)]
        lines.at += 1
    if not tags:
        raise malformed(lines.source, "loop_ without tags", start)
    category = _split_tag(tags[0])[0]
    # The residues of the polymers one by one are only looked at where their sequences are not given.
    spare = category == "_pdbx_poly_seq_scheme" and "pdbx_seq_one_letter_code_can" in tables.get("_entity_poly", ())
    if category not in WANTED or spare:
        _skip(lines)
        return
    if words:
        raise malformed(lines.source, f"values on the line of the tags of {category}", lines.at)
    columns = [_split_tag(tag)[1] for tag in tags]
    if category == "_atom_site":
        tables[category] = _atoms(lines, columns, atom_lines)
    else:
        tables[category] = _table(lines, category, columns)


def _skip(lines: _Lines) -> None:
    """Past the values of a loop that is not wanted."""
    everything, at, end = lines.lines, lines.at, len(lines.lines)
    while at < end:
        line = everything[at]
        first = line[:1]
        if first == b";":
            lines.at = at
            lines.text_field()
            at = lines.at
        elif first in b" _lLdDsSgG" and ends_loop(line):
            break
        at += 1
    lines.at = at


def _table(lines: _Lines, category: str, columns: list[str]) -> dict[str, NDArray[Any]]:
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
            min(lines.at, len(lines.lines)),
        )
    return {name: np.array(values, dtype=object) for name, values in table.items()}


def _atoms(lines: _Lines, columns: list[str], atom_lines: list[int]) -> dict[str, NDArray[Any]]:
    """The atom_site loop at the rows of backbone atoms; their line numbers go to ``atom_lines``."""
    width = len(columns)
    names = [name for name in columns if name in WANTED["_atom_site"]]
    atom_name = "label_atom_id" if "label_atom_id" in columns else "auth_atom_id"
    if atom_name not in columns:
        raise malformed(lines.source, "the _atom_site category has no column label_atom_id", lines.at)
    where = columns.index(atom_name)
    atom_lines.clear()
    if (found := aligned_atoms(lines.lines, lines.at, columns, where)) is not None:
        table, chosen, lines.at = found
        atom_lines.extend((chosen + 1).tolist())
        return table
    pick = itemgetter(*(columns.index(name) for name in names), 0)
    picked: list[tuple[bytes, ...]] = []
    everything = lines.lines
    row: list[bytes] = []
    while lines.at < len(everything):
        line = everything[lines.at]
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
            row.extend(token for token, _ in lines.tokens(line))
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
        last = min(lines.at, len(everything))
        raise malformed(lines.source, f"the _atom_site loop ends within a row: {len(row)} of {width} values", last)
    transposed = list(zip(*picked, strict=True)) or [()] * len(names)
    return {name: np.array(values, dtype=bytes) for name, values in zip(names, transposed, strict=False)}
