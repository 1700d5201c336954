"""Progress of an evaluation: one bar per stage on a terminal, one line per stage elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["Advance", "Stage", "Stages", "quiet"]

#: Tells that so many more units are done.
Advance = Callable[[int], None]
#: Starts a stage of that name and that many units.
Stage = Callable[[str, int], Advance]


def quiet(name: str, total: int) -> Advance:
    """A `Stage` that shows nothing."""
    return lambda count: None


class Stages:
    """A `Stage` that shows what is going on, as a context manager.

    Parameters
    ----------
    enabled : bool
        Show anything at all.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self._console = Console(stderr=True)
        self._enabled = enabled
        self._bars = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not enabled or not self._console.is_terminal,
        )

    def __enter__(self) -> Stages:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, name: str, total: int) -> Advance:
        """Start a stage."""
        if self._enabled and not self._console.is_terminal:
            self._console.print(f"{name}: {total}", highlight=False)
        task = self._bars.add_task(name, total=total)
        return lambda count: self._bars.update(task, advance=count)
