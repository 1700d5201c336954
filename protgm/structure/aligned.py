"""The atom_site loop of mmCIF files as the PDB writes them: rows of one length, their values below each other.

Cutting columns out of such a block of bytes is several times faster than splitting it line by line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.atom_site import BACKBONE_ATOMS, WANTED
from protgm.structure.cif_lines import CifLines, ends_loop

__all__ = ["aligned_atoms"]

_BACKBONE = [name.encode() for name in BACKBONE_ATOMS]
_QUOTED_BACKBONE = [quote + name + quote for name in _BACKBONE for quote in (b"'", b'"')]
_QUOTABLE = ("label_atom_id", "auth_atom_id")
#: First bytes of lines that are no rows: tags, text fields, comments, quotes and the first letters of reserved words.
_UNUSUAL = np.zeros(256, dtype=bool)
_UNUSUAL[np.frombuffer(b"_;#'\"lLdDsSgG", dtype=np.uint8)] = True
#: Bytes of a block; working on it takes some ten times as much memory.
_MAX_BLOCK = 48 * 2**20
#: Lines whose lengths are compared at once.
_PIECE = 4096

_Block = NDArray[np.uint8]
#: Begin and end of each column.
_Fields = list[tuple[int, int]]


def aligned_atoms(
    lines: CifLines, columns: list[str], where: int
) -> tuple[dict[str, NDArray[np.bytes_]], NDArray[np.int64], int] | None:
    """The rows of backbone atoms in a loop whose values begin at the position of ``lines``.

    Parameters
    ----------
    lines : CifLines
    columns : list of str
        Names of the loop's columns, in lower case.
    where : int
        The column with the atoms' names.

    Returns
    -------
    tuple or None
        The wanted columns at the rows of backbone atoms (values may be padded with blanks), the index of each row in
        ``lines``, and the index of the first line behind the rows. None where anything about the loop is unusual, so
        that it takes a thorough reader to tell what it means.
    """
    start = lines.at
    if (end := _last_row(lines)) is None or _UNUSUAL[lines.first[start:end]].any():
        return None
    begin, stop = int(lines.edges[start]) + 1, int(lines.edges[end]) + 1
    data = lines.data
    if data.find(b"#", begin, stop) >= 0:
        return None
    block = np.frombuffer(data, dtype=np.uint8, count=stop - begin, offset=begin).reshape(end - start, -1)
    if (fields := _fields(block, len(columns))) is None:
        return None
    quoted = data.find(b"'", begin, stop) >= 0 or data.find(b'"', begin, stop) >= 0
    if quoted and _quotes_elsewhere(block, fields, columns):
        return None
    atoms = np.char.strip(_cut(block, fields[where]))
    if quoted and np.isin(atoms, _QUOTED_BACKBONE).any():
        return None
    chosen = np.flatnonzero(np.isin(atoms, _BACKBONE))
    rows = block[chosen]
    table = {name: _cut(rows, fields[i]) for i, name in enumerate(columns) if name in WANTED["_atom_site"]}
    return table, chosen + start, end


def _last_row(lines: CifLines) -> int | None:
    """The line behind those of one length that begin at the position; None unless the loop ends there."""
    start, count = lines.at, len(lines)
    if start >= count:
        return None
    size = int(lines.lengths[start])
    end = start
    # In pieces: a file of nothing but short loops would have its whole rest looked at for each.
    while end < count:
        others = np.flatnonzero(lines.lengths[end : end + _PIECE] != size)
        if len(others):
            end += int(others[0])
            break
        end = min(end + _PIECE, count)
    after = end
    while after < count and lines[after].strip() in (b"", b"#"):
        after += 1
    if not 0 < (end - start) * size <= _MAX_BLOCK or (after < count and not ends_loop(lines[after])):
        return None
    return end


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
