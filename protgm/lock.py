"""One writer per folder, or per file in it: a lock that the operating system lifts when its process ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from protgm.files import check_folder

__all__ = ["Locked", "locked"]


class Locked(ValueError):
    """Another process holds the lock."""


@contextmanager
def locked(folder: Path, what: str, *, name: str = ".lock", wait: bool = False) -> Iterator[None]:
    """Hold a lock in a folder, which is made if need be.

    Parameters
    ----------
    folder : Path
    what : str
        Who holds it, for the message to the next one: ``protgm prepare``.
    name : str
        File that is locked.
    wait : bool
        Wait for another holder instead of raising.

    Raises
    ------
    Locked
        If another process holds it.
    ValueError
        If the folder cannot be made or written to.
    """
    check_folder("out", folder)
    path = folder / name
    lock = FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise Locked(f"{folder}: {_holder(path)} is writing there; wait for it or choose another folder") from None
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written to: {error.strerror}") from None
    try:
        # For the next one's message only. Windows lets nobody write to what is locked.
        with suppress(OSError):
            path.write_text(f"{what} (process {os.getpid()})\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Who wrote into the file that it is theirs."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(200).strip() or "another process"
    except OSError:
        return "another process"
