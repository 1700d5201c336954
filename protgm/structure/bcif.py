"""BinaryCIF 0.3 (Sehnal et al. 2020, PLoS Comput. Biol. 16, e1008247): MessagePack with encoded columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from protgm.structure.atom_site import WANTED, atom_name, codes_of, header_of, rows_from_atom_site
from protgm.structure.atoms import MAX_ATOMS, AtomRows, Header
from protgm.structure.errors import StructureError, malformed
from protgm.text import printable

__all__ = ["parse_bcif"]

#: Values in one column; a run-length code could ask for any number of them. The largest entries have 2.5 million atoms.
MAX_ROWS = 5_000_000

#: Rows of a category other than atom_site, and different strings in a column.
MAX_HEADER_ROWS = 500_000

#: The specification's longest chain is fixed point, delta, run length, integer packing, byte array.
_MAX_ENCODINGS = 6

#: Arrays and maps of one document, and entries of one of them. Columns are byte strings, so that even the largest
#: entries of the PDB have fewer than 1e5 of the former and 1e3 of the latter; nested ones are allocated before they are
#: seen to be there.
MAX_CONTAINERS, MAX_ENTRIES = 2_000_000, 20_000

_DTYPES = {1: "<i1", 2: "<i2", 3: "<i4", 4: "<u1", 5: "<u2", 6: "<u4", 32: "<f4", 33: "<f8"}


def parse_bcif(data: bytes, source: str, model: int) -> tuple[AtomRows, Header]:
    """The backbone atoms of model ``model`` (0 is the first one) of the first data block that has atoms.

    Raises
    ------
    StructureError
        If the bytes are not BinaryCIF, a column cannot be decoded, a backbone atom is malformed or there is no such
        model.
    """
    try:
        document = unpack(data)
    except ValueError as error:
        raise malformed(source, f"is not BinaryCIF or is cut off: {printable(error)}") from None
    try:
        # Hostile numbers may divide by zero or overflow: what comes of it is checked where it is used.
        with np.errstate(all="ignore"):
            return _parse(document, source, model)
    except StructureError:
        raise
    except KeyError as error:
        raise malformed(source, f"malformed BinaryCIF: there is no {printable(error)}") from None
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        reason = printable(error) or type(error).__name__
        raise malformed(source, f"malformed BinaryCIF: something in it is not what it should be ({reason})") from None


def _parse(document: Any, source: str, model: int) -> tuple[AtomRows, Header]:
    for block in document["dataBlocks"]:
        categories = {category["name"].lower(): category for category in block["categories"]}
        if "_atom_site" in categories:
            break
    else:
        raise malformed(source, "no _atom_site category: there are no atoms in it")
    tables = {}
    for name, wanted in WANTED.items():
        if name in categories and name != "_atom_site":
            category = _Category(categories[name], source)
            if category.rows <= MAX_HEADER_ROWS:
                tables[name] = {c: category.column(c) for c in wanted if c in category.columns}
    header = header_of(tables)
    atom_site = _Category(categories["_atom_site"], source)
    names = atom_name(atom_site.columns)
    chosen = np.flatnonzero(codes_of(atom_site.column(names)) >= 0)
    if len(chosen) > MAX_ATOMS:
        raise malformed(source, f"more than {MAX_ATOMS:,} backbone atoms")
    table = {name: atom_site.column(name)[chosen] for name in WANTED["_atom_site"] if name in atom_site.columns}
    return rows_from_atom_site(table, chosen + 1, source, model, header), header


def unpack(data: bytes) -> Any:
    """The value in a MessagePack document, its depth and memory bounded.

    Raises
    ------
    ValueError
        If the bytes are not one complete value, it nests too deep or has too many containers, an extension type, a map
        key that is no text or text that is not UTF-8.
    """
    left = MAX_CONTAINERS

    def count(container: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"more than {MAX_CONTAINERS:,} arrays and maps")
        return container

    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_hook=count,
            list_hook=count,
            max_array_len=MAX_ENTRIES,
            max_map_len=MAX_ENTRIES,
            max_ext_len=0,
        )
    except msgpack.StackError:
        raise ValueError("it nests too deep") from None
    except msgpack.FormatError:
        raise ValueError("it has a byte that begins no value") from None


class _Category:
    def __init__(self, category: Mapping[str, Any], source: str) -> None:
        self.name = printable(category["name"])
        self.rows = category["rowCount"]
        self.source = source
        self.columns = {column["name"].lower(): column for column in category["columns"]}
        if not isinstance(self.rows, int) or not 0 <= self.rows <= MAX_ROWS:
            raise malformed(source, f"category {self.name} claims {printable(self.rows)} rows")

    def column(self, name: str) -> NDArray[Any]:
        """The values of a column; those that are masked as ``"."``."""
        column = self.columns[name]
        values = _decode(column["data"])
        if values.shape != (self.rows,):
            what = f"column {self.name}.{name} has {len(values)} values for {self.rows} rows"
            raise malformed(self.source, what)
        if column.get("mask") is not None:
            mask = _decode(column["mask"]).astype(bool)
            if mask.any():
                values = values.astype(object)
                values[mask] = "."
        return values


def _decode(data: Mapping[str, Any]) -> NDArray[Any]:
    values: Any = data["data"]
    if len(data["encoding"]) > _MAX_ENCODINGS:
        raise ValueError(f"a column is encoded {len(data['encoding'])} times")
    for encoding in reversed(data["encoding"]):
        values = _DECODERS[encoding["kind"]](values, encoding)
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise ValueError("a column is not encoded")
    return values


def _bounded(count: int) -> int:
    if not 0 <= count <= MAX_ROWS:
        raise ValueError(f"a column of {count} values")
    return count


def _byte_array(values: bytes, encoding: Mapping[str, Any]) -> NDArray[Any]:
    return np.frombuffer(values, dtype=_DTYPES[encoding["type"]])


def _fixed_point(values: NDArray[Any], encoding: Mapping[str, Any]) -> NDArray[Any]:
    return values.astype(np.float64) / float(encoding["factor"])


def _interval(values: NDArray[Any], encoding: Mapping[str, Any]) -> NDArray[Any]:
    low, high, steps = float(encoding["min"]), float(encoding["max"]), int(encoding["numSteps"])
    return low + values * ((high - low) / (steps - 1))


def _run_length(values: NDArray[Any], encoding: Mapping[str, Any]) -> NDArray[Any]:
    pairs = values.reshape(-1, 2).astype(np.int64)
    if (pairs[:, 1] < 0).any() or (pairs[:, 1] > MAX_ROWS).any():
        raise ValueError("a run of impossible length")
    _bounded(int(pairs[:, 1].sum()))
    return np.repeat(pairs[:, 0], pairs[:, 1])


def _delta(values: NDArray[Any], encoding: Mapping[str, Any]) -> NDArray[Any]:
    total = np.cumsum(values, dtype=np.int64)
    return total + int(encoding["origin"])


def _integer_packing(values: NDArray[Any], encoding: Mapping[str, Any]) -> NDArray[Any]:
    # A value at the limit of its type is continued by the next one: the sum of a run up to the first that is not.
    limits = np.iinfo(values.dtype)
    more = values == limits.max
    if not encoding["isUnsigned"]:
        more |= values == limits.min
    if not len(values):
        return values.astype(np.int64)
    if more[-1]:
        raise ValueError("packed integers end within a value")
    ends = np.flatnonzero(~more)
    sums = np.cumsum(values, dtype=np.int64)[ends]
    return np.diff(sums, prepend=0)


def _string_array(values: bytes, encoding: Mapping[str, Any]) -> NDArray[Any]:
    offsets = _decode({"data": encoding["offsets"], "encoding": encoding["offsetEncoding"]}).astype(np.int64)
    indices = _decode({"data": values, "encoding": encoding["dataEncoding"]}).astype(np.int64)
    text = encoding["stringData"]
    if not isinstance(text, str) or len(offsets) > MAX_HEADER_ROWS:
        raise ValueError(f"a column of {len(offsets)} different strings")
    # Offsets that go back and forth could make a short text into any amount of strings.
    if len(offsets) and not ((np.diff(offsets) >= 0).all() and offsets[0] >= 0 and offsets[-1] <= len(text)):
        raise ValueError("string offsets out of order")
    strings = [text[a:b] for a, b in pairwise(offsets.tolist())]
    if len(indices) and not -1 <= indices.min() <= indices.max() < len(strings):
        raise ValueError("a string index out of range")
    # Index -1 means no string: it picks the last entry.
    return np.array([*strings, "."], dtype=object)[indices]


_DECODERS: Mapping[str, Callable[[Any, Mapping[str, Any]], NDArray[Any]]] = {
    "ByteArray": _byte_array,
    "FixedPoint": _fixed_point,
    "IntervalQuantization": _interval,
    "RunLength": _run_length,
    "Delta": _delta,
    "IntegerPacking": _integer_packing,
    "StringArray": _string_array,
}
