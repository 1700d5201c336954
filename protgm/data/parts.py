"""Finished parts of a ``protgm prepare`` that is under way, so that one that was interrupted goes on where it was.

``OUT/.prepare/`` holds the key of the job and one Arrow file for about `PART` source files each; each is there whole or
not at all. In the metadata of its schema are the number of files that a part stands for, and those that were rejected.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from protgm.data.extract import Extracted, Rejection
from protgm.data.schema import SCHEMA
from protgm.files import atomic, read_json, write_json

__all__ = ["PART", "Parts"]

PART = 512
_FOLDER = ".prepare"
_JOB = "job.json"


class Parts:
    """The parts of one job in an output folder.

    Parameters
    ----------
    out : Path
    key : str
        What the job is: a digest of the source files and the settings. Parts of another job are removed.
    """

    def __init__(self, out: Path, key: str) -> None:
        self.folder = out / _FOLDER
        if self._key() != key:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / _JOB, {"key": key})
        for left in self.folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
        #: Parts, and the source files that they stand for.
        self.count = self.files = 0
        while (files := self._files_of(self.count)) is not None:
            self.count, self.files = self.count + 1, self.files + files

    def _key(self) -> str | None:
        try:
            return read_json(self.folder / _JOB).get("key")
        except (OSError, ValueError):
            return None

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.arrow"

    def _files_of(self, number: int) -> int | None:
        path = self._path(number)
        if not path.exists():
            return None
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            files = reader.schema.metadata.get(b"files")
        return None if files is None else int(files)

    def add(self, part: Extracted, files: int) -> None:
        """Store the next part, which is what came of so many files."""
        schema = SCHEMA.with_metadata({b"rejected": json.dumps(part.rejected).encode(), b"files": str(files).encode()})
        with atomic(self._path(self.count)) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
            writer.write_batch(part.batch.replace_schema_metadata(schema.metadata))
        self.count, self.files = self.count + 1, self.files + files

    def __iter__(self) -> Iterator[Extracted]:
        """The parts in order, mapped, not loaded."""
        for number in range(self.count):
            with pa.memory_map(str(self._path(number))) as file, pa.ipc.open_file(file) as reader:
                rejected = [Rejection(*row) for row in json.loads(reader.schema.metadata[b"rejected"])]
                yield Extracted(reader.get_batch(0), rejected)

    def remove(self) -> None:
        """Forget all parts, when the dataset is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
