"""Structures to judge, and natives to judge them by, from folders and datasets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protgm.made import made_here
from protgm.structure import Backbone, StructureError, read_structure
from protgm.structure.errors import printable
from protgm.structure.source import ENDINGS, is_structure_file

__all__ = ["Natives", "read_folder", "read_natives", "structure_files", "with_confidence"]

_MANIFEST = "manifest.jsonl"  # protgm sample leaves one


def structure_files(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """Structure files in a folder, told by their endings, sorted; hidden ones are left out.

    So are, in subfolders, those that protgm made of others (designs of samples); a line on stderr says so.

    Raises
    ------
    ValueError
        If the folder is not there or holds none.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; name the folder that it is in ({folder.parent})")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")

    def structures(paths: Iterable[Path]) -> list[Path]:
        return sorted(
            path
            for path in paths
            if is_structure_file(path.name)
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and path.is_file()
        )

    found = structures(folder.rglob("*") if recursive else folder.iterdir())
    own = _made_below(folder, found)
    if own:
        found = [path for path in found if path not in own]
        where = printable(min(own).parent, 1000)
        print(f"protgm: left out {len(own)} files that protgm made of others; name their folder ({where}) to read them",
              file=sys.stderr)  # fmt: skip
    if not found:
        hint = (
            "" if recursive or not structures(folder.rglob("*")) else "; there are some in subfolders: recursive=true"
        )
        raise ValueError(f"{folder}: no structure file ({ENDINGS}){hint}")
    return found


def _made_below(folder: Path, files: Iterable[Path]) -> set[Path]:
    """Those of the files below a folder, not in it, that protgm made of others."""
    between = {parent for path in files for parent in path.relative_to(folder).parents} - {Path(".")}
    return {folder / part / name for part in between for name in made_here(folder / part)}.intersection(files)


def read_folder(
    folder: str | os.PathLike[str], *, recursive: bool = False
) -> tuple[list[Backbone], list[tuple[str, str]]]:
    """Every structure of a folder, and the files that could not be read with the reason.

    A structure is called by its path below the folder without the ending; where two files differ in the ending only,
    by the whole path. In a folder of ``protgm sample`` B factors are confidences.

    Raises
    ------
    ValueError
        If no file can be read.
    """
    folder = Path(folder)
    backbones: list[Backbone] = []
    failed: list[tuple[str, str]] = []
    taken: set[str] = set()
    # In other files B factors mean something else.
    sampled = (folder / _MANIFEST).exists()
    for path in structure_files(folder, recursive=recursive):
        relative = path.relative_to(folder)
        try:
            backbone = read_structure(path)
        except (StructureError, OSError) as error:
            failed.append((printable(relative, limit=4096), str(error)))
            continue
        if sampled:
            backbone = with_confidence(backbone)
        # A name may hold bytes that are no text, which neither tables nor pages can.
        name = printable((relative.parent / backbone.name).as_posix(), limit=4096)
        name = printable(relative.as_posix(), limit=4096) if name in taken else name
        taken.add(name)
        backbones.append(replace(backbone, name=name, metadata={**backbone.metadata, "file": relative.as_posix()}))
    if not backbones:
        raise ValueError(f"{folder}: none of its {len(failed)} structure files can be read; the first: {failed[0][1]}")
    return backbones, failed


def with_confidence(backbone: Backbone) -> Backbone:
    """A sample of ``protgm sample`` whose file does not say that its B factors are confidences, as old ones do not."""
    if backbone.confidence is not None or backbone.b_factors is None:
        return backbone
    return replace(backbone, confidence=np.float32(0.01) * backbone.b_factors)


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
    backbones = []
    for row in _spread(len(files), limit):
        try:
            backbone = read_structure(files[row])
        except (StructureError, OSError):
            continue  # a damaged native is no native
        backbones.append(backbone)
    if not backbones:
        raise ValueError(f"{path}: none of its {len(files)} structure files can be read")
    return Natives(backbones, str(path))


def _spread(count: int, limit: int | None) -> NDArray[np.int64]:
    if limit is None or limit >= count:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).round().astype(np.int64))


def _of_example(dataset: Sequence, row: int) -> Backbone:
    from protgm.data.schema import AMINO_ACIDS

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
