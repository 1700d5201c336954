"""The structure files below a folder, or in a tar file."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import NamedTuple

from protgm.made import made_here
from protgm.structure.source import ENDINGS, is_structure_file
from protgm.text import printable

__all__ = ["SourceFile", "structure_files"]


class SourceFile(NamedTuple):
    """A file that a structure may be in.

    Parameters
    ----------
    file : str
        Path below the source, with ``/``.
    size : int
        Bytes.
    changed : int
        Time of last change: nanoseconds, in a tar file seconds.
    offset : int or None
        Where it begins in the tar file; None for a file of its own.
    """

    file: str
    size: int
    changed: int
    offset: int | None = None


def structure_files(source: Path, left_out: list[str] | None = None) -> list[SourceFile]:
    """Files in ``source`` that a structure may be in, told by their endings, sorted by path.

    In a folder, linked folders are entered, each folder once, and names that start with a dot are passed over. So are
    files in subfolders that protgm made of others (`protgm.made`), which ``left_out`` gets, where it is given. In a tar
    file (not compressed: files are read from its middle) only regular members count, of two of one name the last.

    Raises
    ------
    ValueError
        If ``source`` is neither folder nor tar file, cannot be read, or there is no structure file.
    """
    where = printable(source, 1000)
    if not source.exists():
        raise ValueError(f"source={where}: does not exist; a folder of structure files is wanted")
    found, own = _in_folder(source) if source.is_dir() else (_in_tar(source), [])
    if left_out is not None:
        left_out += own
    if not found:
        raise ValueError(f"source={where}: no structure file in it ({ENDINGS})")
    return sorted(found)


def _in_folder(source: Path) -> tuple[list[SourceFile], list[str]]:
    """Files to read, and the paths of those that protgm made of others."""
    found: list[SourceFile] = []
    made: set[str] = set()
    entered: set[tuple[int, int]] = set()
    todo = [("", source)]
    while todo:
        prefix, folder = todo.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            if prefix:
                made.update(prefix + name for name in made_here(folder))
            with os.scandir(folder) as items:
                for item in items:
                    if item.name.startswith("."):
                        continue
                    if item.is_dir():
                        todo.append((f"{prefix}{item.name}/", Path(item.path)))
                    elif is_structure_file(item.name):
                        found.append(SourceFile(prefix + item.name, *_size_and_time(item)))
        except OSError as error:
            raise ValueError(f"{printable(folder, 1000)}: cannot be read: {error.strerror}") from None
    own = sorted(item.file for item in found if item.file in made)
    return [item for item in found if item.file not in made], own


def _size_and_time(item: os.DirEntry[str]) -> tuple[int, int]:
    try:
        status = item.stat()
    except OSError:  # a dangling link: the reader will say so
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _in_tar(source: Path) -> list[SourceFile]:
    where = f"source={printable(source, 1000)}"
    if is_structure_file(source.name):
        raise ValueError(f"{where}: is one structure file; name the folder that it is in")
    found: dict[str, SourceFile] = {}
    try:
        with tarfile.open(source, "r:") as tar:
            for member in tar:
                # The list of all members seen, which only costs memory here.
                tar.members = []  # type: ignore[attr-defined]
                name = member.name.removeprefix("./")
                if member.isreg() and not member.issparse() and is_structure_file(name):
                    found[name] = SourceFile(name, member.size, int(member.mtime), member.offset_data)
    except tarfile.TarError as error:
        reason = f"neither a folder nor a whole, uncompressed tar file ({printable(error)})"
        raise ValueError(f"{where}: {reason}; unpack it and name the folder") from None
    except OSError as error:
        raise ValueError(f"{where}: cannot be read: {error.strerror}") from None
    return list(found.values())
