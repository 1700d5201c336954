"""``protgm score``: likelihoods of every structure of a folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path

import numpy as np

from protgm.checks import check_path, whole
from protgm.data.folder import read_folder
from protgm.files import atomic, check_folder, unwritable
from protgm.progress import Stages
from protgm.sample.generate import load
from protgm.sample.own import OwnDesigner
from protgm.sample.settings import Execution, SamplerSettings
from protgm.score.likelihood import Likelihood, backbone_likelihood
from protgm.structure.backbone import Backbone
from protgm.text import printable
from protgm.workers import chunked_map, cores

__all__ = ["ScoreReport", "Scored", "score"]

_COLUMNS = ("name", "residues", "structure", "structure_error", "sequence")


@dataclass(frozen=True)
class Scored:
    """One structure.

    Parameters
    ----------
    name : str
    structure : Likelihood
    sequence : float
        A bound on the log-likelihood of its residue types given the backbone, nats per residue; NaN where they say
        nothing or are not asked for.
    """

    name: str
    structure: Likelihood
    sequence: float


@dataclass(frozen=True)
class ScoreReport:
    """What `score` did.

    Parameters
    ----------
    scored : list of Scored
    failed : list of (str, str)
        Files that could not be read or scored, and why.
    out : Path
        The table.
    """

    scored: list[Scored]
    failed: list[tuple[str, str]]
    out: Path

    def __str__(self) -> str:
        lines = []
        if self.scored:
            nats = [one.structure.nats for one in self.scored]
            said = f"{len(self.scored)} structures at {np.mean(nats):.2f} nats per residue ({min(nats):.2f} to "
            said += f"{max(nats):.2f})"
            known = [one.sequence for one in self.scored if not np.isnan(one.sequence)]
            lines.append(said + (f"; sequences at {np.mean(known):.2f}" if known else ""))
        if self.failed:
            lines.append(f"{len(self.failed)} failed; the first: {printable(self.failed[0][1], 1000)}")
        return "\n".join([*lines, f"table in {self.out}"])


def score(
    directory: str | PathLike[str],
    *,
    out: str | PathLike[str] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    until: float = 0.97,
    steps: int = 40,
    draws: int = 2,
    sequence: bool = True,
    recursive: bool = False,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> ScoreReport:
    """Score every structure in a folder; see `backbone_likelihood`.

    Parameters
    ----------
    directory : path
        Folder of structure files.
    out : path, optional
        The CSV table; ``directory/scores.csv`` by default.
    checkpoint : path, optional
        Weights, or the folder of a run; by default those that come with the package.
    until, steps, draws, seed
        As `backbone_likelihood` takes them.
    sequence : bool
        Score residue types given the backbone too.
    recursive : bool
        Read subfolders too.
    workers : int, optional
        Processes; one per core by default.
    progress : bool

    Returns
    -------
    ScoreReport

    Raises
    ------
    ValueError
        If the folder holds no readable structure, a setting is out of range, or the weights have no flow.
    """
    check_path("directory", directory)
    if not 0 < until < 1:
        raise ValueError(f"until={until} must lie between 0 and 1")
    for name, value, least in (("steps", steps, 1), ("draws", draws, 1), ("seed", seed, 0)):
        whole(name, value, least)
    SamplerSettings(generator="flow").check(load(checkpoint, device="cpu").denoiser.config)
    table = Path(directory, "scores.csv") if out is None else Path(out)
    if table.is_dir():
        raise ValueError(f"out={table}: is a folder; it must be the name of a CSV file")
    check_folder("out", table.parent)
    if out is not None and not table.parent.is_dir():
        raise ValueError(f"out={table}: there is no folder {table.parent}")
    backbones, failed = read_folder(directory, recursive=recursive)
    job = partial(_score_chunk, checkpoint, sequence, {"until": until, "steps": steps, "draws": draws, "seed": seed})
    found: list[Scored | str] = []
    with Stages(enabled=progress) as stage:
        advance = stage("likelihoods", len(backbones))
        used = min(workers or cores(), len(backbones))
        for done, part in chunked_map(job, backbones, _died, workers=used, chunk=1):
            found.extend(part)
            advance(done)
    failed += [(b.name, one) for b, one in zip(backbones, found, strict=True) if isinstance(one, str)]
    report = ScoreReport([one for one in found if isinstance(one, Scored)], failed, table)
    _write(report)
    return report


def _score_chunk(
    checkpoint: str | PathLike[str] | None,
    sequence: bool,
    numbers: dict[str, float],
    backbones: Sequence[Backbone],
) -> list[Scored | str]:
    """Scores, or why there is none."""
    own = _network(None if checkpoint is None else str(checkpoint))
    found: list[Scored | str] = []
    for backbone in backbones:
        network = partial(own.model.denoiser, exact=True, neighbours=Execution().attended(len(backbone)))
        try:
            structure = backbone_likelihood(network, own.model.process, backbone, **numbers)  # type: ignore[arg-type]
            types = set(backbone.sequence) - {"X"}
            said = -own.score(backbone, backbone.sequence) if sequence and len(types) > 1 else float("nan")
        except ValueError as error:
            found.append(str(error))
        else:
            found.append(Scored(backbone.name, structure, said))
    return found


@lru_cache(maxsize=1)
def _network(checkpoint: str | None) -> OwnDesigner:
    """Weights that are not trained; a worker reads them once."""
    own = OwnDesigner(checkpoint)
    own.model.denoiser.requires_grad_(False)
    return own


def _died(backbone: Backbone) -> list[Scored | str]:
    return [f"{backbone.name}: the process that scored it has died (too little memory?)"]


def _write(report: ScoreReport) -> None:
    try:
        with atomic(report.out) as path, path.open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            rows.writerow(_COLUMNS)
            for one in report.scored:
                values = (one.structure.nats, one.structure.error, one.sequence)
                cells = ["" if np.isnan(value) else f"{value:.4f}" for value in values]
                rows.writerow([one.name, one.structure.residues, *cells])
    except OSError as error:
        raise unwritable(report.out, error) from error
