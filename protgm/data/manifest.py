"""Manifests: tables that say of each structure file which cluster and split it belongs to, and what is known of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from protgm.data.schema import SPLITS
from protgm.text import printable

__all__ = ["Manifest", "ManifestRow", "find_manifest", "read_manifest"]

#: Names of the cluster column, the first that is there counts.
CLUSTER_COLUMNS = ("cluster", "cluster30")
_COLUMNS = ("file", "chain", *CLUSTER_COLUMNS, "split", "pdb_id", "resolution")


@dataclass(frozen=True)
class ManifestRow:
    """What a manifest says of one file, or of one chain in it; None where it says nothing."""

    cluster: str | None = None
    split: str | None = None
    pdb_id: str | None = None
    resolution: float | None = None


@dataclass(frozen=True)
class Manifest:
    """Rows by (file, chain); an empty chain stands for the whole file.

    Parameters
    ----------
    rows : mapping
    splits : mapping
        Cluster to its split.
    """

    rows: Mapping[tuple[str, str], ManifestRow] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, file: str, chain: str) -> ManifestRow:
        """What is known of a chain of a file (its path below the source folder, with ``/``)."""
        return self.rows.get((file, chain)) or self.rows.get((file, "")) or ManifestRow()

    def unmatched(self, seen: Mapping[str, set[str] | None]) -> list[tuple[str, str]]:
        """Rows (file, chain) that name nothing that was seen: file to its chains, None where they are not known."""
        return [
            (file, chain)
            for file, chain in self.rows
            if file not in seen or (chain and (chains := seen[file]) is not None and chain not in chains)
        ]

    def resolutions(self) -> dict[str, float]:
        """File to resolution, Angstrom, where it is stated."""
        return {file: row.resolution for (file, _), row in self.rows.items() if row.resolution is not None}


def read_manifest(path: str | PathLike[str]) -> Manifest:
    """Read a CSV manifest.

    Parameters
    ----------
    path : path
        UTF-8 with a header. ``file`` (path below the source folder) must be there; ``chain``, ``cluster`` (or
        ``cluster30``), ``split`` (train, val or test), ``pdb_id`` and ``resolution`` (Angstrom) may be; other columns
        are ignored. A split is followed with a cluster and without.

    Raises
    ------
    ValueError
        If it cannot be read, a column or value is wrong, a column's name is nearly one of those, a row names no file, a
        file stands there twice, or a cluster lies in two splits.
    """
    where = printable(path, limit=1000)
    rows: dict[tuple[str, str], ManifestRow] = {}
    splits: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            if "file" not in header:
                raise ValueError(f"{where}: a manifest needs a column 'file', it has {', '.join(header) or 'none'}")
            _check_names(header, where)
            cluster_column = next((name for name in CLUSTER_COLUMNS if name in header), None)
            for record in reader:
                at = f"{where}, line {reader.line_num}"
                key = (record["file"] or "", record.get("chain") or "")
                if not key[0]:
                    raise ValueError(f"{at}: names no file")
                if None in record:
                    raise ValueError(f"{at}: has more values than there are columns")
                row = _row(record, cluster_column, at)
                if key in rows:
                    raise ValueError(f"{at}: {printable(' '.join(key)).strip()} is there a second time")
                rows[key] = row
                if row.cluster is not None and row.split is not None:
                    before = splits.setdefault(row.cluster, row.split)
                    if before != row.split:
                        raise ValueError(
                            f"{at}: cluster {printable(row.cluster)} is in split {row.split} here, in {before} above; "
                            "a cluster must lie in one split"
                        )
    except OSError as error:
        raise ValueError(f"{where}: cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{where}: not a CSV file in UTF-8: {error}") from None
    return Manifest(rows, splits)


def _check_names(header: Sequence[str], where: str) -> None:
    """Refuse a column that would be ignored though it is meant: Split, clusters, "pdb id"."""
    for name in header:
        plain = name.lower().strip().replace(" ", "_").replace("-", "_")
        meant = next((known for known in _COLUMNS if plain in (known, f"{known}s", known.replace("_", ""))), None)
        if meant is not None and meant != name and meant not in header:
            raise ValueError(f"{where}: column {printable(name)!r} would be ignored; call it {meant}")


def _row(record: Mapping[str, str | None], cluster_column: str | None, at: str) -> ManifestRow:
    cluster = (record.get(cluster_column) or None) if cluster_column else None
    split = record.get("split") or None
    if split is not None and split not in SPLITS:
        raise ValueError(f"{at}: split must be one of {', '.join(SPLITS)}, got {printable(split)!r}")
    text = record.get("resolution") or ""
    try:
        resolution = float(text) if text else None
    except ValueError:
        raise ValueError(f"{at}: resolution must be a number of Angstrom, got {printable(text)!r}") from None
    if resolution is not None and not 0 < resolution < 1000:
        raise ValueError(f"{at}: resolution must be a number of Angstrom, got {printable(text)!r}")
    return ManifestRow(cluster, split, record.get("pdb_id") or None, resolution)


def find_manifest(source: Path) -> Path | None:
    """``manifest.csv`` in the source folder, where there is one."""
    path = source / "manifest.csv"
    return path if path.is_file() else None
