"""Structure files to filtered, clustered datasets (`prepare`), and datasets to batches of examples for training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from protgm.data.filters import Filters
from protgm.data.prepare import Summary, prepare

if TYPE_CHECKING:
    from protgm.data.batches import Batch, EpochSampler, collate
    from protgm.data.dataset import Dataset, DatasetError, Example

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
    "collate": "batches",
}


def __getattr__(name: str) -> object:
    # Imported on demand: pyarrow and torch take a second, which `protgm --help` need not wait for.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
