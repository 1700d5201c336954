"""Progress on the terminal: a bar on one, lines now and then elsewhere; always on standard error.

`Stages` shows the stages of an evaluation, `FileProgress` work on many files, `RunProgress` a training run and
`ItemProgress` proteins that differ in work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Advance", "FileProgress", "ItemProgress", "RunProgress", "Stage", "Stages", "quiet"]

#: Tells that so many more units are done.
Advance = Callable[[int], None]
#: Starts a stage of that name and that many units.
Stage = Callable[[str, int], Advance]

_LINE_EVERY = 30.0  # seconds between lines of many files


def quiet(name: str, total: int) -> Advance:
    """A `Stage` that shows nothing."""
    return lambda count: None


class _Shown:
    """Bars on a terminal, lines elsewhere, nothing where it is not enabled; a context manager.

    Parameters
    ----------
    columns : tuple of ProgressColumn or str
        Between the name with its bar and the times.
    name : str
        Format of the name.
    after : str
        Format of what stands behind the times.
    """

    def __init__(
        self,
        *columns: ProgressColumn | str,
        enabled: bool,
        console: Console | None = None,
        name: str = "{task.description}",
        after: str = "",
    ) -> None:
        self._console = console or Console(stderr=True)
        self._lines = enabled and not self._console.is_terminal
        times = (TimeElapsedColumn(), TimeRemainingColumn(), *([TextColumn(after)] if after else []))
        self._bars = Progress(
            TextColumn(name),
            BarColumn(),
            *columns,
            *times,
            console=self._console,
            disable=not enabled or not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def _say(self, line: str) -> None:
        if self._lines:
            self._console.print(line, highlight=False, markup=False)


class Stages(_Shown):
    """A `Stage` that shows what is going on: a bar per stage, or its name and size on a line.

    Parameters
    ----------
    enabled : bool
        Show anything at all.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        super().__init__(MofNCompleteColumn(), enabled=enabled, name="{task.description:<24}")

    def __call__(self, name: str, total: int) -> Advance:
        """Start a stage."""
        self._say(f"{name}: {total}")
        task = self._bars.add_task(name, total=total)
        return lambda count: self._bars.update(task, advance=count)


class FileProgress(_Shown):
    """Files done, files per second, time left; elsewhere than on a terminal a line every half minute.

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
        rate = ("files", "{task.fields[rate]:.0f}/s")
        super().__init__(MofNCompleteColumn(), *rate, enabled=enabled, after="{task.fields[note]}")
        self._task = self._bars.add_task(what, total=total, completed=done, rate=0.0, note="")
        self._total, self._before, self._done = total, done, done
        self._start = self._told = time.monotonic()

    def advance(self, files: int, note: str) -> None:
        """Some more files are done; ``note`` says what came of all so far."""
        self._done += files
        now = time.monotonic()
        rate = (self._done - self._before) / max(now - self._start, 1e-3)
        self._bars.update(self._task, advance=files, rate=rate, note=note)
        if now - self._told >= _LINE_EVERY:
            self._told = now
            left = (self._total - self._done) / max(rate, 1e-9)
            self._say(f"{self._done}/{self._total} files, {rate:.0f}/s, {left:.0f} s left, {note}")


class RunProgress(_Shown):
    """The share of a run that is done, with a note; elsewhere than on a terminal a line for each.

    Parameters
    ----------
    what : str
        Name of the work.
    """

    def __init__(self, what: str, *, enabled: bool) -> None:
        super().__init__("{task.percentage:5.1f} %", enabled=enabled, after="{task.fields[note]}")
        self._task = self._bars.add_task(what, total=1.0, note="")

    def show(self, done: float, note: str) -> None:
        """How far the run has come, from 0 to 1, and what there is to say of it."""
        self._bars.update(self._task, completed=done, note=note)
        self._say(f"{100 * done:5.1f} % {note}")


class ItemProgress(_Shown):
    """Items done of all, with the time left by their work; a bar on a terminal, nothing elsewhere.

    Parameters
    ----------
    what : str
        Name of the work.
    unit : str
        What an item is, in the plural.
    count : int
        Number of items.
    work : float
        Of all items together, in any unit.
    """

    def __init__(
        self, what: str, unit: str, count: int, work: float, *, enabled: bool, console: Console | None = None
    ) -> None:
        done = f"{{task.fields[done]}}/{{task.fields[count]}} {unit}"
        super().__init__(done, enabled=enabled, console=console)
        self._task = self._bars.add_task(what, total=work, done=0, count=count)

    def advance(self, items: int, work: float) -> None:
        """Some more items are done, and so much work."""
        before = self._bars.tasks[self._task].fields["done"]
        self._bars.update(self._task, advance=work, done=before + items)
