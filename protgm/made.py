"""What protgm has made: known by a list beside it, not read again as if it were new, and never written over its source.

A folder of structures that were made from other structures (designs of samples, refolded designs, samples of a training
run) has a JSON file in it that names them. Whatever else is in that folder is somebody's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from protgm.files import check_folder, read_json, remove_temporary, write_json
from protgm.lock import locked
from protgm.version import __version__

__all__ = ["LISTS", "UNFINISHED", "check_apart", "check_outputs", "made_here", "making", "remove_others", "write_list"]

#: What a call may have written that has not come to its end.
UNFINISHED = ".unfinished.json"

#: Names of such lists.
LISTS = ("designs.json", "refolded.json", "samples.json", UNFINISHED)


def write_list(path: Path, files: Iterable[str], **more: Any) -> None:
    """Say which files of a folder protgm has made, by their paths below it, and more about them."""
    write_json(path, {"protgm": __version__, **more, "files": sorted(files)})


def made_here(folder: str | os.PathLike[str]) -> set[str]:
    """Files that lists in a folder name, as paths from that folder, with ``/``."""
    found: set[str] = set()
    for name in LISTS:
        found.update(_listed(Path(folder, name)))
    return found


def remove_others(folder: Path, before: dict[str, Any], now: Iterable[str]) -> None:
    """Remove files that an earlier list names and a new one does not, and folders that are empty then."""
    for name in sorted(set(_files(before)) - set(now)):
        path = folder / name
        with suppress(OSError):
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == folder:
                    break
                parent.rmdir()


@contextmanager
def making(folder: Path, what: str, noted: str, planned: Iterable[str]) -> Iterator[set[str]]:
    """Make files in a folder, alone, in the place of those that an earlier call has made there.

    What may be made is noted before anything is, in `UNFINISHED`: a call that is killed leaves no file that the next
    one does not know of, and nothing half-written that it does not clear away.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    what : str
        Who makes them, for the message to another process: ``protgm design``.
    noted : str
        JSON file in the folder that names them, the last one that is written.
    planned : iterable of str
        What may be made, as paths below the folder.

    Yields
    ------
    set of str
        For what was made; files of earlier calls that are not in it are removed behind the last of it.

    Raises
    ------
    Locked
        If another process makes files there.
    ValueError
        If the folder cannot be made or written to.
    """
    with locked(folder, what):
        before = {name for path in (folder / noted, folder / UNFINISHED) for name in _listed(path)}
        # A file that is there and in no list is somebody's own until it is replaced.
        known = before | {name for name in planned if not os.path.lexists(folder / name)}
        temporary = {PurePosixPath(name).name for name in known} | {noted, UNFINISHED}
        for parent in {folder, *((folder / name).parent for name in known)}:
            remove_temporary(parent, keep=lambda name: name.rsplit(".", 2)[0] not in temporary)
        write_list(folder / UNFINISHED, known)
        made: set[str] = set()
        yield made
        remove_others(folder, {"protgm": __version__, "files": sorted(before)}, made)
        (folder / UNFINISHED).unlink(missing_ok=True)


def _listed(path: Path) -> list[str]:
    """Files that a list names, if it is one."""
    try:
        return _files(read_json(path))
    except (OSError, ValueError):
        return []


def _files(listed: dict[str, Any]) -> list[str]:
    """Files that a list names; only such as can lie below its folder."""
    names = listed.get("files") if "protgm" in listed else None
    if not isinstance(names, list):
        return []
    paths = [PurePosixPath(name) for name in names if isinstance(name, str) and name]
    return [str(path) for path in paths if not path.is_absolute() and ".." not in path.parts]


def check_apart(key: str, out: Path, source: Path) -> None:
    """Refuse to write into the folder that is read, however its path is spelled, or where nothing can be written.

    Raises
    ------
    ValueError
        If both are the same folder, or as `protgm.files.check_folder`; ``key`` is the setting that ``out`` comes from.
    """
    check_folder(key, out)
    if _identity(out) is not None and _identity(out) == _identity(source):
        raise ValueError(f"{key}={out}: is the folder that is read ({source}); name another one")


def check_outputs(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Refuse to write over what is read, through links and in another case too.

    Raises
    ------
    ValueError
        Naming the two files.
    """
    read = {_identity(path): path for path in inputs}
    read.pop(None, None)
    for path in outputs:
        if (source := read.get(_identity(path))) is not None:
            raise ValueError(f"{path}: would be written over {source}, which is read; use another out= folder")


def _identity(path: Path) -> tuple[int, int] | None:
    """What a path leads to; None where there is nothing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
