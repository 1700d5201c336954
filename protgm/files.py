"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

__all__ = [
    "Unwritable",
    "append_lines",
    "atomic",
    "check_folder",
    "fsync",
    "read_json",
    "read_lines",
    "remove_temporary",
    "sha256",
    "unwritable",
    "write_json",
]

#: What a disk that is full, a folder that is read-only or a lost permission say.
_DISK = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EFBIG", "ESTALE")
    if hasattr(errno, name)
}

# Asking for the mask means setting it, which is not for several threads to do at once.
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an exception.

    The contents are on the disk before the name is; the file gets the permissions that any new file gets.

    Raises
    ------
    OSError
        Where the disk is full or must not be written to, with ``path`` for its file name; what was there before is
        there still.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        fsync(temporary)
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
        fsync(path.parent)
    except OSError as error:
        if error.errno in _DISK and error.filename in (None, str(temporary), os.fsencode(temporary)):
            raise unwritable(path, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


class Unwritable(OSError):
    """A file or folder cannot be written: ``filename`` names it, ``strerror`` says why and that nothing is lost."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def unwritable(path: str | os.PathLike[str], error: OSError) -> Unwritable:
    """An error of the operating system in words that name ``path``; one that is in such words already as it is."""
    if isinstance(error, Unwritable):
        return error
    reason = error.strerror or str(error)
    return Unwritable(error.errno or 0, f"cannot be written ({reason}); what was there before is unchanged", str(path))


def check_folder(key: str, path: str | os.PathLike[str]) -> None:
    """Refuse a folder that cannot be made or written to: better before anything is computed than behind it.

    Raises
    ------
    ValueError
        Which names the file or folder that is in the way; ``key`` is the setting that ``path`` comes from.
    """
    path = Path(path)
    there = next((one for one in (path, *path.absolute().parents) if os.path.lexists(one)), Path(os.curdir))
    if not there.is_dir():
        what = "is a file" if there.exists() else "is a link to nothing"
        raise ValueError(f"{key}={path}: {'' if there == path else f'{there} '}{what}; a folder is wanted")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"{key}={path}: {'' if there == path else f'{there} '}cannot be written to; name another folder with {key}="
        )


def fsync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises
    ------
    ValueError
        If the file does not hold a JSON object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object")
    return value


def sha256(path: str | os.PathLike[str]) -> str:
    """Hex digest of a file's contents."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_temporary(folder: Path, keep: Callable[[str], bool] | None = None) -> None:
    """Remove what killed writers left of `atomic` files (and temporary folders) in a folder that nobody else writes to.

    Parameters
    ----------
    folder : Path
    keep : callable, optional
        Says by its name whether a final file may be another process's business.
    """
    for left in folder.glob(".*.tmp"):
        if keep is not None and keep(left.name[1:]):
            continue
        with suppress(OSError):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add JSON objects to a file, one a line; on return they are on the disk.

    A last line without an end, left by a process that was killed while writing it, is cut off first. If the disk is
    full, the file is left as it was.
    """
    try:
        with open(path, "ab+") as file:
            end = _last_line_end(file)
            file.truncate(end)
            try:
                file.write("".join(json.dumps(row) + "\n" for row in rows).encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(path, end)
                raise
    except OSError as error:
        raise unwritable(path, error) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of `append_lines`, without a torn last line; empty where there is no file.

    Raises
    ------
    ValueError
        If another line is not a JSON object.
    """
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(f"{path}: line {number} is not a JSON object; delete that line to go on")
        rows.append(row)
    return rows


def _last_line_end(file: BinaryIO) -> int:
    """Bytes up to and with the last line end."""
    at = file.seek(0, os.SEEK_END)
    while at > 0:
        start = max(0, at - 65536)
        file.seek(start)
        found = file.read(at - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0
