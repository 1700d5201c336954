"""``protgm evaluate``: are these proteins sound, like natives, different from each other, new; which to order?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protgm.checks import whole
from protgm.evaluate.config import EvaluateConfig
from protgm.evaluate.figures import FIGURES, require_matplotlib, write_figures
from protgm.evaluate.known import known_in
from protgm.evaluate.result import Evaluation
from protgm.evaluate.sheet import Sheet, named_apart
from protgm.evaluate.steps import pipeline
from protgm.evaluate.tables import NOTED, TABLES, write_tables
from protgm.files import check_folder
from protgm.made import check_apart, making
from protgm.metrics.given import Conditioned
from protgm.progress import Stages
from protgm.structure.backbone import Backbone
from protgm.text import printable
from protgm.workers import cores

if TYPE_CHECKING:
    from protgm.data.natives import Natives
    from protgm.design import Designer
    from protgm.refold import Refolder

__all__ = ["Evaluation", "evaluate"]

_DEFAULT = EvaluateConfig()


def evaluate(
    directory: str | PathLike[str] | Backbone | Sequence[Backbone],
    reference: str | PathLike[str] | None = None,
    *,
    out: str | PathLike[str] | None = None,
    config: EvaluateConfig = _DEFAULT,
    designer: Designer | None = None,
    refolder: Refolder | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Evaluation:
    """Judge every structure in a folder, or backbones, and write a report where a folder is named for it.

    Parameters
    ----------
    directory : path, Backbone or sequence of Backbone
        Folder of PDB or mmCIF files, or backbones in memory.
    reference : path, optional
        Natives: a dataset of ``protgm prepare`` or a folder of structure files.
    out : path, optional
        Folder for report.html, metrics.csv, metrics.json, tm.npz and figures/; without one nothing is written.
    config : EvaluateConfig
    designer : Designer, optional
        Instead of ProteinMPNN.
    refolder : Refolder, optional
        Predicts structures of the designed sequences: see `protgm.refold`.
    workers : int, optional
        Processes; one per core by default.
    progress : bool
        Show progress.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If a folder holds no readable structure, a number is out of range, or a split is given without a reference.
    """
    workers = whole("workers", cores() if workers is None else workers, 1)
    if config.split is not None and reference is None:
        raise ValueError(f"split={config.split} says nothing without reference=")
    if refolder is not None and config.num_seqs < 1:
        raise ValueError("refolding needs designed sequences: num_seqs must be at least 1")
    start = time.monotonic()
    drawn = _drawn(config.figures)
    folder = Path(directory) if isinstance(directory, str | PathLike) else None
    sheet = _sheet(directory, None if out is None else Path(out), config.recursive)
    sheet.workers, sheet.seed = workers, config.seed
    if config.num_seqs:
        _check_targets(sheet, folder)
    library = _library(reference, config.split)
    settings: dict[str, Any] = {
        "directory": f"{len(sheet.backbones)} backbones" if folder is None else printable(folder, limit=4096),
        "reference": None if library is None else library.source,
        "natives": 0 if library is None else len(library),
        "candidates": config.candidates,
        "num_seqs": config.num_seqs,
        "seed": config.seed,
        "gate": config.gate.limits,
    }
    with nullcontext(set[str]()) if sheet.out is None else _making(sheet, sheet.out) as made:
        with Stages(enabled=progress) as sheet.stage:
            for step in pipeline(config, library, designer, refolder):
                step(sheet)
        found = sheet.evaluation()
        if sheet.out is not None:
            _write(found, sheet, settings, folder, start=start, html=config.html, figures=drawn)
        made.update(sheet.files)
    return found


def _drawn(figures: bool | None) -> bool:
    """Whether figures are drawn; an error where they are asked for and cannot be."""
    if figures is None:
        return find_spec("matplotlib") is not None
    if figures:
        require_matplotlib()
    return figures


def _sheet(directory: str | PathLike[str] | Backbone | Sequence[Backbone], out: Path | None, recursive: bool) -> Sheet:
    """The structures to judge, and where to write to."""
    if not isinstance(directory, str | PathLike):
        if out is not None:
            check_folder("out", out)
        backbones = named_apart(directory)
        known = {b.name: b for b in backbones if isinstance(b, Conditioned)}
        given = [known[b.name].given if b.name in known else None for b in backbones]
        return Sheet(backbones, given, {name: b.keep for name, b in known.items() if b.keep}, out=out)
    from protgm.data.folder import read_folder

    if out is not None:
        check_apart("out", out, Path(directory))
    backbones, failed = read_folder(directory, recursive=recursive)
    given, kept = known_in(Path(directory), backbones)
    return Sheet(backbones, given, kept, failed=failed, out=out)


def _library(reference: str | PathLike[str] | None, split: str | None) -> Natives | None:
    if reference is None:
        return None
    from protgm.data.natives import read_natives

    return read_natives(reference, split=split)


def _check_targets(sheet: Sheet, folder: Path | None) -> None:
    """Refuse to write designs over what is read."""
    if sheet.out is None or folder is None:
        return
    from protgm.design.write import check_targets

    names = [str(b.metadata["file"]) for b in sheet.backbones] + [file for file, _ in sheet.failed]
    for part in ("designs", "refolded"):
        check_targets(sheet.out / part, [b.name for b in sheet.backbones], [folder / name for name in names])


def _making(sheet: Sheet, out: Path) -> AbstractContextManager[set[str]]:
    """Hold the folder of a report while its files are made."""
    names = [b.name for b in sheet.backbones]
    designs = [f"designs/{name}{ending}" for name in names for ending in (".fasta", ".pdb", ".cif")]
    planned = [*designs, *(f"refolded/{name}.pdb" for name in names), *(f"figures/{name}.png" for name in FIGURES)]
    lists = ["designs/designs.json", "refolded/refolded.json"]
    return making(out, "protgm evaluate", NOTED, [*planned, *lists, *TABLES, "report.html"])


def _write(
    found: Evaluation,
    sheet: Sheet,
    settings: dict[str, Any],
    folder: Path | None,
    *,
    start: float,
    html: bool,
    figures: bool,
) -> None:
    """Figures, the report and the tables, into the sheet's folder."""
    assert sheet.out is not None
    peers = None if sheet.matched is None else sheet.matched.judged
    settings = {**settings, "natives_compared": 0 if peers is None else len(peers.rows)}
    if figures:
        sheet.files += [f"figures/{name}" for name in write_figures(found, sheet.verdict, peers, sheet.out / "figures")]
    if html:
        from protgm.evaluate.report import write_report

        write_report(found, settings, sheet, folder=folder, path=sheet.out / "report.html")
        sheet.files.append("report.html")
    sheet.files = write_tables(found, sheet.out, settings, seconds=time.monotonic() - start, files=sheet.files)
