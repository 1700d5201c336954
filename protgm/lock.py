"""One writer per folder, or per file in it: a lock that the operating system lifts when its process ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / name, "a+", encoding="utf-8")  # noqa: SIM115 - held open as long as the lock
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written to: {error.strerror}") from None
    with file:
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise Locked(f"{folder}: {holder} is writing there; wait for it or choose another folder") from None
        file.truncate(0)
        file.write(f"{what} (process {os.getpid()})\n")
        file.flush()
        yield
