"""The progress bar of a training run."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from protgm.train.config import TrainConfig

__all__ = ["TrainProgress"]


class TrainProgress:
    """Share of the run done, loss and throughput; on a terminal a bar, elsewhere a line per log interval."""

    def __init__(self, config: TrainConfig, *, enabled: bool) -> None:
        self._bar = Progress(
            TextColumn("train"),
            BarColumn(),
            TextColumn("{task.percentage:5.1f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            disable=not enabled,
        )
        self._task = self._bar.add_task("train", total=1.0, note="")
        self._lines = enabled and not self._bar.console.is_terminal

    def __enter__(self) -> TrainProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, step: int, done: float, figures: dict[str, float]) -> None:
        """Update to a step with the figures of the last interval."""
        note = f"step {step} loss {figures['loss']:.3f} {figures['samples_per_second']:.1f} samples/s"
        self._bar.update(self._task, completed=done, note=note)
        if self._lines:
            self._bar.console.print(f"{100 * done:5.1f} % {note}", highlight=False)

    def end(self, step: int, done: float) -> None:
        """How far the run has come when it ends, whatever has been shown of it before."""
        self._bar.update(self._task, completed=done)
        if self._lines:
            self._bar.console.print(f"{100 * done:5.1f} % step {step}", highlight=False)
