"""The atom_site loop of mmCIF files as the PDB writes them: rows of one length, their values below each other.

Cutting columns out of such a block of bytes is several times faster than splitting it line by line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.atom_site import BACKBONE_ATOMS, WANTED

__all__ = ["aligned_atoms", "ends_loop"]

_RESERVED = (b"loop_", b"data_", b"save_", b"stop_", b"global_")
_BACKBONE = [name.encode() for name in BACKBONE_ATOMS]
_QUOTED_BACKBONE = [quote + name + quote for name in _BACKBONE for quote in (b"'", b'"')]
#: First bytes of lines that are no rows: tags, text fields, comments, quotes and the first letters of reserved words.
_UNUSUAL = np.frombuffer(b"_;#'\"lLdDsSgG", dtype=np.uint8)
#: Bytes of a block; working on it takes some ten times as much memory.
_MAX_BLOCK = 48 * 2**20


def ends_loop(line: bytes) -> bool:
    """Whether a line of a CIF file that is not in a text field ends the values of a loop."""
    return line.lstrip()[:7].lower().startswith((b"_", *_RESERVED))


def aligned_atoms(
    lines: list[bytes], start: int, columns: list[str], where: int
) -> tuple[dict[str, NDArray[np.bytes_]], NDArray[np.int64], int] | None:
    """The rows of backbone atoms in a loop whose values begin at ``lines[start]``.

    Parameters
    ----------
    lines : list of bytes
    start : int
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
    end = start
    size = len(lines[start]) if start < len(lines) else 0
    while end < len(lines) and len(lines[end]) == size:
        end += 1
    after = end
    while after < len(lines) and lines[after].strip() in (b"", b"#"):
        after += 1
    if not 0 < (end - start) * size <= _MAX_BLOCK or (after < len(lines) and not ends_loop(lines[after])):
        return None
    block = np.frombuffer(b"".join(lines[start:end]), dtype=np.uint8).reshape(-1, size)
    filled = block > 32
    # Tabs, text fields, comments, tags and reserved words.
    if (~filled & (block != 32)).any() or np.isin(block[:, 0], _UNUSUAL).any() or (block == ord("#")).any():
        return None
    fields = np.flatnonzero(np.diff(filled.any(axis=0), prepend=False, append=False)).reshape(-1, 2).tolist()
    if len(fields) != len(columns):
        return None
    # One word of every column in every row: words begin where a filled byte follows a blank.
    begins = filled.astype(np.uint8)
    begins[:, 1:] &= ~filled[:, :-1]
    if (np.add.reduceat(begins, [a for a, _ in fields], axis=1, dtype=np.uint32) != 1).any():
        return None
    quoted = ((block == ord("'")) | (block == ord('"'))).any(axis=0)
    for (a, b), name in zip(fields, columns, strict=True):
        if quoted[a:b].any() and name not in ("label_atom_id", "auth_atom_id"):
            return None

    def cut(column: int, rows: NDArray[np.integer] | slice) -> NDArray[Any]:
        a, b = fields[column]
        return np.ascontiguousarray(block[rows, a:b]).view(f"S{b - a}")[:, 0]

    atoms = np.char.strip(cut(where, slice(None)))
    if np.isin(atoms, _QUOTED_BACKBONE).any():
        return None
    chosen = np.flatnonzero(np.isin(atoms, _BACKBONE))
    table = {name: cut(i, chosen) for i, name in enumerate(columns) if name in WANTED["_atom_site"]}
    return table, chosen + start, end
