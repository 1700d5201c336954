"""Samples in the layout of other programs: scaffolds for MotifBench (Zheng et al. 2025).

A folder for each problem, named after its motif file, has scaffolds PROBLEM_0.pdb, PROBLEM_1.pdb, ... of one chain from
residue 1, and scaffold_info.csv, which says where the motif's segments are in each: ``12/B/15/A/29`` is 12 residues of
scaffold, segment B of the motif, 15 of scaffold, segment A, and 29 of scaffold.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from protgm.files import atomic, read_json
from protgm.layout import CHAIN_LETTERS
from protgm.made import remove_others, write_list
from protgm.structure import read_structure
from protgm.structure.contig import Segment, parse_contig

__all__ = ["EXPORTS", "motif_placements", "write_motifbench"]

#: What `protgm sample` exports to.
EXPORTS = ("motifbench",)

_LIST = "samples.json"


def motif_placements(row: Mapping[str, Any]) -> str:
    """Where the segments of a motif are in a sample, as MotifBench writes it.

    A segment is called by its chain in the motif's file, as in that benchmark's files; where several are of one chain,
    or a chain is no letter, by a letter each in the order of the file.

    Parameters
    ----------
    row : mapping
        Of the manifest: ``length`` and ``given``.

    Raises
    ------
    ValueError
        If there is no motif, or the sample is not one chain from residue 1.
    """
    name, given = row.get("name", "sample"), row.get("given", {})
    if set(given) != {"motif"}:
        raise ValueError(f"{name}: a scaffold for MotifBench has a motif, and nothing else is given of it")
    places = {label[1:]: _source(source) for label, source in given["motif"].items()}
    if len({label[0] for label in given["motif"]}) > 1 or not set(places) <= {str(i + 1) for i in range(row["length"])}:
        raise ValueError(f"{name}: a scaffold for MotifBench is one chain, numbered from 1")
    found = {int(number) - 1: source for number, source in places.items()}
    # Residues of a segment follow one another in the sample and in the source.
    segments: list[list[int]] = []
    for i in sorted(found):
        if i - 1 in found and _follows(found[i - 1], found[i]):
            segments[-1].append(i)
        else:
            segments.append([i])
    starts = [found[segment[0]] for segment in segments]
    chains = [chain for chain, _, _ in starts]
    if len(set(chains)) == len(chains) and all(chain.isalpha() for chain in chains):
        letters = dict(zip(starts, chains, strict=True))
    else:
        letters = dict(zip(sorted(starts), CHAIN_LETTERS, strict=False))
    words, end = [], 0
    for segment, start in zip(segments, starts, strict=True):
        words += [str(segment[0] - end)] * (segment[0] > end) + [letters[start]]
        end = segment[-1] + 1
    return "/".join([*words, *([str(row["length"] - end)] if row["length"] > end else [])])


def write_motifbench(folder: Path, rows: Sequence[Mapping[str, Any]], problem: str, out: Path) -> Path:
    """Write samples of one problem as scaffolds.

    Parameters
    ----------
    folder : Path
        Of the samples.
    rows : sequence of mapping
        Their rows of the manifest; scaffolds are numbered in the order of ``index``.
    problem : str
        Such as ``01_1LDB``.
    out : Path
        Folder of all problems.

    Returns
    -------
    Path
        The problem's folder.

    Raises
    ------
    ValueError
        As `motif_placements`, before anything is written.
    """
    ordered = sorted(rows, key=lambda row: row["index"])
    table = [(number, motif_placements(row)) for number, row in enumerate(ordered)]
    target = out / problem
    target.mkdir(parents=True, exist_ok=True)
    before: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        before = read_json(target / _LIST)
    files = [f"{problem}_{number}.pdb" for number, _ in table]
    for name, row in zip(files, ordered, strict=True):
        source = folder / row["file"]
        if source.suffix == ".pdb":
            with atomic(target / name) as path:
                shutil.copyfile(source, path)
        else:
            read_structure(source).to_pdb(target / name)
    with atomic(target / "scaffold_info.csv") as path, path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("sample_num", "motif_placements"), *table])
    # So that an evaluation of the samples with their subfolders does not count them twice.
    write_list(target / _LIST, files)
    remove_others(target, before, files)
    return target


def _source(name: str) -> tuple[str, int, str]:
    """Chain, number and insertion code of a residue's name."""
    (segment,) = parse_contig(name)
    if not isinstance(segment, Segment) or segment.first is None or segment.file > 1:
        raise ValueError(f"{name}: a motif for MotifBench is of one file, its residues called as in A45")
    return segment.chain, *segment.first


def _follows(before: tuple[str, int, str], behind: tuple[str, int, str]) -> bool:
    return before[0] == behind[0] and (behind[1] - before[1] == 1 or (behind[1] == before[1] and behind[2] > before[2]))
