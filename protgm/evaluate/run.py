"""``protgm evaluate``: are these proteins sound, native-like, different from each other, new; which to order?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protgm.evaluate.memory import named_apart
from protgm.evaluate.result import Evaluation
from protgm.files import read_json
from protgm.made import check_apart, remove_others, write_list
from protgm.metrics.gate import Gate
from protgm.structure.backbone import Backbone

if TYPE_CHECKING:
    from protgm.data.natives import Natives
    from protgm.design import Designer
    from protgm.progress import Stage
    from protgm.refold import Refolder

__all__ = ["Evaluation", "evaluate"]


def evaluate(
    directory: str | PathLike[str] | Backbone | Sequence[Backbone],
    reference: str | PathLike[str] | None = None,
    *,
    out: str | PathLike[str] | None = None,
    gate: Gate | None = None,
    recursive: bool = False,
    split: str | None = None,
    natives: int = 300,
    candidates: int = 60,
    similarity: bool = True,
    num_seqs: int = 0,
    designer: Designer | None = None,
    refolder: Refolder | None = None,
    html: bool = True,
    figures: bool | None = None,
    workers: int | None = None,
    seed: int = 0,
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
    gate : Gate, optional
    recursive : bool
        Read subfolders of ``directory`` too.
    split : str, optional
        Only this split of the reference dataset.
    natives : int
        Natives of like length whose figures and distributions are compared; novelty is searched among all.
    candidates : int
        Natives that TM-align compares with each sample, after the prefilter.
    similarity : bool
        All-against-all TM-scores and clusters.
    num_seqs : int
        Sequences to design per structure (extra ``design``); 0: none.
    designer : Designer, optional
        Instead of ProteinMPNN.
    refolder : Refolder, optional
        Predicts structures of the designed sequences: see `protgm.refold`.
    html : bool
        Write report.html.
    figures : bool, optional
        Write PNG figures (extra ``report``); by default where matplotlib is installed.
    workers : int, optional
        Processes; one per core by default.
    seed : int
    progress : bool
        Show progress.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If a folder holds no readable structure, or a number is out of range.
    """
    from protgm.data.folder import read_folder
    from protgm.data.natives import read_natives
    from protgm.design import ProteinMPNN
    from protgm.design.write import check_targets
    from protgm.evaluate.baseline import align_natives, design_natives, match_natives
    from protgm.evaluate.judge import judge, picks, reference_figures, summarise
    from protgm.metrics.similarity import clusters_among
    from protgm.progress import Stages
    from protgm.text import printable
    from protgm.workers import cores

    for key, value, least in (
        ("natives", natives, 10),
        ("candidates", candidates, 1),
        ("num_seqs", num_seqs, 0),
        ("seed", seed, 0),
    ):
        if value < least:
            raise ValueError(f"{key}={value} must be at least {least}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers} must be at least 1")
    if refolder is not None and num_seqs < 1:
        raise ValueError("refolding needs designed sequences: num_seqs must be at least 1")
    used = workers or cores()
    gate = gate or Gate()
    start = time.monotonic()
    if figures is None:
        figures = find_spec("matplotlib") is not None
    elif figures:
        from protgm.evaluate.figures import require_matplotlib

        require_matplotlib()
    folder = Path(directory) if isinstance(directory, str | PathLike) else None
    failed: list[tuple[str, str]] = []
    out = None if out is None else Path(out)
    if isinstance(directory, str | PathLike):
        if out is not None:
            check_apart("out", out, Path(directory))
        backbones, failed = read_folder(directory, recursive=recursive)
    else:
        backbones = named_apart(directory)
    if num_seqs and out is not None and folder is not None:
        inputs = [folder / file for file in (*(str(b.metadata["file"]) for b in backbones), *(f for f, _ in failed))]
        for part in ("designs", "refolded"):
            check_targets(out / part, [b.name for b in backbones], inputs)
    library = None if reference is None else read_natives(reference, split=split)
    before = {} if out is None else _before(out)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    with Stages(enabled=progress) as stage:
        judged = judge(backbones, gate, stage=stage)
        matrix = None
        if similarity:
            matrix = _add_similarity(judged.rows, backbones, used, stage)
        matched, pairs = None, {}
        files: list[str] = []
        if library is not None:
            _add_novelty(judged.rows, backbones, library, candidates, used, stage)
            matched = match_natives(judged, library, natives, gate, seed=seed, stage=stage)
            if similarity:
                pairs = align_natives(matched, library, candidates=candidates, workers=used, seed=seed, stage=stage)
        if num_seqs:
            designer = designer or ProteinMPNN()
            written, unwritten = _add_design(
                judged.rows, backbones, out, num_seqs, designer, refolder, seed, used, stage
            )
            files += written
            failed += unwritten
            if matched is not None:
                design_natives(matched, designer, num_seqs, seed=seed, stage=stage)
        distances = {}
        if matched is not None:
            from protgm.metrics.distributions import compare

            stage("distributions", 1)
            distances = compare(judged.features, matched.judged.features, seed=seed)
        summary = summarise(judged.rows, matrix)
        if matrix is not None and "clusters" in pairs:
            summary["clusters_drawn"] = clusters_among(matrix, int(pairs["clusters"]["of"]), seed=seed)
        found = Evaluation(
            samples=judged.rows,
            summary=summary,
            picks=picks(judged.rows),
            natives=reference_figures(matched.judged.rows) | pairs if matched is not None else {},
            distances=distances,
            matrix=matrix,
            failed=failed,
            out=out,
        )
        peers = None if matched is None else matched.judged
        settings = {
            "directory": f"{len(backbones)} backbones" if folder is None else printable(folder, limit=4096),
            "reference": None if library is None else library.source,
            "natives": 0 if library is None else len(library),
            "natives_compared": 0 if peers is None else len(peers.rows),
            "candidates": candidates,
            "num_seqs": num_seqs,
            "seed": seed,
            "gate": vars(gate),
        }
        if out is None:
            return found
        from protgm.evaluate.tables import write_tables

        if figures:
            from protgm.evaluate.figures import write_figures

            files += [f"figures/{name}" for name in write_figures(found, judged, peers, out / "figures")]
        if html:
            from protgm.evaluate.report import write_report

            write_report(found, settings, backbones, judged, peers, folder=folder, path=out / "report.html")
            files.append("report.html")
        files = write_tables(found, out, settings, seconds=time.monotonic() - start, files=files)
        remove_others(out, before, files)
    return found


def _before(out: Path) -> dict[str, Any]:
    """What an earlier evaluation has noted in its folder."""
    try:
        return read_json(out / "metrics.json")
    except (OSError, ValueError):
        return {}


def _ca(backbones: Sequence[Backbone]) -> list[NDArray[np.float32]]:
    return [b.coords[:, 1] for b in backbones]


def _add_similarity(
    rows: list[dict[str, Any]], backbones: Sequence[Backbone], workers: int, stage: Stage
) -> NDArray[np.float32]:
    from protgm.metrics.similarity import clusters, tm_matrix

    count = len(backbones)
    matrix = tm_matrix(
        _ca(backbones), workers=workers, advance=stage("samples against samples", count * (count - 1) // 2)
    )
    for i, (row, label) in enumerate(zip(rows, clusters(matrix), strict=True)):
        row["cluster"] = int(label)
        other = np.delete(matrix[i], i)
        best = np.nanargmax(other) if np.isfinite(other).any() else None
        row["sample_tm"] = None if best is None else float(other[best])
        row["nearest_sample"] = None if best is None else rows[int(best) + (best >= i)]["name"]
    return matrix


def _add_novelty(
    rows: list[dict[str, Any]],
    backbones: Sequence[Backbone],
    library: Natives,
    candidates: int,
    workers: int,
    stage: Stage,
) -> None:
    from protgm.metrics.novelty import nearest_natives

    found = nearest_natives(_ca(backbones), _ca(library), candidates=candidates, workers=workers, stage=stage)
    for row, nearest in zip(rows, found, strict=True):
        row["native_tm"] = None if nearest is None else nearest.tm
        row["native_rmsd"] = None if nearest is None else nearest.rmsd
        row["nearest_native"] = None if nearest is None else library[nearest.row].name


def _add_design(
    rows: list[dict[str, Any]],
    backbones: Sequence[Backbone],
    out: Path | None,
    num_seqs: int,
    designer: Designer,
    refolder: Refolder | None,
    seed: int,
    workers: int,
    stage: Stage,
) -> tuple[list[str], list[tuple[str, str]]]:
    """Designed sequences and their predictions, into the rows: the files, and what could not be written and why."""
    from protgm.design import design_backbones, write_designs
    from protgm.design.run import DESIGNS

    designs = design_backbones(backbones, num_seqs=num_seqs, seed=seed, designer=designer, workers=workers, stage=stage)
    files: list[str] = []
    failed: list[tuple[str, str]] = []
    if out is not None:
        written, failed = write_designs(out / "designs", backbones, designs)
        write_list(out / "designs" / DESIGNS, written, settings=getattr(designer, "settings", {}) | {"seed": seed})
        files += [f"designs/{name}" for name in (*written, DESIGNS)]
    for row, found in zip(rows, designs, strict=True):
        if found:
            row["mpnn_nll"], row["sequence"] = found[0].nll, found[0].sequence
    if refolder is not None:
        from protgm.refold import self_consistency

        folder = None if out is None else out / "refolded"
        checks = self_consistency(backbones, designs, refolder, folder=folder, stage=stage)
        for row, check in zip(rows, checks, strict=True):
            if check is not None:
                row |= {
                    "sc_rmsd": check.rmsd,
                    "sc_tm": check.tm,
                    "plddt": check.plddt,
                    "designable": check.designable,
                    "sequence": check.sequence,
                }
        folded = [f"refolded/{b.name}.pdb" for b, check in zip(backbones, checks, strict=True) if check is not None]
        files += [*folded, "refolded/refolded.json"] if folded else []
    return files, failed
