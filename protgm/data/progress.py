"""The progress bar of work on many files."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["FileProgress"]

_LINE_EVERY = 30.0  # seconds between lines where there is no terminal to draw a bar on


class FileProgress:
    """Files done, files per second, time left; on a terminal a bar, elsewhere a line now and then.

    Parameters
    ----------
    what : str
        Name of the work.
    total : int
        Number of files.
    done : int
        Files that an earlier, interrupted run did: part of the bar, not of the rate.
    """

    def __init__(self, what: str, total: int, done: int, *, enabled: bool) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files"),
            TextColumn("{task.fields[rate]:.0f}/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not enabled or not console.is_terminal,
        )
        self._lines = console if enabled and not console.is_terminal else None
        self._task = self._bar.add_task(what, total=total, completed=done, rate=0.0, note="")
        self._total, self._before, self._done = total, done, done
        self._start = self._shown = time.monotonic()

    def __enter__(self) -> FileProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, files: int, note: str) -> None:
        """Some more files are done; ``note`` says what came of all so far."""
        self._done += files
        now = time.monotonic()
        rate = (self._done - self._before) / max(now - self._start, 1e-3)
        self._bar.update(self._task, advance=files, rate=rate, note=note)
        if self._lines is not None and now - self._shown >= _LINE_EVERY:
            self._shown = now
            left = (self._total - self._done) / rate
            self._lines.print(
                f"{self._done}/{self._total} files, {rate:.0f}/s, {left:.0f} s left, {note}", highlight=False
            )
