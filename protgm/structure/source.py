"""Bytes from a file that may be anything: regular files only, unpacked, never more than a limit."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path

from protgm.structure.errors import malformed

__all__ = ["MAX_BYTES", "MAX_LINES", "check_lines", "read_bytes", "sniff"]

#: Largest structure file that is read, in bytes after unpacking. The PDB's largest text entries are above it;
#: their BinaryCIF is not.
MAX_BYTES = 128 * 2**20

#: Lines of a text file: 128 MiB of PDB records are 1.7 million, of nothing but line ends a hundred times that.
MAX_LINES = 4_000_000

#: Characters of a line of mmCIF; the format itself allows 2,048.
MAX_LINE = 2**20

#: Parts of a gzip file; bgzip makes one of every 64 KiB.
MAX_MEMBERS = 20_000

_PIECE = 2**16
_GZIP_MAGIC = b"\x1f\x8b"


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """The contents of ``path``, unpacked where they are gzipped whatever the name says.

    Raises
    ------
    StructureError
        If there is no such regular file, it cannot be read, is empty, is a damaged gzip file, or holds more than
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
        data = Path(source).read_bytes()
    except OSError as error:
        raise malformed(source, error.strerror or type(error).__name__) from None
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise malformed(source, "is no valid file name") from None
    if data.startswith(_GZIP_MAGIC):
        data = _gunzip(data, source, max_bytes)
    if not data.strip():
        raise malformed(source, "is empty")
    return data


def _gunzip(data: bytes, source: str, max_bytes: int) -> bytes:
    """All members of a gzip file, refusing to hold more than ``max_bytes`` of them."""
    parts: list[bytes] = []
    total = at = 0
    packed = memoryview(data)
    for _ in range(MAX_MEMBERS):
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            # In pieces: what is left over behind the end of a member is copied.
            piece = packed[at : at + _PIECE]
            if not piece:
                raise malformed(source, "is a truncated gzip file")
            try:
                part = unpacker.decompress(piece, max_bytes - total + 1)
            except zlib.error as error:
                raise malformed(source, f"is a damaged gzip file ({printable_reason(error)})") from None
            total += len(part)
            if total > max_bytes:
                raise malformed(source, f"unpacks to more than the limit of {max_bytes:,} bytes")
            parts.append(part)
            at += len(piece) - len(unpacker.unused_data)
        if data[at : at + 2] != _GZIP_MAGIC:
            return b"".join(parts)
    raise malformed(source, f"is a gzip file of more than {MAX_MEMBERS:,} members")


def printable_reason(error: Exception) -> str:
    """The part of a zlib message that says something: ``incorrect data check`` and the like."""
    return str(error).rsplit(": ", 1)[-1]


def check_lines(data: bytes, source: str) -> None:
    """Refuse text of more than `MAX_LINES` lines, before anything is made of each."""
    count = data.count(b"\n")
    if count > MAX_LINES:
        raise malformed(source, f"has {count:,} lines, more than the limit of {MAX_LINES:,}")


def sniff(data: bytes, source: str) -> str:
    """``pdb``, ``cif`` or ``bcif`` by what the bytes look like, by the name where they do not tell."""
    # A BinaryCIF file is a MessagePack map of a handful of entries, one of which is dataBlocks.
    if (data[0] & 0xF0 == 0x80 or data[0] in (0xDE, 0xDF)) and b"dataBlocks" in data[:4096]:
        return "bcif"
    for line in data[:65536].split(b"\n"):
        line = line.strip()
        if line and not line.startswith(b"#"):
            if line[:5].lower() == b"data_":
                return "cif"
            break
    stem = source.lower().removesuffix(".gz")
    if stem.endswith((".cif", ".mmcif")) and b"_atom_site." in data:
        return "cif"
    return "bcif" if stem.endswith(".bcif") else "pdb"
