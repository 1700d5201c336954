"""The structure files below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from protgm.structure.errors import printable

__all__ = ["structure_files"]

SUFFIXES = tuple(f"{end}{packed}" for end in (".pdb", ".ent", ".cif", ".mmcif", ".bcif") for packed in ("", ".gz"))


def structure_files(source: Path) -> list[tuple[str, int, int]]:
    """Files below ``source`` that a structure may be in, told by their endings.

    Linked folders are entered, each folder once; names that start with a dot are passed over.

    Returns
    -------
    list of (str, int, int)
        Path below ``source`` with ``/``, bytes, time of last change in nanoseconds; sorted by path, so that the order
        does not depend on the file system.

    Raises
    ------
    ValueError
        If ``source`` is no folder, a folder in it cannot be read, or there is no structure file.
    """
    if not source.is_dir():
        what = "is not a folder" if source.exists() else "does not exist"
        raise ValueError(f"source={printable(source, 1000)}: {what}; a folder of structure files is wanted")
    found: list[tuple[str, int, int]] = []
    entered: set[tuple[int, int]] = set()
    todo = [("", source)]
    while todo:
        prefix, folder = todo.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as items:
                for item in items:
                    if item.name.startswith("."):
                        continue
                    if item.name.lower().endswith(SUFFIXES) and not item.is_dir():
                        found.append((prefix + item.name, *_size_and_time(item)))
                    elif item.is_dir():
                        todo.append((f"{prefix}{item.name}/", Path(item.path)))
        except OSError as error:
            raise ValueError(f"{printable(folder, 1000)}: cannot be read: {error.strerror}") from None
    if not found:
        endings = ".pdb, .ent, .cif, .mmcif, .bcif, each also .gz"
        raise ValueError(f"source={printable(source, 1000)}: no structure file in it ({endings})")
    return sorted(found)


def _size_and_time(item: os.DirEntry[str]) -> tuple[int, int]:
    try:
        status = item.stat()
    except OSError:  # a dangling link: the reader will say so
        return 0, 0
    return status.st_size, status.st_mtime_ns
