"""``protgm design``: sequences for every backbone of a folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protgm.checks import check_path, whole
from protgm.design.backbones import design_backbones
from protgm.design.base import Design, Designer, settings_of
from protgm.design.kept import kept_in
from protgm.design.mpnn import ProteinMPNN
from protgm.design.write import by_chain, check_targets, write_designs
from protgm.files import atomic, read_json, sha256
from protgm.made import check_apart, making, write_list
from protgm.progress import Stage, Stages
from protgm.structure.assemble import left_out
from protgm.workers import cores

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["DESIGNS", "DesignReport", "design", "made_of"]

#: In a folder of designs: settings, figures, and what each was made of.
DESIGNS = "designs.json"
TABLE = "designs.csv"


@dataclass(frozen=True, eq=False)
class DesignReport:
    """What `design` did.

    Parameters
    ----------
    designs : dict
        Sequences of each backbone by its name, best first; none where it could not be designed.
    failed : list of (str, str)
        Files that could not be read, designed or written, and why.
    left_out : list of (str, str)
        Backbones whose files hold more than was read, and what was left out.
    mean_nll : float
        Mean over backbones of the best sequence's negative log-likelihood per residue, nats.
    native_own, native_designed : float or None
        The same for natives of the reference: of their own sequences, and of sequences designed for them.
    out : Path
    """

    designs: dict[str, list[Design]]
    failed: list[tuple[str, str]]
    mean_nll: float
    native_own: float | None
    native_designed: float | None
    out: Path
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        done = sum(bool(found) for found in self.designs.values())
        lines = [f"{done} backbones designed, best sequences at {self.mean_nll:.2f} nats per residue"]
        if self.native_own is not None:
            lines.append(
                f"natives: {self.native_designed:.2f} designed alike, {self.native_own:.2f} their own sequences"
            )
        if self.failed:
            lines.append(f"{len(self.failed)} failed; the first: {self.failed[0][1]}")
        if self.left_out:
            name, what = self.left_out[0]
            lines.append(f"{len(self.left_out)} with parts left out; the first: {name} ({what})")
        return "\n".join([*lines, f"FASTA and structures in {self.out}"])


def design(
    directory: str | PathLike[str],
    *,
    out: str | PathLike[str] | None = None,
    num_seqs: int = 8,
    model: str = "v_48_020",
    temperature: float = 0.1,
    omit: str = "",
    reference: str | PathLike[str] | None = None,
    natives: int = 20,
    recursive: bool = False,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
    designer: Designer | None = None,
) -> DesignReport:
    """Design sequences for every structure in a folder.

    Parameters
    ----------
    directory : path
        Folder of PDB or mmCIF files.
    out : path, optional
        Folder for NAME.fasta, NAME.pdb, designs.csv and designs.json; ``directory/designs`` by default.
    num_seqs : int
        Sequences per backbone.
    model, temperature, omit
        See `ProteinMPNN`.
    reference : path, optional
        Natives (dataset or folder) to compare the likelihoods with.
    natives : int
        How many of them, of like length.
    recursive : bool
        Read subfolders too.
    seed : int
    workers : int, optional
        Processes; one per core by default.
    progress : bool
    designer : Designer, optional
        Instead of ProteinMPNN, such as `protgm.sample.own.OwnDesigner`; model, temperature and omit say nothing then.

    Returns
    -------
    DesignReport

    Raises
    ------
    ValueError
        If the folder holds no readable structure, a setting is out of range or ProteinMPNN is not installed.
    """
    from protgm.data.folder import existing_folder, read_folder

    for name, value, least in (("num_seqs", num_seqs, 1), ("natives", natives, 1), ("seed", seed, 0)):
        whole(name, value, least)
    check_path("directory", directory)
    existing_folder(directory)
    folder = Path(directory) / "designs" if out is None else Path(out)
    check_apart("out", folder, Path(directory))
    backbones, failed = read_folder(directory, recursive=recursive)
    inputs = [
        Path(directory, file) for file in (*(str(b.metadata["file"]) for b in backbones), *(f for f, _ in failed))
    ]
    names = [b.name for b in backbones]
    check_targets(folder, names, inputs)
    if designer is None:
        if model == "protgm":
            raise ValueError("model=protgm: give the network as designer=protgm.sample.own.OwnDesigner()")
        designer = ProteinMPNN(model, temperature=temperature, omit=omit)
    planned = [TABLE, *(f"{name}{ending}" for name in names for ending in (".fasta", ".pdb", ".cif"))]
    _check_source(folder, Path(directory))
    with making(folder, "protgm design", DESIGNS, planned) as files:
        with Stages(enabled=progress) as stage:
            found = design_backbones(
                backbones,
                num_seqs=num_seqs,
                seed=seed,
                designer=designer,
                kept=kept_in(Path(directory)),
                workers=workers or cores(),
                stage=stage,
            )
            own = alike = None
            if reference is not None:
                own, alike = _natives(designer, backbones, reference, natives, num_seqs, seed, stage)
        failed += [
            (b.name, f"{b.name}: its atoms do not allow a design")
            for b, d in zip(backbones, found, strict=True)
            if not d
        ]
        written, unwritten = write_designs(folder, backbones, found)
        failed += unwritten
        best = [made[0].nll for made in found if made]
        report = DesignReport(
            designs={b.name: made for b, made in zip(backbones, found, strict=True)},
            failed=failed,
            mean_nll=float(np.mean(best)) if best else float("nan"),
            native_own=own,
            native_designed=alike,
            out=folder,
            left_out=[(b.name, what) for b in backbones if (what := left_out(b.metadata))],
        )
        settings = {**settings_of(designer), "seed": seed}
        made = {
            b.name: made_of(Path(directory, str(b.metadata["file"])), settings, len(one))
            for b, one in zip(backbones, found, strict=True)
            if one
        }
        _write_tables(report, backbones, settings, written, made, os.path.relpath(directory, folder))
        files.update([*written, TABLE])
    return report


def made_of(path: Path, settings: dict[str, object], count: int) -> dict[str, object]:
    """What sequences depend on: the contents of a structure file, settings and seed, and how many there are."""
    return {"sha256": sha256(path), "settings": settings, "num_seqs": count}


def _check_source(folder: Path, directory: Path) -> None:
    """Refuse a folder of designs of another folder's structures."""
    try:
        source = read_json(folder / DESIGNS).get("directory")
    except (OSError, ValueError):
        return
    if isinstance(source, str) and not _same(folder / source, directory):
        raise ValueError(
            f"{folder}: has designs of {os.path.normpath(folder / source)}, now {directory}; use another out= folder"
        )


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _natives(
    designer: Designer,
    backbones: Sequence[Backbone],
    reference: str | PathLike[str],
    count: int,
    num_seqs: int,
    seed: int,
    stage: Stage,
) -> tuple[float, float]:
    """Mean negative log-likelihood of natives' own sequences, and of the best designed for them."""
    from protgm.data.natives import read_natives
    from protgm.metrics.distributions import match_lengths

    library = read_natives(reference, limit=50 * count)
    lengths = np.array([len(b) for b in backbones])
    chosen = [library[int(k)] for k in match_lengths(lengths, library.lengths, count, np.random.default_rng(seed))]
    advance = stage("natives' sequences", len(chosen))
    own, alike = [], []
    for native in chosen:
        own.append(designer.score(native, native.sequence))
        alike.append(min(one.nll for one in designer.design(native, num_seqs, seed=seed)))
        advance(1)
    return float(np.mean(own)), float(np.mean(alike))


def _write_tables(
    report: DesignReport,
    backbones: Sequence[Backbone],
    settings: dict[str, object],
    files: list[str],
    made: Mapping[str, object],
    source: str,
) -> None:
    with atomic(report.out / TABLE) as path, path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["name", "rank", "nll", "sequence"])
        for backbone in backbones:
            for rank, one in enumerate(report.designs[backbone.name], start=1):
                table.writerow([backbone.name, rank, f"{one.nll:.4f}", by_chain(backbone, one.sequence)])
    mean = None if np.isnan(report.mean_nll) else round(report.mean_nll, 4)
    summary: dict[str, Any] = {
        "directory": source,
        "settings": settings,
        "mean_nll": mean,
        "native_own_nll": report.native_own,
        "native_designed_nll": report.native_designed,
        "failed": [{"file": file, "reason": reason} for file, reason in report.failed],
        "left_out": [{"name": name, "what": what} for name, what in report.left_out],
        "made": made,
    }
    write_list(report.out / DESIGNS, files, **summary)
