"""What manifests of ``protgm sample`` beside structures say of them: which residues were given, and from where."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from protgm.metrics.given import NEW, Given
from protgm.sample.manifest import read_manifest
from protgm.structure import Backbone, StructureError
from protgm.structure.apart import read_apart
from protgm.text import printable

__all__ = ["given_from", "known_in", "manifest_rows"]

#: By part, the condition whose description has the fingerprints of its sources.
_CONDITIONS = {"motif": "Motif", "fixed": "Partial", "target": "Target"}


def manifest_rows(folder: Path, backbones: Sequence[Backbone]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """By the name of a structure of a folder, the manifest row of its file and the folder that the manifest is in.

    Raises
    ------
    ValueError
        If a manifest has a line that is none.
    """
    rows: dict[Path, dict[str, dict[str, Any]]] = {}
    found = {}
    for backbone in backbones:
        path = folder / str(backbone.metadata["file"])
        if path.parent not in rows:
            rows[path.parent] = {str(row.get("file")): row for row in read_manifest(path.parent)}
        if (row := rows[path.parent].get(path.name)) is not None:
            found[backbone.name] = (path.parent, row)
    return found


def known_in(folder: Path, backbones: Sequence[Backbone]) -> tuple[list[Given | None], dict[str, Mapping[str, Any]]]:
    """What was given of each structure of a folder, and by name what a sequence design has to keep.

    A line on stderr says which sources are not found, or are not what they were.

    Raises
    ------
    ValueError
        If a structure is not the one that its manifest speaks of, or a manifest has a line that is none.
    """
    rows, sources = manifest_rows(folder, backbones), _Sources()
    given: list[Given | None] = []
    for backbone in backbones:
        where, row = rows.get(backbone.name, (folder, {}))
        given.append(given_from(backbone, row, sources.of(where, row)))
    for line in sources.missing.values():
        print(f"protgm: {line}", file=sys.stderr)
    return given, {name: row["keep"] for name, (_, row) in rows.items() if isinstance(row.get("keep"), dict)}


def given_from(
    backbone: Backbone, row: Mapping[str, Any], sources: Mapping[str, Sequence[Backbone | None]] | None = None
) -> Given | None:
    """What a manifest row says was given of a structure; None where nothing was and there is no symmetry.

    Parameters
    ----------
    backbone : Backbone
    row : mapping
        As `protgm.sample.describe.facts` has it.
    sources : mapping, optional
        By part (``motif``, ``fixed``, ``target``) the structures that residues were taken from.

    Raises
    ------
    ValueError
        If the structure lacks a residue that the row names.
    """
    groups = [one.get("group") for one in row.get("conditions", ()) if one.get("condition") == "Symmetry"]
    given: Mapping[str, Mapping[str, str]] = row.get("given", {})
    if not groups and not given:
        return None
    place = {label: i for i, label in enumerate(backbone.labels)}

    def at(label: str) -> int:
        if label not in place:
            raise ValueError(
                f"{backbone.name}: has no residue {printable(label)}, which its manifest says was given; "
                "move one of the two to another folder"
            )
        return place[label]

    parts = np.full(len(backbone), "new", dtype="<U8")
    source = np.full(backbone.coords.shape, np.nan, dtype=np.float32)
    for part, residues in given.items():
        files = [] if sources is None or part in NEW else sources.get(part, ())
        names = [{} if file is None else {label: i for i, label in enumerate(file.labels)} for file in files]
        for label, name in residues.items():
            i = at(label)
            parts[i] = part
            number, _, own = name.rpartition(":")
            file = int(number or 1) - 1
            if file < len(names) and own in names[file]:
                source[i] = files[file].coords[names[file][own]]  # type: ignore[union-attr]
    bodies = np.zeros(len(backbone), dtype=np.int64)
    for label, body in row.get("bodies", {}).items():
        bodies[at(label)] = body
    hotspots = np.zeros(len(backbone), dtype=bool)
    hotspots[[at(label) for label in row.get("hotspots", ())]] = True
    return Given(parts, source, bodies, hotspots, groups[0] if groups else None)


class _Sources:
    """Structures that residues were given from, each read once."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._read: dict[Path, Backbone | None] = {}

    def of(self, folder: Path, row: Mapping[str, Any]) -> dict[str, list[Backbone | None]]:
        """The sources of a manifest row, by part; None where one is not found, or not what it was."""
        named: Mapping[str, Sequence[str]] = row.get("sources", {})
        content = {one.get("condition"): one.get("content") for one in row.get("conditions", ())}
        found = {}
        for part in row.get("given", {}):
            if part in NEW:
                continue
            files = named.get("start" if part == "fixed" else part, ())
            digests = content.get(_CONDITIONS.get(part))
            digests = [digests] if isinstance(digests, str) else digests or []
            found[part] = [
                self._source(folder, Path(file), digest) for file, digest in zip(files, digests, strict=False)
            ]
        return found

    def _source(self, folder: Path, file: Path, digest: str) -> Backbone | None:
        # Where the manifest says; beside the samples, or beside their folder, once they were moved.
        for path in (folder / file, folder / file.name, folder.parent / file.name):
            if path not in self._read and path.is_file():
                try:
                    self._read[path] = read_apart(path)
                except StructureError:
                    self._read[path] = None
            structure = self._read.get(path)
            if structure is not None and structure.fingerprint() == digest:
                return structure
        self.missing[str(file)] = (
            f"{printable(file, 1000)}: is not there as it was when residues of it were given; nothing is compared to it"
        )
        return None
