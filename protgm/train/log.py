"""Figures of a run: one CSV per kind, TensorBoard where it is installed."""

from __future__ import annotations

import csv
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from protgm.files import atomic, unwritable
from protgm.train.parallel import World

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["KINDS", "Clock", "RunLog", "Window"]


#: The tables of a run.
KINDS = ("train", "validation", "samples")


class RunLog:
    """Append rows to ``train.csv``, ``validation.csv``, ``samples.csv`` in a run's folder.

    After a restart, rows written beyond the checkpoint's step are dropped, so that every curve has one line; a row that
    is there already is not written again.
    """

    def __init__(self, folder: Path, resume_step: int) -> None:
        self.folder = folder
        tables = [folder / f"{kind}.csv" for kind in KINDS]  # whatever else lies there is not a run's
        self._written = {path.stem: _drop_after(path, resume_step) for path in tables if path.exists()}
        self._fitting: set[str] = set()  # tables whose columns are those of the rows that are written now
        self._board = _tensorboard(folder / "tensorboard", resume_step)

    def write(self, kind: str, step: int, figures: dict[str, float]) -> None:
        """Add one row to ``kind``.csv and the same scalars to TensorBoard."""
        if step <= self._written.get(kind, -1):
            return
        self._written[kind] = step
        path = self.folder / f"{kind}.csv"
        row = {"step": step, **{k: f"{v:.6g}" for k, v in figures.items()}}
        try:
            new = not path.exists()
            if kind not in self._fitting:
                if not new:
                    _fit_columns(path, list(row))
                self._fitting.add(kind)
            with open(path, "a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(row))
                if new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise unwritable(path, error) from error
        if self._board is not None:
            for key, value in figures.items():
                self._board.add_scalar(f"{kind}/{key}", value, step)

    def close(self) -> None:
        """Flush what TensorBoard holds."""
        if self._board is not None:
            self._board.close()


class Clock:
    """Seconds of training, counted over restarts."""

    def __init__(self, before: float) -> None:
        self._start = time.monotonic() - before

    @property
    def seconds(self) -> float:
        """So far."""
        return time.monotonic() - self._start


class Window:
    """Means of the figures since the last log line."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps, self.samples, self.residues = 0, 0, 0
        self.start = time.monotonic()

    def add(self, figures: dict[str, Tensor], samples: int, residues: int) -> None:
        """Take in one step: its figures, and how much all processes together went through."""
        for key, value in figures.items():
            self.sums[key] = self.sums[key] + value if key in self.sums else value
        self.steps += 1
        self.samples += samples
        self.residues += residues

    def means(self, world: World) -> dict[str, float]:
        """Means over the steps and the processes, which must all ask."""
        elapsed = time.monotonic() - self.start
        values = world.mean(torch.stack(list(self.sums.values())) / self.steps).tolist()
        means = dict(zip(self.sums, values, strict=True))
        means["samples_per_second"] = self.samples / elapsed
        means["residues_per_second"] = self.residues / elapsed
        return means


def _drop_after(path: Path, step: int) -> int:
    """Cut a table after a step; the step of its last row, -1 where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines[1:] if line.endswith("\n") and _step(line) <= step]
    if lines and lines[0].endswith("\n"):
        with atomic(path) as temporary:
            temporary.write_text("".join(lines[:1] + kept), encoding="utf-8")
    else:  # killed while it wrote the very first line
        path.unlink()
        kept = []
    return int(_step(kept[-1])) if kept else -1


def _fit_columns(path: Path, names: list[str]) -> None:
    """Give a table these columns, if an earlier version wrote others: values it did not know are empty."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if list(reader.fieldnames or ()) == names:
            return
        rows = list(reader)
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _step(line: str) -> float:
    try:
        return float(line.split(",", 1)[0])
    except ValueError:
        return float("inf")


def _tensorboard(folder: Path, purge_step: int) -> SummaryWriter | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=purge_step)
