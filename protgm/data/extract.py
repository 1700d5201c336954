"""What the workers of ``protgm prepare`` do: structure files in, dataset entries and reasons for rejection out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from protgm.data.entry import Rejected, entry, split_chains
from protgm.data.filters import Filters
from protgm.data.schema import SCHEMA
from protgm.data.tree import SourceFile
from protgm.structure.assemble import left_out
from protgm.structure.backbone import Backbone
from protgm.structure.errors import StructureError
from protgm.structure.read import read_structure
from protgm.structure.source import MAX_BYTES
from protgm.text import printable

__all__ = ["LEFT_OUT", "Extracted", "Extractor", "Rejection", "Task", "merge"]

#: Reason of a row for a file that holds more than was read of it; its chains may be in the dataset.
LEFT_OUT = "left out"

_PDB_ID = re.compile(r"[0-9][0-9A-Za-z]{3}|(?i:pdb_[0-9a-z]{8})")


class Task(NamedTuple):
    """One structure file, and its resolution (Angstrom) if known from elsewhere."""

    source: SourceFile
    resolution: float | None = None

    @property
    def shown(self) -> str:
        """Its path as text: a name may hold bytes that are none, which Arrow and CSV cannot."""
        return printable(self.source.file, limit=4096)


class Rejection(NamedTuple):
    """A file, a chain of it, or parts of one that are not in the dataset, and why."""

    file: str
    chain: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Extracted:
    """Entries of some files: a batch of `SCHEMA` with cluster and split still empty, and what was rejected."""

    batch: pa.RecordBatch
    rejected: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True)
class Extractor:
    """Reads files, measures their chains and filters them. Called in the workers with lists of tasks.

    Parameters
    ----------
    source : str
        Folder that the tasks' paths start from, or tar file that they are in.
    filters : Filters
    complexes : bool
        All chains of a file are one entry.
    """

    source: str
    filters: Filters
    complexes: bool = False

    def __call__(self, tasks: Sequence[Task]) -> Extracted:
        """Entries and rejections of some files."""
        rows: list[dict[str, Any]] = []
        rejected: list[Rejection] = []
        # Absurd coordinates overflow; the filters see the infinities that come of it.
        with np.errstate(all="ignore"):
            for task in tasks:
                self._read(task, rows, rejected)
        return Extracted(_batch(rows, rejected), rejected)

    def died(self, task: Task) -> Extracted:
        """What stands for a file that brought its worker down."""
        detail = "the process that read it died (out of memory?)"
        return Extracted(_batch([], []), [Rejection(task.shown, "", "unreadable", detail)])

    def _read(self, task: Task, rows: list[dict[str, Any]], rejected: list[Rejection]) -> None:
        shown = task.shown
        try:
            with _file(self.source, task.source) as path:
                backbone = _structure(path)
            if what := left_out(backbone.metadata):
                rejected.append(Rejection(shown, "", LEFT_OUT, what))
            chains = [("", backbone)] if self.complexes else list(split_chains(backbone))
            resolution = _number(backbone.metadata.get("resolution")) or task.resolution
            pdb_id = _pdb_id(backbone.metadata.get("entry"))
            for chain_id, part in chains:
                chain = printable(chain_id)
                try:
                    row = entry(part, self.filters, resolution)
                except Rejected as error:
                    rejected.append(Rejection(shown, chain, *error.args))
                else:
                    name = backbone.name if len(chains) == 1 else f"{backbone.name}_{chain}"
                    rows.append(row | {"name": name, "source": shown, "pdb_id": pdb_id, "chain": chain})
        except StructureError as error:
            rejected.append(Rejection(shown, "", "unreadable", str(error)))
        except Exception as error:
            # One file among 200,000 must not end the run, whatever is wrong with it or with us: it goes into the table.
            detail = printable(f"{type(error).__name__}: {error}", limit=300)
            rejected.append(Rejection(shown, "", "unexpected error", detail))


@contextmanager
def _file(source: str, wanted: SourceFile) -> Iterator[str]:
    """The path of a file of the source; a member of a tar file is copied out for as long as it is needed."""
    if wanted.offset is None:
        yield os.path.join(source, wanted.file)
        return
    if wanted.size > MAX_BYTES:
        raise StructureError(f"has {wanted.size:,} bytes, more than the limit of {MAX_BYTES:,}")
    with tempfile.TemporaryDirectory(prefix="protgm-") as folder:
        # Of the member's name nothing but its last part counts: it cannot lead out of the folder.
        path = os.path.join(folder, wanted.file.rpartition("/")[2])
        with open(source, "rb") as tar, open(path, "wb") as copy:
            tar.seek(wanted.offset)
            copy.write(tar.read(wanted.size))
        yield path


def _structure(path: str) -> Backbone:
    try:
        return read_structure(path)
    except StructureError as error:
        # The message starts with the path; the table has a column for that.
        raise StructureError(str(error).removeprefix(printable(path, limit=1000)).lstrip(":, ")) from None


def _batch(rows: list[dict[str, Any]], rejected: list[Rejection]) -> pa.RecordBatch:
    """The rows as Arrow; those that hold what does not fit a column (residue number 10^12) are rejected."""
    try:
        return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    except (pa.ArrowException, OverflowError, UnicodeError):
        fit = []
        for row in rows:
            try:
                pa.RecordBatch.from_pylist([row], schema=SCHEMA)
            except (pa.ArrowException, OverflowError, UnicodeError) as error:
                detail = f"does not fit a dataset: {printable(error, limit=200)}"
                rejected.append(Rejection(row["source"], row["chain"], "unreadable", detail))
            else:
                fit.append(row)
        return pa.RecordBatch.from_pylist(fit, schema=SCHEMA)


def merge(parts: Sequence[Extracted]) -> Extracted:
    """Several results as one, in order."""
    table = pa.Table.from_batches([part.batch for part in parts], schema=SCHEMA).combine_chunks()
    batches = table.to_batches() or [_batch([], [])]
    return Extracted(batches[0], [rejection for part in parts for rejection in part.rejected])


def _pdb_id(value: object) -> str:
    """What a file calls its entry, if it is a PDB code: programs write XXXX and the like."""
    text = str(value or "")
    return text if _PDB_ID.fullmatch(text) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
