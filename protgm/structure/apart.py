"""Files that anybody may have made, read where a parser that dies (gemmi and msgpack are native code) dies alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from protgm.structure.backbone import Backbone
from protgm.structure.errors import StructureError, malformed
from protgm.structure.read import read_structure
from protgm.workers import apart

__all__ = ["read_apart", "read_each"]

_Path = str | os.PathLike[str]


def read_each(paths: Sequence[_Path]) -> Iterator[Backbone | StructureError]:
    """Structures of files, in order, or why one cannot be read; see `protgm.structure.read_structure`.

    They are read in a child of this process, which takes milliseconds to make; one that dies of a file is replaced.
    """
    return apart(_read, paths, _died)


def read_apart(path: _Path) -> Backbone:
    """The structure of one file, as `read_each`.

    Raises
    ------
    StructureError
        If the file cannot be read, or the process that reads it dies.
    """
    (found,) = read_each([path])
    if isinstance(found, StructureError):
        raise found
    return found


def _read(path: _Path) -> Backbone | StructureError:
    try:
        return read_structure(path)
    except StructureError as error:
        return error
    except OSError as error:
        return malformed(os.fspath(path), error.strerror or type(error).__name__)


def _died(path: _Path) -> StructureError:
    return malformed(os.fspath(path), "the process that read it died (a damaged file, or too little memory)")
