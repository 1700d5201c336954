"""MessagePack (msgpack.org, specification of 2017) as far as BinaryCIF needs it, its memory bounded."""

from __future__ import annotations

import struct
from collections.abc import Callable, Container
from typing import Any

__all__ = ["MAX_DEPTH", "MAX_OBJECTS", "unpack"]

#: Nested arrays and maps; BinaryCIF needs about ten.
MAX_DEPTH = 64

#: Entries of all arrays and maps of one document. Columns are byte strings, so that even the largest entries of the
#: PDB have fewer than 1e5.
MAX_OBJECTS = 2_000_000

_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_SCALARS = {
    0xCA: struct.Struct(">f"), 0xCB: struct.Struct(">d"),
    0xCC: struct.Struct(">B"), 0xCD: struct.Struct(">H"), 0xCE: struct.Struct(">I"), 0xCF: struct.Struct(">Q"),
    0xD0: struct.Struct(">b"), 0xD1: struct.Struct(">h"), 0xD2: struct.Struct(">i"), 0xD3: struct.Struct(">q"),
}  # fmt: skip
#: First byte -> kind and bytes of the length that follows.
_SIZED = {
    0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4),
    0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4),
    0xDC: ("array", 2), 0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip


def _fixed_sizes() -> list[int]:
    """First byte -> bytes of the whole value, 0 where that is not all it takes to know."""
    sizes = [0] * 256
    for code in (*range(0x80), *range(0xE0, 0x100), *_CONSTANTS):
        sizes[code] = 1
    for code in range(0xA0, 0xC0):
        sizes[code] = 1 + (code & 0x1F)
    for code, scalar in _SCALARS.items():
        sizes[code] = 1 + scalar.size
    return sizes


_FIXED_SIZES = _fixed_sizes()


def unpack(data: bytes, names: Container[str] | None = None) -> Any:
    """The value in ``data``: None, bool, int, float, str, bytes, list or dict.

    Parameters
    ----------
    data : bytes
    names : container of str, optional
        A map that begins with an entry ``name`` whose text, in lower case, is not among these is cut down to that
        entry: stepping over the rest is three times faster than building it.

    Raises
    ------
    ValueError
        If the bytes are not one complete MessagePack value, it nests deeper than `MAX_DEPTH`, has more than
        `MAX_OBJECTS` entries, an extension type, a map key that is no text or text that is not UTF-8. The message says
        at which byte.
    """
    reader = _reader(data, names)
    try:
        value, end = reader(0, 0)
    except IndexError:
        raise ValueError(f"it ends within a value, after {len(data):,} bytes") from None
    except struct.error:
        raise ValueError(f"it ends within a number, after {len(data):,} bytes") from None
    if end > len(data):
        raise ValueError(f"it ends within a text, after {len(data):,} bytes")
    if end < len(data):
        raise ValueError(f"{len(data) - end:,} bytes follow the document at byte {end:,}")
    return value


def _reader(data: bytes, names: Container[str] | None) -> Callable[[int, int], tuple[Any, int]]:
    """A function from a position and a depth to the value there and the position behind it.

    One closure instead of a class: a BinaryCIF file has some 25,000 values, and looking up attributes would be most of
    the work.
    """
    length = len(data)
    left = MAX_OBJECTS
    # The same few keys come thousands of times.
    keys: dict[bytes, str] = {}

    def text(at: int, size: int) -> tuple[str, int]:
        raw = take(at, size)
        known = keys.get(raw)
        if known is None:
            try:
                known = raw.decode("utf-8")
            except UnicodeDecodeError:
                raise ValueError(f"text at byte {at:,} is not UTF-8") from None
            if size < 32:
                keys[raw] = known
        return known, at + size

    def take(at: int, size: int) -> bytes:
        if at + size > length:
            raise ValueError(f"{size:,} bytes wanted at byte {at:,}, {length - at:,} are left")
        return data[at : at + size]

    def count(at: int, entries: int, depth: int) -> None:
        """Refuse a container before anything is allocated for it."""
        nonlocal left
        left -= entries
        if left < 0:
            raise ValueError(f"more than {MAX_OBJECTS:,} values at byte {at:,}")
        if depth >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} at byte {at:,}")

    def array(at: int, size: int, depth: int) -> tuple[list[Any], int]:
        count(at, size, depth)
        values = []
        for _ in range(size):
            entry, at = value(at, depth + 1)
            values.append(entry)
        return values, at

    def mapping(at: int, size: int, depth: int) -> tuple[dict[str, Any], int]:
        count(at, 2 * size, depth)
        entries: dict[str, Any] = {}
        for _ in range(size):
            start = at
            end = at + 1 + (data[at] & 0x1F)
            # Nearly always a short text that was there before: no need to call for it.
            key = keys.get(data[at + 1 : end]) if data[at] & 0xE0 == 0xA0 else None
            if key is not None:
                at = end
            else:
                key, at = value(at, depth + 1)
                if type(key) is not str:
                    raise ValueError(f"a map key at byte {start:,} is no text")
            entry, at = value(at, depth + 1)
            entries[key] = entry
            if key == "name" and unwanted(entry) and len(entries) == 1:
                return entries, skip(at, 2 * (size - 1))
        return entries, at

    def unwanted(name: Any) -> bool:
        return names is not None and type(name) is str and name.lower() not in names

    def skip(at: int, values: int) -> int:
        """The position behind the next ``values`` values."""
        start = at
        nonlocal left
        while values:
            values -= 1
            code = data[at]
            if size := _FIXED_SIZES[code]:
                at += size
                continue
            at += 1
            if code < 0xA0:
                size = code - 0x90 if code >= 0x90 else 2 * (code - 0x80)
            elif code in _SIZED:
                kind, width = _SIZED[code]
                size = int.from_bytes(data[at : at + width], "big")
                at += width
                if kind in ("bytes", "text"):
                    at += size
                    continue
                size *= 1 + (kind == "map")
            else:
                raise ValueError(f"byte {code:#04x} at {at - 1:,} begins no value that BinaryCIF knows")
            values += size
            left -= size
            if left < 0:
                raise ValueError(f"more than {MAX_OBJECTS:,} values at byte {start:,}")
        return at

    def value(at: int, depth: int) -> tuple[Any, int]:
        code = data[at]
        at += 1
        if 0xA0 <= code < 0xC0:
            size = code & 0x1F
            known = keys.get(data[at : at + size])
            return (known, at + size) if known is not None else text(at, size)
        if code < 0x80:
            return code, at
        if code < 0x90:
            return mapping(at, code & 0x0F, depth)
        if code < 0xA0:
            return array(at, code & 0x0F, depth)
        if code >= 0xE0:
            return code - 0x100, at
        if scalar := _SCALARS.get(code):
            return scalar.unpack_from(data, at)[0], at + scalar.size
        if code in _SIZED:
            kind, width = _SIZED[code]
            size = int.from_bytes(take(at, width), "big")
            at += width
            if kind == "bytes":
                return take(at, size), at + size
            if kind == "text":
                return text(at, size)
            return array(at, size, depth) if kind == "array" else mapping(at, size, depth)
        if code in _CONSTANTS:
            return _CONSTANTS[code], at
        raise ValueError(f"byte {code:#04x} at {at - 1:,} begins no value that BinaryCIF knows")

    return value
