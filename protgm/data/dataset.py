"""A prepared dataset on disk: one memory-mapped Arrow IPC file of structures, and a JSON file that describes it.

``DATASET/dataset.json`` names the Arrow file, and is replaced last when a dataset is written: a folder holds the old
dataset or the new one, never half of either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.feather
from numpy.typing import NDArray

from protgm.data.schema import FORMAT, INDEX_FILE, SCHEMA, STATES, UNKNOWN, VERSION
from protgm.structure.residues import AMINO_ACIDS

__all__ = ["AMINO_ACIDS", "Dataset", "DatasetError", "Example"]


def _lookup(letters: str, other: int) -> NDArray[np.int8]:
    table = np.full(256, other, dtype=np.int8)
    table[np.frombuffer(letters.encode(), dtype=np.uint8)] = np.arange(len(letters), dtype=np.int8)
    return table


_RESIDUE = _lookup(AMINO_ACIDS, UNKNOWN)
_SECONDARY = _lookup(STATES, STATES.index("C"))


class DatasetError(ValueError):
    """A folder that is not a readable dataset, or a request that it cannot answer."""


@dataclass(frozen=True, eq=False)
class Example:
    """One chain, ready for a model. The arrays may be read-only views of the mapped file.

    Parameters
    ----------
    coords : ndarray, shape (L, 4, 3), float32
        N, CA, C, O in Angstrom; a missing atom is NaN.
    sequence : ndarray, shape (L,), int8
        Index into `AMINO_ACIDS`; 20 where the residue type is unknown.
    secondary : ndarray, shape (L,), int8
        Index into ``"HEC"``.
    residue_index : ndarray, shape (L,), int64
        Strictly growing. Bonded neighbours differ by 1, those at a chain break by what the author's numbering says
        (2 at least), and those of different chains by 200.
    chain_index : ndarray, shape (L,), int64
        0 for the first chain, 1 for the second, ...
    complete : ndarray, shape (L,), bool
        Whether N, CA and C are all there.
    name, cluster : str
        Its name, and the cluster of similar sequences that it belongs to.
    """

    coords: NDArray[np.float32]
    sequence: NDArray[np.int8]
    secondary: NDArray[np.int8]
    residue_index: NDArray[np.int64]
    chain_index: NDArray[np.int64]
    complete: NDArray[np.bool_]
    name: str
    cluster: str

    def __len__(self) -> int:
        return len(self.coords)


class _Lists:
    """A list column over all record batches: row -> view of its values, without making Python objects."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._chunks = []
        for chunk in column.chunks:
            if pa.types.is_string(chunk.type):
                _, offsets, data = chunk.buffers()
                values = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
                ends = np.frombuffer(offsets, dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
            else:
                values = chunk.values.to_numpy(zero_copy_only=not pa.types.is_boolean(chunk.type.value_type))
                ends = chunk.offsets.to_numpy()
            self._chunks.append((values, ends))

    def __call__(self, chunk: int, row: int) -> NDArray[Any]:
        values, ends = self._chunks[chunk]
        return values[ends[row] : ends[row + 1]]


class Dataset(Sequence[Example]):
    """Chains of a prepared dataset, read straight from the mapped file.

    Get one with `Dataset.open`. Indexing gives an `Example` in some tens of microseconds; nothing is loaded before.
    Can be sent to another process: the file is mapped again there.
    """

    def __init__(self, folder: Path, table: pa.Table, info: Mapping[str, Any], split: str | None) -> None:
        self.folder = folder
        self.split = split
        #: What dataset.json says: version, settings, counts, sha256 of the structures.
        self.info = dict(info)
        self._table = table
        self._columns = {
            name: _Lists(table.column(name))
            for name in ("coords", "sequence", "secondary", "residue_index", "chain_index")
        }
        ends = np.cumsum([0, *(len(chunk) for chunk in table.column("name").chunks)])
        rows = np.arange(len(table))
        if split is not None:
            splits = np.asarray(table.column("split").to_pylist(), dtype=object)
            rows = rows[splits == split]
            if len(rows) == 0:
                raise DatasetError(f"{folder}: no entry in split {split!r}; there are {sorted(set(splits.tolist()))}")
        self._rows = rows
        self._chunk = np.searchsorted(ends, rows, side="right") - 1
        self._row = rows - ends[self._chunk]
        #: Length (residues) of each example, shape (n,).
        self.lengths: NDArray[np.int64] = table.column("length").to_numpy().astype(np.int64)[rows]
        self._names = table.column("name").to_pylist()
        self._clusters = table.column("cluster").to_pylist()

    @classmethod
    def open(cls, path: str | PathLike[str], split: str | None = None) -> Self:
        """Map a dataset folder.

        Parameters
        ----------
        path : path
            A folder written by ``protgm prepare``.
        split : str, optional
            Only the entries of this split (``train``, ``val``, ``test``).

        Raises
        ------
        DatasetError
            If the folder holds no dataset, one of another version, a damaged one, or no entry in this split.
        """
        folder = Path(path)
        index = folder / INDEX_FILE
        try:
            info = json.loads(index.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DatasetError(f"{folder}: not a dataset (no {INDEX_FILE}); make one with `protgm prepare`") from None
        except (OSError, ValueError) as error:
            raise DatasetError(f"{index}: cannot be read: {error}") from error
        if not isinstance(info, dict) or info.get("format") != FORMAT:
            raise DatasetError(f"{index}: does not describe a {FORMAT}")
        if info.get("version") != VERSION:
            raise DatasetError(
                f"{index}: dataset version {info.get('version')}, this protgm reads {VERSION}: prepare it again"
            )
        structures = folder / str(info.get("structures"))
        try:
            size = structures.stat().st_size
            if size != info.get("bytes"):
                raise DatasetError(
                    f"{structures}: {size} bytes where {INDEX_FILE} says {info.get('bytes')}: prepare it again"
                )
            table = pa.feather.read_table(structures, memory_map=True)
        except (OSError, pa.ArrowInvalid) as error:
            raise DatasetError(f"{structures}: cannot be read: {error}") from error
        if not table.schema.equals(SCHEMA):
            raise DatasetError(f"{structures}: its columns are not those of a {FORMAT} of version {VERSION}")
        return cls(folder, table, info, split)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).open, (self.folder, self.split)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Example:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(f"entry {index} of a dataset of {len(self)}")
        where = int(self._chunk[index]), int(self._row[index])
        row = int(self._rows[index])
        coords = self._columns["coords"](*where).reshape(-1, 4, 3)
        return Example(
            coords=coords,
            sequence=_RESIDUE[self._columns["sequence"](*where)],
            secondary=_SECONDARY[self._columns["secondary"](*where)],
            residue_index=self._columns["residue_index"](*where).astype(np.int64),
            chain_index=self._columns["chain_index"](*where).astype(np.int64),
            complete=np.isfinite(coords[:, :3]).all(axis=(1, 2)),
            name=self._names[row],
            cluster=self._clusters[row],
        )

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))

    @property
    def clusters(self) -> list[str]:
        """Cluster of each example."""
        return [self._clusters[row] for row in self._rows]

    @property
    def table(self) -> pa.Table:
        """Everything that is stored about these examples, as an Arrow table (see `protgm.data.schema.SCHEMA`)."""
        return self._table if self.split is None else self._table.take(pa.array(self._rows))

    def __repr__(self) -> str:
        split = "" if self.split is None else f", split={self.split!r}"
        return f"Dataset({str(self.folder)!r}{split}: {len(self)} examples)"
