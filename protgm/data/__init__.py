"""Structure files to filtered, clustered datasets (`prepare`), and datasets to batches of examples for training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protgm.data.batches import Batch, EpochSampler, collate
    from protgm.data.dataset import Dataset, DatasetError, Example
    from protgm.data.entry import Filters
    from protgm.data.prepare import Summary, prepare

__all__ = [
    "Batch",
    "Dataset",
    "DatasetError",
    "EpochSampler",
    "Example",
    "Filters",
    "Summary",
    "collate",
    "prepare",
]

_HOME = {
    "Batch": "batches",
    "Dataset": "dataset",
    "DatasetError": "dataset",
    "EpochSampler": "batches",
    "Example": "dataset",
    "Filters": "entry",
    "Summary": "prepare",
    "collate": "batches",
    "prepare": "prepare",
}


def __getattr__(name: str) -> object:
    # Imported on demand: pyarrow and torch take a second, which `protgm --help` need not wait for.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
