"""The steps of an evaluation: each adds to a `Sheet` what it finds, and can be used alone.

sheet = Sheet(named_apart(backbones))
for step in (Judge(), Similarity()):
    step(sheet)
print(sheet.evaluation())

`pipeline` has those that `protgm.evaluate` takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protgm.evaluate.baseline import align_natives, design_natives, match_natives
from protgm.evaluate.config import EvaluateConfig
from protgm.evaluate.judge import judge
from protgm.evaluate.sheet import Sheet
from protgm.made import write_list
from protgm.metrics import Gate, Metric, register
from protgm.metrics.distributions import compare
from protgm.metrics.novelty import CANDIDATES, nearest_natives
from protgm.metrics.similarity import clusters, tm_matrix

if TYPE_CHECKING:
    from protgm.data.natives import Natives
    from protgm.design import Designer
    from protgm.refold import Refolder

__all__ = ["Beside", "Distances", "Judge", "Novelty", "Sequences", "Similarity", "Step", "pipeline"]

#: A step of an evaluation.
Step = Callable[[Sheet], None]

register(
    Metric(
        "mpnn_nll",
        "negative log-likelihood per residue of the best designed sequence",
        unit="nats",
        good="low",
        column=14,
        title="Designed sequences",
        tile="ProteinMPNN NLL per residue",
    )
)
register(Metric("native_nll", "negative log-likelihood per residue of a native's own sequence", unit="nats"))
register(Metric("sequence", "the best designed sequence"))
register(Metric("designable", "whether the best sequence refolds to less than 2 A from the sample", column=15))
register(
    Metric(
        "sc_rmsd",
        "CA RMSD of the best refolded sequence to the sample",
        unit="A",
        good="low",
        column=16,
        tile="refolding RMSD (A)",
    )
)
register(
    Metric(
        "sc_tm",
        "TM-score of the best refolded sequence to the sample",
        good="high",
        column=17,
        tile="refolding TM",
    )
)
register(
    Metric(
        "plddt",
        "mean confidence of the structure prediction, 0 to 100",
        good="high",
        column=18,
        tile="pLDDT of predictions",
    )
)


@dataclass(frozen=True)
class Judge:
    """All metrics of each structure, and the gate's verdict: the first of all steps."""

    gate: Gate | None = None

    def __call__(self, sheet: Sheet) -> None:
        """Judge the sheet's structures."""
        sheet.judged = judge(sheet.backbones, self.gate or Gate(), sheet.known, stage=sheet.stage)


@dataclass(frozen=True)
class Similarity:
    """TM-scores of all against all, clusters, and each structure's nearest other one."""

    def __call__(self, sheet: Sheet) -> None:
        """Align all with all."""
        rows, count = sheet.rows, len(sheet.rows)
        advance = sheet.stage("samples against samples", count * (count - 1) // 2)
        sheet.matrix = matrix = tm_matrix(sheet.ca, workers=sheet.workers, advance=advance)
        for i, (row, label) in enumerate(zip(rows, clusters(matrix), strict=True)):
            row["cluster"] = int(label)
            other = np.delete(matrix[i], i)
            best = np.nanargmax(other) if np.isfinite(other).any() else None
            row["sample_tm"] = None if best is None else float(other[best])
            row["nearest_sample"] = None if best is None else rows[int(best) + (best >= i)]["name"]


@dataclass(frozen=True, eq=False)
class Novelty:
    """The nearest native of each structure.

    Parameters
    ----------
    library : Natives
        See `protgm.data.natives.read_natives`.
    candidates : int
        Natives that are aligned with each structure, after the prefilter.
    """

    library: Natives
    candidates: int = CANDIDATES

    def __call__(self, sheet: Sheet) -> None:
        """Look for the nearest native of each."""
        natives = [backbone.coords[:, 1] for backbone in self.library]
        found = nearest_natives(sheet.ca, natives, candidates=self.candidates, workers=sheet.workers, stage=sheet.stage)
        for row, nearest in zip(sheet.rows, found, strict=True):
            row["native_tm"] = None if nearest is None else nearest.tm
            row["native_rmsd"] = None if nearest is None else nearest.rmsd
            row["nearest_native"] = None if nearest is None else self.library[nearest.row].name


@dataclass(frozen=True, eq=False)
class Beside:
    """Natives of like length judged the same way, to stand beside every number.

    Parameters
    ----------
    library : Natives
    count : int
        How many.
    gate : Gate, optional
    candidates : int
        As for `Novelty`.
    similarity : bool
        Align some of them with each other and with the library, too.
    """

    library: Natives
    count: int = 300
    gate: Gate | None = None
    candidates: int = CANDIDATES
    similarity: bool = True

    def __call__(self, sheet: Sheet) -> None:
        """Choose the natives and judge them."""
        sheet.library = self.library
        sheet.matched = match_natives(
            sheet.verdict, self.library, self.count, self.gate or Gate(), seed=sheet.seed, stage=sheet.stage
        )
        if self.similarity:
            sheet.native_figures = align_natives(
                sheet.matched,
                self.library,
                candidates=self.candidates,
                workers=sheet.workers,
                seed=sheet.seed,
                stage=sheet.stage,
            )


@dataclass(frozen=True, eq=False)
class Sequences:
    """Designed sequences, of the natives beside too; and whether they are predicted to fold back.

    Parameters
    ----------
    num_seqs : int
        Sequences for each structure.
    designer : Designer, optional
        ProteinMPNN by default.
    refolder : Refolder, optional
        Predicts their structures: see `protgm.refold`.
    """

    num_seqs: int = 8
    designer: Designer | None = None
    refolder: Refolder | None = None

    def __call__(self, sheet: Sheet) -> None:
        """Design, write where the sheet has a folder, and refold."""
        from protgm.design import ProteinMPNN, design_backbones, write_designs
        from protgm.design.base import settings_of
        from protgm.design.run import DESIGNS

        designer, rows = self.designer or ProteinMPNN(), sheet.rows
        designs = design_backbones(
            sheet.backbones,
            num_seqs=self.num_seqs,
            seed=sheet.seed,
            designer=designer,
            kept=sheet.kept,
            workers=sheet.workers,
            stage=sheet.stage,
        )
        if sheet.out is not None:
            written, failed = write_designs(sheet.out / "designs", sheet.backbones, designs)
            write_list(sheet.out / "designs" / DESIGNS, written, settings=settings_of(designer) | {"seed": sheet.seed})
            sheet.files += [f"designs/{name}" for name in (*written, DESIGNS)]
            sheet.failed += failed
        for row, found in zip(rows, designs, strict=True):
            if found:
                row["mpnn_nll"], row["sequence"] = found[0].nll, found[0].sequence
        if self.refolder is not None:
            from protgm.refold import self_consistency

            folder = None if sheet.out is None else sheet.out / "refolded"
            checks = self_consistency(sheet.backbones, designs, self.refolder, folder=folder, stage=sheet.stage)
            for row, check in zip(rows, checks, strict=True):
                if check is not None:
                    row |= {
                        "sc_rmsd": check.rmsd,
                        "sc_tm": check.tm,
                        "plddt": check.plddt,
                        "designable": check.designable,
                        "sequence": check.sequence,
                    }
            named = zip(sheet.backbones, checks, strict=True)
            folded = [f"refolded/{b.name}.pdb" for b, check in named if check is not None]
            sheet.files += [*folded, "refolded/refolded.json"] if folded else []
        if sheet.matched is not None:
            design_natives(sheet.matched, designer, self.num_seqs, seed=sheet.seed, stage=sheet.stage)


@dataclass(frozen=True)
class Distances:
    """How far the set is from the natives beside; nothing without those."""

    def __call__(self, sheet: Sheet) -> None:
        """Compare with the natives beside."""
        if sheet.matched is not None:
            sheet.stage("distributions", 1)
            theirs = sheet.matched.judged.features
            sheet.distances = compare(sheet.verdict.features, theirs, seed=sheet.seed)


def pipeline(
    config: EvaluateConfig,
    library: Natives | None = None,
    designer: Designer | None = None,
    refolder: Refolder | None = None,
) -> list[Step]:
    """The steps of an evaluation, in their order.

    Parameters
    ----------
    config : EvaluateConfig
    library : Natives, optional
        To compare with.
    designer, refolder
        As for `Sequences`, which there is where ``config.num_seqs`` is not 0.
    """
    steps: list[Step] = [Judge(config.gate)]
    if config.similarity:
        steps.append(Similarity())
    if library is not None:
        steps.append(Novelty(library, config.candidates))
        steps.append(Beside(library, config.natives, config.gate, config.candidates, config.similarity))
    if config.num_seqs:
        steps.append(Sequences(config.num_seqs, designer, refolder))
    return [*steps, Distances()]
