"""Natives to judge structures by, from a dataset or a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protgm.checks import check_path
from protgm.data.folder import structure_files
from protgm.structure import Backbone
from protgm.structure.apart import read_each
from protgm.structure.residues import AMINO_ACIDS

if TYPE_CHECKING:
    from protgm.data.dataset import Dataset

__all__ = ["Natives", "read_natives"]


@dataclass(frozen=True, eq=False)
class Natives(Sequence[Backbone]):
    """Natives to compare with.

    Parameters
    ----------
    backbones : sequence of Backbone
    source : str
        Where they come from, for the report.
    families : sequence of str, optional
        What is alike in sequence has the same name; nothing is known to be alike by default.
    """

    backbones: Sequence[Backbone]
    source: str
    families: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.backbones)

    def __getitem__(self, index: int) -> Backbone:  # type: ignore[override]
        return self.backbones[index]

    def relatives(self, row: int) -> NDArray[np.int64]:
        """Rows of the same family, that of ``row`` included."""
        if self.families is None:
            return np.array([row], dtype=np.int64)
        return np.flatnonzero(np.asarray(self.families, dtype=object) == self.families[row])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Residues of each, shape (N,)."""
        return np.array([len(b) for b in self.backbones], dtype=np.int64)


def read_natives(path: str | os.PathLike[str], *, split: str | None = None, limit: int | None = None) -> Natives:
    """Natives from a dataset of ``protgm prepare`` or from a folder of structure files, subfolders included.

    Parameters
    ----------
    path : path
    split : str, optional
        Of a dataset: only this split.
    limit : int, optional
        At most so many, evenly spread over the files.

    Raises
    ------
    ValueError
        If there is neither a dataset nor a readable structure file, or ``split`` is asked of a folder of files.
    """
    from protgm.data.dataset import Dataset
    from protgm.data.schema import INDEX_FILE

    check_path("path", path)
    path = Path(path)
    if (path / INDEX_FILE).exists():
        dataset = Dataset.open(path, split=split)
        rows = _spread(len(dataset), limit)
        source = f"{path}{f' ({split})' if split else ''}"
        families = np.array(dataset.clusters, dtype=object)[rows].tolist()
        return Natives([_of_example(dataset, int(row)) for row in rows], source, families)
    if split is not None:
        raise ValueError(f"{path}: split={split} needs a dataset made by `protgm prepare`, this is a folder of files")
    files = structure_files(path, recursive=True)
    chosen = [files[row] for row in _spread(len(files), limit)]
    # A damaged native is no native.
    backbones = [one for one in read_each(chosen) if isinstance(one, Backbone)]
    if not backbones:
        raise ValueError(f"{path}: none of its {len(files)} structure files can be read")
    return Natives(backbones, str(path))


def _spread(count: int, limit: int | None) -> NDArray[np.int64]:
    if limit is None or limit >= count:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).round().astype(np.int64))


def _of_example(dataset: Dataset, row: int) -> Backbone:
    example = dataset[row]
    letters = np.array([*AMINO_ACIDS, "X"])
    names = np.array([*"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"])
    return Backbone(
        coords=example.coords,
        sequence="".join(letters[example.sequence]),
        chain_ids=tuple(names[example.chain_index % len(names)].tolist()),
        residue_numbers=example.residue_index,
        insertion_codes=("",) * len(example),
        name=example.name,
    )
