"""Bytes from a file that may be anything: regular files only, unpacked, never more than a limit, and what they are."""

from __future__ import annotations

import os
import re
import stat

import numpy as np

from protgm.structure.errors import StructureError, malformed
from protgm.structure.unpack import unpacked

__all__ = [
    "CIF_ENDINGS",
    "ENDINGS",
    "MAX_BYTES",
    "MAX_LINE",
    "PDB_ENDINGS",
    "check_lines",
    "is_structure_file",
    "read_bytes",
    "sniff",
    "stem",
    "unpacked_name",
]

#: Largest structure file that is read, in bytes after unpacking. The PDB's largest text entries are above it;
#: their BinaryCIF is not.
MAX_BYTES = 128 * 2**20

#: Lines of a text file: 128 MiB of PDB records are 1.7 million, of nothing but line ends a hundred times that.
MAX_LINES = 4_000_000

#: Characters of a line of mmCIF; the format itself allows 2,048.
MAX_LINE = 2**20

#: What files of a format are called; the first is the usual ending.
PDB_ENDINGS, CIF_ENDINGS = (".pdb", ".ent"), (".cif", ".mmcif")
_SUFFIXES = (*PDB_ENDINGS, *CIF_ENDINGS, ".bcif")
_PACKED = (".gz", ".bz2", ".xz", ".zst")

#: The endings of structure files, in words.
ENDINGS = f"{', '.join(_SUFFIXES)}, each also {', '.join(_PACKED)}"

#: Comments and blanks before the first data block.
_CIF = re.compile(rb"\s*(?:#[^\n]*\n\s*)*data_", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: What a file is that is no structure file, and what to do.
_OTHERS = (
    (re.compile(rb"PK\x03\x04"), "a zip archive: unpack it before"),
    (re.compile(rb"\xff\xfe|\xfe\xff|[ -~]\x00[ -~]\x00|\x00[ -~]\x00[ -~]"), "text in UTF-16: save it as UTF-8"),
    (re.compile(rb"\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE), "a web page (HTML), no structure file"),
    (re.compile(rb"\s*<\?xml"), "XML: PDB, mmCIF or BinaryCIF is wanted"),
    (re.compile(rb'\s*(?:\{\s*["}]|\[\s*[\[{"\]\d-])'), "JSON: PDB, mmCIF or BinaryCIF is wanted"),
)


def is_structure_file(name: str) -> bool:
    """Whether a file's name says that it holds a structure: see `ENDINGS`."""
    return unpacked_name(name).lower().endswith(_SUFFIXES)


def stem(name: str) -> str:
    """A file's name without the endings of structure files."""
    name = unpacked_name(name)
    return next((name[: -len(suffix)] for suffix in _SUFFIXES if name.lower().endswith(suffix)), name)


def unpacked_name(name: str) -> str:
    """A file's name without the ending of a compressed file."""
    return next((name[: -len(end)] for end in _PACKED if name.lower().endswith(end)), name)


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """The contents of ``path``, unpacked where they are compressed whatever the name says, without a byte order mark.

    Raises
    ------
    StructureError
        If there is no such regular file, it cannot be read, is empty, is a damaged compressed file, or holds more than
        ``max_bytes`` bytes after unpacking.
    """
    source = os.fspath(path)
    try:
        # Opening a named pipe would wait for a writer for ever: look before.
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):
            raise malformed(source, "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
        if status.st_size > max_bytes:
            raise malformed(source, f"has {status.st_size:,} bytes, more than the limit of {max_bytes:,}")
        with open(source, "rb", buffering=0) as file:
            data = file.read()
    except StructureError:
        raise
    except OSError as error:
        raise malformed(source, error.strerror or type(error).__name__) from None
    except ValueError:
        raise malformed(source, "is no valid file name") from None
    data = unpacked(data, source, max_bytes).removeprefix(_BYTE_ORDER_MARK)
    if not data or data.isspace():
        raise malformed(source, "is empty")
    return data


def check_lines(data: bytes, source: str) -> None:
    """Refuse text of more than `MAX_LINES` lines, before anything is made of each."""
    if len(data) <= MAX_LINES:
        return
    count = int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")))
    if count > MAX_LINES:
        raise malformed(source, f"has {count:,} lines, more than the limit of {MAX_LINES:,}")


def sniff(data: bytes, source: str) -> str:
    """``pdb``, ``cif`` or ``bcif`` by what the bytes look like, by the name where they do not tell.

    Raises
    ------
    StructureError
        If they are something else that can be named.
    """
    # A BinaryCIF file is a MessagePack map of a handful of entries, one of which is dataBlocks.
    if (data[0] & 0xF0 == 0x80 or data[0] in (0xDE, 0xDF)) and b"dataBlocks" in data[:4096]:
        return "bcif"
    for pattern, what in _OTHERS:
        if pattern.match(data[:512]):
            raise malformed(source, f"is {what}")
    if _CIF.match(data, 0, 65536):
        return "cif"
    name = unpacked_name(source).lower()
    if name.endswith(CIF_ENDINGS) and b"_atom_site." in data:
        return "cif"
    return "bcif" if name.endswith(".bcif") else "pdb"
