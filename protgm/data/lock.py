"""One writer per folder: a lock that the operating system lifts when its process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked"]

_NAME = ".lock"


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be.

    Parameters
    ----------
    folder : Path
    what : str
        Who holds it, for the message to the next one: ``protgm prepare``.

    Raises
    ------
    ValueError
        If another process holds it, or the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / _NAME, "a+", encoding="utf-8")  # noqa: SIM115 - held open as long as the lock
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written to: {error.strerror}") from None
    with file:
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise ValueError(f"{folder}: {holder} is writing there; wait for it or choose another folder") from None
        file.truncate(0)
        file.write(f"{what} (process {os.getpid()})\n")
        file.flush()
        yield
