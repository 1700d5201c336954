"""Compressed files, whatever their names say: gzip, bzip2, xz and, where Python has it, zstd, up to a limit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from protgm.structure.errors import malformed

__all__ = ["MAX_MEMBERS", "packed", "packing_of", "unpacked"]

#: Parts of a compressed file; bgzip makes one of every 64 KiB.
MAX_MEMBERS = 20_000

#: Memory that an xz file may ask for, bytes: what its strongest setting takes.
_XZ_MEMORY = 128 * 2**20
_PIECE = 2**16


class _Packing(NamedTuple):
    """A way of compressing: its name, the bytes it begins with, and what makes an unpacker of one member."""

    name: str
    magic: bytes
    unpacker: Callable[[], Any] | None


def _zstd() -> Callable[[], Any] | None:
    try:
        from compression.zstd import ZstdDecompressor  # Python 3.14
    except ImportError:
        return None
    made: Callable[[], Any] = ZstdDecompressor
    return made


_PACKINGS = (
    _Packing("gzip", b"\x1f\x8b", lambda: _Gzip()),
    _Packing("bzip2", b"BZh", bz2.BZ2Decompressor),
    _Packing("xz", b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)),
    _Packing("zstd", b"\x28\xb5\x2f\xfd", _zstd()),
)


class _Gzip:
    """zlib's unpacker, called as those of the other modules are."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, piece: bytes, max_length: int) -> bytes:
        return self._inner.decompress(piece, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def packing_of(data: bytes) -> str | None:
    """How these bytes are compressed; None where they are not."""
    return next((packing.name for packing in _PACKINGS if data.startswith(packing.magic)), None)


def packed(path: str | os.PathLike[str], data: bytes) -> bytes:
    """Bytes as a file of that name has them: compressed if it ends in .gz, .bz2 or .xz.

    Raises
    ------
    StructureError
        If it ends in .zst.
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending == ".zst":
        raise malformed(os.fspath(path), "zstd is not written; .gz, .bz2 and .xz are")
    # No time stamp: the same backbone gives the same bytes.
    packings = {".gz": lambda: gzip.compress(data, 6, mtime=0), ".bz2": lambda: bz2.compress(data),
                ".xz": lambda: lzma.compress(data)}  # fmt: skip
    return packings[ending]() if ending in packings else data


def unpacked(data: bytes, source: str, max_bytes: int) -> bytes:
    """The contents of a compressed file; ``data`` itself where it is none.

    Raises
    ------
    StructureError
        If it is damaged, holds more than ``max_bytes`` bytes, has too many members, is compressed twice, or in a way
        that this Python cannot read.
    """
    packing = next((packing for packing in _PACKINGS if data.startswith(packing.magic)), None)
    if packing is None:
        return data
    if packing.unpacker is None:
        raise malformed(source, f"is compressed with {packing.name}, which takes Python 3.14 to read: unpack it before")
    contents = _members(data, packing, source, max_bytes)
    if (again := packing_of(contents)) is not None:
        raise malformed(source, f"is compressed twice ({packing.name}, and {again} in it): unpack it once")
    return contents


def _members(data: bytes, packing: _Packing, source: str, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    total = at = 0
    packed = memoryview(data)
    assert packing.unpacker is not None
    for _ in range(MAX_MEMBERS):
        unpacker = packing.unpacker()
        while not unpacker.eof:
            # In pieces: what is left over behind the end of a member is copied.
            piece = packed[at : at + _PIECE]
            if not piece:
                raise malformed(source, f"is a truncated {packing.name} file")
            at += len(piece)
            try:
                part = unpacker.decompress(piece, max_bytes - total + 1)
            except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError) as error:
                reason = str(error).rsplit(": ", 1)[-1]
                raise malformed(source, f"is a damaged {packing.name} file ({reason})") from None
            total += len(part)
            if total > max_bytes:
                raise malformed(source, f"unpacks to more than the limit of {max_bytes:,} bytes")
            parts.append(part)
        at -= len(unpacker.unused_data)
        if data[at : at + len(packing.magic)] != packing.magic:
            return b"".join(parts)
    raise malformed(source, f"is a {packing.name} file of more than {MAX_MEMBERS:,} members")
