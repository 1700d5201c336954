"""Self-consistency: how near the predicted structure of a designed sequence comes to the backbone it was made for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protgm.checks import several
from protgm.made import write_list
from protgm.metrics.similarity import tm_score
from protgm.progress import Stage, quiet
from protgm.refold.base import Folded, Refolder
from protgm.structure.backbone import Backbone
from protgm.structure.superpose import superposed_rmsd, superposition

if TYPE_CHECKING:
    from protgm.design.base import Design

__all__ = ["DESIGNABLE_RMSD", "Consistency", "self_consistency"]

#: CA RMSD (Angstrom) of the best sequence below which a backbone counts as designable, as in the field's benchmarks.
DESIGNABLE_RMSD = 2.0


@dataclass(frozen=True)
class Consistency:
    """The best refolded sequence of a backbone.

    Parameters
    ----------
    sequence : str
    rmsd : float
        CA RMSD to the backbone after superposition, Angstrom.
    tm : float
        TM-score to the backbone.
    plddt : float or None
        Mean confidence of the prediction, 0 to 100.
    folded : int
        Sequences that were predicted.
    """

    sequence: str
    rmsd: float
    tm: float
    plddt: float | None
    folded: int

    @property
    def designable(self) -> bool:
        """Whether the RMSD lies below `DESIGNABLE_RMSD`."""
        return self.rmsd < DESIGNABLE_RMSD


def self_consistency(
    backbones: Sequence[Backbone],
    designs: Sequence[Sequence[Design]],
    refolder: Refolder,
    *,
    folder: Path | None = None,
    stage: Stage = quiet,
) -> list[Consistency | None]:
    """Fold every designed sequence and compare with its backbone.

    Parameters
    ----------
    backbones : sequence of Backbone
        Several chains are folded as one sequence.
    designs : sequence of sequence of Design
        Sequences of each backbone.
    refolder : Refolder
    folder : Path, optional
        Where to write the best prediction of each, NAME.pdb, and refolded.json, which lists them.
    stage : Stage
        Shows progress.

    Returns
    -------
    list of Consistency or None
        None where there was no sequence or no prediction.
    """
    backbones = several("backbones", backbones, Backbone)
    advance = stage("refolding", len(backbones))
    found: list[Consistency | None] = []
    written: list[str] = []
    for backbone, made in zip(backbones, designs, strict=True):
        sequences = {f"{k}": one.sequence for k, one in enumerate(made)}
        predictions = refolder.fold(sequences) if sequences else {}
        scored = [(superposed_rmsd(p.coords[:, 1], backbone.coords[:, 1]), key) for key, p in predictions.items()]
        scored = [pair for pair in scored if np.isfinite(pair[0])]
        advance(1)
        if not scored:
            found.append(None)
            continue
        rmsd, key = min(scored)
        best = predictions[key]
        tm = tm_score(backbone.coords[:, 1], best.coords[:, 1])[0]
        found.append(Consistency(sequences[key], rmsd, tm, best.plddt, len(scored)))
        if folder is not None:
            _write(folder, backbone, sequences[key], best)
            written.append(f"{backbone.name}.pdb")
    if folder is not None and written:
        write_list(folder / "refolded.json", written)
    return found


def _write(folder: Path, backbone: Backbone, sequence: str, prediction: Folded) -> None:
    from protgm.structure import Backbone

    laid = _superposed(prediction.coords, backbone.coords)
    path = folder / (backbone.name + ".pdb")
    path.parent.mkdir(parents=True, exist_ok=True)
    Backbone.from_coords(laid, sequence=sequence, name=backbone.name).to_pdb(path)


def _superposed(mobile: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
    """``mobile`` (L, 4, 3) laid over ``target`` by its CA."""
    rotation, shift = superposition(mobile[:, 1], target[:, 1])
    return (mobile @ rotation.T + shift).astype(np.float32)
