"""The atom_site loop of mmCIF files as the PDB writes them: rows of one length, their values below each other.

Cutting columns out of such a block of bytes is several times faster than splitting it line by line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.atom_site import WANTED, atom_name
from protgm.structure.atoms import ATOM_CODES

__all__ = ["aligned_atoms", "ends_loop"]

_BACKBONE = [name.encode() for name in ATOM_CODES]
_QUOTED_BACKBONE = [quote + name + quote for name in _BACKBONE for quote in (b"'", b'"')]
_QUOTABLE = ("label_atom_id", "auth_atom_id")
#: First bytes of lines that are no rows: tags, text fields, comments, quotes and the first letters of reserved words.
_UNUSUAL = np.zeros(256, dtype=bool)
_UNUSUAL[np.frombuffer(b"_;#'\"lLdDsSgG", dtype=np.uint8)] = True
_RESERVED = (b"loop_", b"data_", b"save_", b"stop_", b"global_")
#: Bytes of a block; working on it takes some ten times as much memory.
_MAX_BLOCK = 48 * 2**20

_Block = NDArray[np.uint8]
#: Begin and end of each column.
_Fields = list[tuple[int, int]]


def ends_loop(line: bytes) -> bool:
    """Whether a line of a CIF file that is not in a text field ends the values of a loop."""
    return line.lstrip()[:7].lower().startswith((b"_", *_RESERVED))


def aligned_atoms(
    data: bytes, begin: int, columns: list[str]
) -> tuple[dict[str, NDArray[np.bytes_]], NDArray[np.int64], int] | None:
    """The rows of backbone atoms in a loop whose values begin at byte ``begin``.

    Parameters
    ----------
    data : bytes
        Lines that end with a line feed, the last one too.
    begin : int
        Where a line begins.
    columns : list of str
        Names of the loop's columns, in lower case.

    Returns
    -------
    tuple or None
        The wanted columns at the rows of backbone atoms (values may be padded with blanks), the index of each of these
        among the rows, and where the rows end. None where anything about the loop is unusual, so that it takes a
        thorough reader to tell what it means.
    """
    if (block := _rows(data, begin)) is None or _UNUSUAL[block[:, 0]].any():
        return None
    stop = begin + block.size
    if data.find(b"#", begin, stop) >= 0 or (fields := _fields(block, len(columns))) is None:
        return None
    quoted = data.find(b"'", begin, stop) >= 0 or data.find(b'"', begin, stop) >= 0
    if quoted and _quotes_elsewhere(block, fields, columns):
        return None
    atoms = np.char.strip(_cut(block, fields[columns.index(atom_name(columns))]))
    if quoted and np.isin(atoms, _QUOTED_BACKBONE).any():
        return None
    chosen = np.flatnonzero(np.isin(atoms, _BACKBONE))
    rows = block[chosen]
    table = {name: _cut(rows, fields[i]) for i, name in enumerate(columns) if name in WANTED["_atom_site"]}
    return table, chosen, stop


def _rows(data: bytes, begin: int) -> _Block | None:
    """Lines of one length, with their ends, (rows, length); None unless the loop ends behind them."""
    size = data.find(b"\n", begin) + 1 - begin
    if size < 2:
        return None
    count = min(len(data) - begin, _MAX_BLOCK) // size
    block = np.frombuffer(data, dtype=np.uint8, count=count * size, offset=begin).reshape(count, size)
    end = ord("\n")
    # The first line of another length does not end where these do, or ends before.
    others = np.flatnonzero((block[:, -1] != end) | (block[:, :-1] == end).any(axis=1))
    block = block[: int(others[0])] if len(others) else block
    after = begin + block.size
    while after < len(data) and data[after : data.find(b"\n", after)].strip() in (b"", b"#"):
        after = data.find(b"\n", after) + 1
    return block if after >= len(data) or ends_loop(data[after : after + 80]) else None


def _fields(block: _Block, count: int) -> _Fields | None:
    """Where the columns of a block of rows are; None unless every row has ``count`` words that stand below each other.

    The last byte of a row is the end of the line.
    """
    rows, size = block.shape
    # Tabs and other control characters beside the ends of the lines.
    if np.count_nonzero(block < ord(" ")) != rows:
        return None
    filled = (block > ord(" ")).reshape(-1)
    # Words begin where a filled byte follows a blank.
    begins = filled.copy()
    np.greater(filled[1:], filled[:-1], out=begins[1:])
    if np.count_nonzero(begins) != rows * count:
        return None
    # The usual case: columns are aligned on the left, and there are no other words.
    starts = np.flatnonzero(begins.reshape(rows, size).all(axis=0)).tolist()
    if len(starts) == count:
        return [(a, b - 1) for a, b in zip(starts, [*starts[1:], size], strict=True)]
    grid = filled.reshape(rows, size)
    edges = np.diff(grid.any(axis=0), prepend=False, append=False)
    fields = np.flatnonzero(edges).reshape(-1, 2).tolist()
    # As many words as there should be and none of them missing: one word of every column in every row.
    if len(fields) != count or not np.logical_or.reduceat(grid, [a for a, _ in fields], axis=1).all():
        return None
    return [(a, b) for a, b in fields]


def _quotes_elsewhere(block: _Block, fields: _Fields, columns: list[str]) -> bool:
    """Whether there is a quote in a column other than the atoms' names, where it belongs to nucleic acids."""
    quoted = ((block == ord("'")) | (block == ord('"'))).any(axis=0)
    return any(quoted[a:b].any() for (a, b), name in zip(fields, columns, strict=True) if name not in _QUOTABLE)


def _cut(block: _Block, field: tuple[int, int]) -> NDArray[Any]:
    """A column as an array of bytes."""
    a, b = field
    return np.ascontiguousarray(block[:, a:b]).view(f"S{b - a}")[:, 0]
