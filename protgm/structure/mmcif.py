"""mmCIF text: its syntax is gemmi's to read, the rows of atoms are cut out beforehand where they are aligned."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from protgm.structure.aligned import aligned_atoms
from protgm.structure.atom_site import WANTED, atom_name, codes_of, header_of, rows_from_atom_site
from protgm.structure.atoms import MAX_ATOMS, AtomRows, Header
from protgm.structure.errors import StructureError, malformed
from protgm.structure.source import MAX_LINE, check_lines
from protgm.text import printable

__all__ = ["parse_mmcif"]

#: Words of what gemmi is given; it keeps each in some 40 bytes.
MAX_WORDS = 12_000_000
#: Rows of a category other than atom_site.
_HEADER_ROWS = 200_000
_PIECE = 2**20

#: The head of the loop of atoms, a tag on each line; one that looks otherwise is left to gemmi.
_ATOM_LOOP = re.compile(rb"loop_[ \t]*\n((?:_atom_site\.[\w.\-\[\]]+[ \t]*\n)+)")
#: A loop that is not read, where it shows at once that it is nothing but tags and rows: leaving it out takes less time.
_UNREAD = re.compile(
    rb"^loop_[ \t]*\n(?!(?:" + b"|".join(name.encode() for name in WANTED) + rb")\.)(?:_[^\n]*\n)++"
    rb"(?:(?!loop_|data_|save_|stop_|global_)[^\s_#;][^\n]*\n)*+(?=[_#]|loop_|data_|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
#: Where a category may begin.
_BEGINNING = re.compile(rb"^[ \t]*(loop_|data_|_[^\s.]*)", re.IGNORECASE | re.MULTILINE)
_LOOP_TAG = re.compile(rb"[ \t]*loop_(?:\s|#[^\n]*\n)+(_[^\s.]*)", re.IGNORECASE)
_POSITION = re.compile(r"^[^:]*:(\d+):\d+(?:\(\d+\))?:? *")

#: Category -> column -> values.
_Tables = dict[str, dict[str, NDArray[Any]]]


def parse_mmcif(data: bytes, source: str, model: int) -> tuple[AtomRows, Header]:
    """The backbone atoms of model ``model`` (0 is the first one) of the first data block that has atoms.

    Raises
    ------
    StructureError
        If the syntax is wrong in a category that is needed, or there is no such model.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    check_lines(data, source)
    atoms, lines, text, line_of = _cut_atoms(data)
    block = _first_block(text, source, line_of)
    tables: _Tables = {}
    for category, names in WANTED.items():
        # The residues of the polymers one by one are only looked at where their sequences are not given.
        if category != "_pdbx_poly_seq_scheme" or "pdbx_seq_one_letter_code_can" not in tables["_entity_poly"]:
            tables[category] = {} if category == "_atom_site" else _table(block, category, names)
    header = header_of(tables)
    if atoms is not None:
        return rows_from_atom_site(atoms, lines, source, model, header, "line"), header
    atoms, numbers = _ragged_atoms(block, source)
    return rows_from_atom_site(atoms, numbers, source, model, header), header


def _cut_atoms(
    data: bytes,
) -> tuple[dict[str, NDArray[Any]] | None, NDArray[np.int64], bytes, Callable[[int], int]]:
    """Aligned rows of atoms and their lines, the text without them, and what makes its lines those of the file."""
    tag = data.find(b"\n_atom_site.")
    match = _ATOM_LOOP.match(data, data.rfind(b"\n", 0, max(tag, 0)) + 1)
    if match is not None and _in_text(data[: match.start()]) is False:
        columns = [tag.partition(b".")[2].decode("latin-1").lower() for tag in match[1].split()]
        if len(set(columns) & set(WANTED["_atom_site"][1:3])) and (found := aligned_atoms(data, match.end(), columns)):
            table, chosen, stop = found
            first = data.count(b"\n", 0, match.end()) + 1
            cut = data.count(b"\n", match.end(), stop) - 1
            text = data[: match.end()] + b" ." * len(columns) + b"\n" + data[stop:]
            return table, chosen + first, text, lambda line: line + cut if line > first else line
    return None, np.empty(0, dtype=np.int64), data, lambda line: line


def _in_text(before: bytes) -> bool:
    """Whether a text field is open: they stand between two lines that begin with a semicolon."""
    return (before.count(b"\n;") + before.startswith(b";")) % 2 == 1


def _first_block(text: bytes, source: str, line_of: Callable[[int], int]) -> cif.Block:
    """The first data block that has atoms."""
    _check_size(text, source, line_of)
    if not text.isascii():
        text = text.decode("latin-1").encode()
    try:
        document = cif.read_string(_UNREAD.sub(_blank, text), 0)
    except (ValueError, RuntimeError) as error:
        # Something is wrong somewhere: perhaps in a category that nobody needs.
        try:
            document = cif.read_string(_needed(text), 0)
        except (ValueError, RuntimeError):
            raise _syntax_error(error, source, line_of) from None
    for block in document:
        if any(len(block.find_values(f"_atom_site.{name}")) for name in WANTED["_atom_site"]):
            return block
    raise malformed(source, "no _atom_site category: there are no atoms in it")


def _blank(part: re.Match[bytes]) -> bytes:
    """As many empty lines: the others keep their numbers."""
    return b"\n" * part[0].count(b"\n")


def _check_size(text: bytes, source: str, line_of: Callable[[int], int]) -> None:
    """Refuse what would take much memory: very long lines, very many words."""
    words = 0
    buffer = np.frombuffer(text, dtype=np.uint8)
    if len(text) > 2 * MAX_WORDS:
        for start in range(0, len(text), _PIECE):
            filled = buffer[start : start + _PIECE] > ord(" ")
            words += int(np.count_nonzero(filled[1:] & ~filled[:-1])) + 1
    if words > MAX_WORDS:
        raise malformed(source, f"more than {MAX_WORDS:,} values in all that is no aligned table of atoms")
    if len(text) > MAX_LINE:
        lengths = np.diff(np.flatnonzero(buffer == ord("\n")), prepend=-1) - 1
        if (longest := int(lengths.max())) > MAX_LINE:
            what = f"a line of {longest:,} characters, more than the limit of {MAX_LINE:,}"
            raise malformed(source, what, line_of(int(lengths.argmax()) + 1))


def _needed(text: bytes) -> bytes:
    """The text with empty lines in place of the categories that are not read."""
    semicolons = [match.start() for match in re.finditer(rb"^;", text, re.MULTILINE)]
    opened = np.searchsorted(semicolons, [m.start() for m in _BEGINNING.finditer(text)]) % 2 == 1
    marks = [m for m, inside in zip(_BEGINNING.finditer(text), opened.tolist(), strict=True) if not inside]
    parts: list[bytes] = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        part = text[mark.start() : following.start() if following else len(text)]
        word = mark[1].lower()
        if word == b"loop_":
            # What a loop is of, its first tag says.
            tag = _LOOP_TAG.match(part + (following[1] if following else b""))
            word = tag[1].lower() if tag else b""
        parts.append(part if word == b"data_" or word.decode("latin-1") in WANTED else b"\n" * part.count(b"\n"))
    head = text[: marks[0].start()] if marks else b""
    return b"\n" * head.count(b"\n") + b"".join(parts)


def _syntax_error(error: Exception, source: str, line_of: Callable[[int], int]) -> StructureError:
    match = _POSITION.match(str(error))
    reason = printable(str(error)[match.end() :] if match else str(error)) or "parse error"
    return malformed(source, f"CIF syntax: {reason}", line_of(int(match[1])) if match else None)


def _text(value: str) -> str:
    """A value without its quotes; ``.`` and ``?`` stay."""
    return str(cif.as_string(value)) if value[:1] in ("'", '"', ";") else value


def _table(block: cif.Block, category: str, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Columns of a category, as far as they are there."""
    table = {}
    for name in names:
        column = block.find_values(f"{category}.{name}")
        if len(column):
            values = [_text(value) for value, _ in zip(column, range(_HEADER_ROWS), strict=False)]
            table[name] = np.array(values, dtype=object)
    return table


def _ragged_atoms(block: cif.Block, source: str) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """The atom_site category at the rows of backbone atoms, and the numbers of these rows."""
    there = {name: column for name in WANTED["_atom_site"] if len(column := block.find_values(f"_atom_site.{name}"))}
    name = atom_name(there)
    if name not in there:
        raise malformed(source, "the _atom_site category has no column label_atom_id")
    count = len(there[name])
    chosen: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    table: dict[str, NDArray[Any]] = {}
    for key, column in [(name, there.pop(name)), *there.items()]:
        if len(column) != count:
            raise malformed(source, f"column {key} of _atom_site has {len(column)} values, others {count}")
        values = np.array([_text(value) for value in column], dtype=object)
        if not table:
            chosen = np.flatnonzero(codes_of(values) >= 0)
            if len(chosen) > MAX_ATOMS:
                raise malformed(source, f"more than {MAX_ATOMS:,} backbone atoms")
        table[key] = values[chosen]
    return table, chosen + 1
