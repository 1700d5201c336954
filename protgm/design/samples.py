"""Sequences for what ``protgm sample`` has just made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protgm.design.run import design_backbones
from protgm.design.write import write_designs
from protgm.evaluate.bfactors import ca_bfactors
from protgm.evaluate.progress import Stages
from protgm.structure import read_structure

if TYPE_CHECKING:
    from protgm.design.base import Designer
    from protgm.structure import Backbone

__all__ = ["design_samples"]

#: Subfolder of the samples that the designs are written to.
FOLDER = "designs"


def design_samples(
    folder: Path, files: Sequence[str], *, num_seqs: int, seed: int, designer: Designer, progress: bool = True
) -> Path:
    """Design sequences for structure files that have none yet.

    Parameters
    ----------
    folder : Path
        Folder of the samples.
    files : sequence of str
        Names in it.
    num_seqs : int
        Sequences per backbone.
    seed : int
    designer : Designer
    progress : bool
        Show progress.

    Returns
    -------
    Path
        ``folder/designs``, with NAME.fasta and NAME.pdb (the backbone with its best sequence) of each.
    """
    out = folder / FOLDER
    todo = [folder / file for file in files if _designed(out / f"{Path(file).stem}.fasta") < num_seqs]
    if todo:
        backbones = [_read(path) for path in todo]
        with Stages(enabled=progress) as stage:
            found = design_backbones(backbones, num_seqs=num_seqs, seed=seed, designer=designer, stage=stage)
        out.mkdir(parents=True, exist_ok=True)
        write_designs(out, backbones, found)
    return out


def _read(path: Path) -> Backbone:
    """A sample with its confidences, which are its B factors."""
    backbone = read_structure(path)
    values = ca_bfactors(path, backbone)
    return backbone if values is None else replace(backbone, confidence=np.float32(0.01) * values)


def _designed(fasta: Path) -> int:
    """Sequences that are in the file already."""
    return fasta.read_text(encoding="utf-8").count(">") if fasta.exists() else 0
