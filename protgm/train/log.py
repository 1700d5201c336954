"""Figures of a run: one CSV per kind, TensorBoard where it is installed."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

__all__ = ["RunLog"]


class RunLog:
    """Append rows to ``train.csv``, ``validation.csv``, ``samples.csv`` in a run's folder.

    After a restart, rows written beyond the checkpoint's step are dropped, so that every curve has one line.
    """

    def __init__(self, folder: Path, resume_step: int) -> None:
        self.folder = folder
        for path in folder.glob("*.csv"):
            _drop_after(path, resume_step)
        self._board = _tensorboard(folder / "tensorboard", resume_step)

    def write(self, kind: str, step: int, figures: dict[str, float]) -> None:
        """Add one row to ``kind``.csv and the same scalars to TensorBoard."""
        path = self.folder / f"{kind}.csv"
        row = {"step": step, **{k: f"{v:.6g}" for k, v in figures.items()}}
        new = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self._board is not None:
            for key, value in figures.items():
                self._board.add_scalar(f"{kind}/{key}", value, step)

    def close(self) -> None:
        """Flush what TensorBoard holds."""
        if self._board is not None:
            self._board.close()


def _drop_after(path: Path, step: int) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines[1:] if line.endswith("\n") and _step(line) <= step]
    if lines:
        path.write_text("".join(lines[:1] + kept), encoding="utf-8")


def _step(line: str) -> float:
    try:
        return float(line.split(",", 1)[0])
    except ValueError:
        return float("inf")


def _tensorboard(folder: Path, purge_step: int):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=purge_step)
