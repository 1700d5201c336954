"""Designed sequences as FASTA, and as the residues of a structure file."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from protgm.checks import check_path
from protgm.design.base import Design
from protgm.files import atomic
from protgm.made import check_outputs
from protgm.structure.write import is_ours
from protgm.text import printable

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["by_chain", "check_targets", "fasta", "write_designs", "write_structure"]


def by_chain(backbone: Backbone, sequence: str) -> str:
    """The sequence with "/" between chains."""
    ends = [i + 1 for i, (a, b) in enumerate(pairwise(backbone.chain_ids)) if a != b]
    return "/".join(sequence[a:b] for a, b in pairwise([0, *ends, len(sequence)]))


def fasta(backbone: Backbone, designs: Sequence[Design]) -> str:
    """FASTA entries ``>NAME_1 nll=1.234``, best first."""
    lines = []
    for number, design in enumerate(designs, start=1):
        lines.append(f">{backbone.name}_{number} nll={design.nll:.4f}")
        lines.append(by_chain(backbone, design.sequence))
    return "".join(line + "\n" for line in lines)


def check_targets(folder: Path, names: Iterable[str], inputs: Iterable[Path]) -> None:
    """Refuse to write designs over what is read, or over structures that are somebody's own.

    Raises
    ------
    ValueError
        Naming the file.
    """
    outputs = [folder / f"{name}{ending}" for name in names for ending in (".fasta", ".pdb", ".cif")]
    check_outputs(inputs, outputs)
    for path in outputs:
        if path.suffix != ".fasta" and path.is_file() and not is_ours(path):
            raise ValueError(f"{path}: is there, and not from protgm; use another out= folder")


def write_designs(
    folder: str | PathLike[str], backbones: Sequence[Backbone], designs: Sequence[Sequence[Design]]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Write NAME.fasta and NAME.pdb (the backbone with the best sequence; mmCIF where PDB cannot hold it) of each.

    Backbones without a design are left out.

    Returns
    -------
    written : list of str
        The files, as paths below the folder.
    failed : list of (str, str)
        Names of backbones that cannot be written, and why.
    """
    check_path("folder", folder)
    written, failed = [], []
    for backbone, found in zip(backbones, designs, strict=True):
        if not found:
            continue
        best = replace(
            backbone,
            sequence=found[0].sequence,
            metadata={**backbone.metadata, "sequence_design": "ProteinMPNN", "nll_per_residue": round(found[0].nll, 4)},
        )
        # A name may have folders in it.
        target = Path(folder) / backbone.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic(target.with_name(target.name + ".fasta")) as path:
                path.write_text(fasta(backbone, found), encoding="utf-8")
            written.append(f"{backbone.name}.fasta")
            written.append(f"{backbone.name}{write_structure(best, target)}")
        except ValueError as error:
            failed.append((backbone.name, str(error)))
        except OSError as error:
            # A name that the disk cannot hold is this structure's fault, a full disk is not.
            if error.errno not in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
                raise
            failed.append((backbone.name, f"{printable(target, 1000)}: {error.strerror}"))
    return written, failed


def write_structure(backbone: Backbone, target: Path) -> str:
    """Write ``target`` with the ending .pdb, or .cif where the PDB format cannot hold the backbone: which it was.

    Raises
    ------
    StructureError
        If neither can.
    """
    try:
        backbone.to_pdb(target.with_name(target.name + ".pdb"))
    except ValueError:
        backbone.to_cif(target.with_name(target.name + ".cif"))
        return ".cif"
    return ".pdb"
