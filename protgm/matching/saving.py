"""What a simulation keeps, and how it shows that it is getting on."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

__all__ = ["AtTimes", "Every", "Final", "NoProgress", "Save", "TerminalProgress"]


class Save(Protocol):
    """What is kept of a simulation."""

    def see(self, t: Tensor, x: Any, last: bool) -> None:
        """Called at the start and after every step."""
        ...

    def result(self) -> Any:
        """What `simulate` returns."""
        ...


class Final:
    """Only the last state."""

    def see(self, t: Tensor, x: Any, last: bool) -> None:
        """Keep x."""
        self._x = x

    def result(self) -> Any:
        """The last state."""
        return self._x


class Every:
    """Every n-th state, the first and the last among them: a list of (t, x)."""

    def __init__(self, stride: int = 1) -> None:
        if stride < 1:
            raise ValueError(f"Every: stride must be at least 1, got {stride}")
        self._stride, self._count = stride, 0
        self._kept: list[tuple[Tensor, Any]] = []

    def see(self, t: Tensor, x: Any, last: bool) -> None:
        """Keep every n-th."""
        if last or self._count % self._stride == 0:
            self._kept.append((t, x))
        self._count += 1

    def result(self) -> list[tuple[Tensor, Any]]:
        """The kept pairs."""
        return self._kept


class AtTimes:
    """The first states at or after each of the given times: a list of (t, x)."""

    def __init__(self, times: list[float]) -> None:
        self._left = sorted(times)
        self._kept: list[tuple[Tensor, Any]] = []

    def see(self, t: Tensor, x: Any, last: bool) -> None:
        """Keep x once for each time passed."""
        while self._left and float(t.min()) >= self._left[0] - 1e-9:
            self._kept.append((t, x))
            self._left.pop(0)

    def result(self) -> list[tuple[Tensor, Any]]:
        """The kept pairs."""
        return self._kept


class NoProgress:
    """Shows nothing."""

    def update(self, step: int, total: int | None, t: float) -> None:
        """Called after every step."""

    def close(self) -> None:
        """Called at the end."""


class TerminalProgress:
    """A progress bar with the time left, on the terminal."""

    def __init__(self, label: str = "simulating") -> None:
        from rich.progress import Progress

        self._bar = Progress()
        self._task = self._bar.add_task(label, total=1.0)
        self._bar.start()

    def update(self, step: int, total: int | None, t: float) -> None:
        """Advance the bar: by steps where their number is known, by time otherwise."""
        self._bar.update(self._task, completed=step / total if total else t)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()
