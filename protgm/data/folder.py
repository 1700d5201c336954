"""Structures of a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from protgm.checks import check_kind, check_path
from protgm.made import made_here
from protgm.structure import Backbone, StructureError
from protgm.structure.apart import read_each
from protgm.structure.source import ENDINGS, is_structure_file
from protgm.text import printable

__all__ = ["existing_folder", "read_folder", "structure_files", "with_confidence"]

_MANIFEST = "manifest.jsonl"  # protgm sample leaves one


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    """A folder to read from, as a path.

    Raises
    ------
    ValueError
        If it is no path, a file, or not there.
    """
    check_path("folder", folder)
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; name the folder that it is in ({folder.parent})")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    return folder


def structure_files(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """Structure files in a folder, told by their endings, sorted; hidden ones are left out.

    So are, in subfolders, those that protgm made of others (designs of samples); a line on stderr says so.

    Raises
    ------
    ValueError
        If the folder is not there or holds none.
    """
    folder = existing_folder(folder)

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
    folder = existing_folder(folder)
    backbones: list[Backbone] = []
    failed: list[tuple[str, str]] = []
    taken: set[str] = set()
    # In other files B factors mean something else.
    sampled = (folder / _MANIFEST).exists()
    paths = structure_files(folder, recursive=recursive)
    for path, backbone in zip(paths, read_each(paths), strict=True):
        relative = path.relative_to(folder)
        if isinstance(backbone, StructureError):
            failed.append((printable(relative, limit=4096), str(backbone)))
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
    check_kind("backbone", backbone, Backbone)
    if backbone.confidence is not None or backbone.b_factors is None:
        return backbone
    return replace(backbone, confidence=np.float32(0.01) * backbone.b_factors)
