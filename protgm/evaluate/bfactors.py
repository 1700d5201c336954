"""B factors of a structure file, for those that hold confidences."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["ca_bfactors"]


def ca_bfactors(path: str | os.PathLike[str], backbone: Backbone) -> NDArray[np.float32] | None:
    """B factor of each residue's CA in the file that ``backbone`` was read from, shape (L,); None where unknown."""
    opener = gzip.open if str(path).lower().endswith(".gz") else open
    with opener(Path(path), "rt", encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    try:
        table = _of_cif(text) if "_atom_site." in text else _of_pdb(text)
        keys = zip(backbone.chain_ids, backbone.residue_numbers.tolist(), backbone.insertion_codes, strict=True)
        return np.array([table[key] for key in keys], dtype=np.float32)
    except (KeyError, ValueError):
        return None


def _of_pdb(text: str) -> dict[tuple[str, int, str], float]:
    table: dict[tuple[str, int, str], float] = {}
    for line in text.splitlines():
        if line.startswith("ENDMDL"):
            break
        if line.startswith(("ATOM", "HETATM")) and line[12:16].strip() == "CA":
            table.setdefault((line[21].strip(), int(line[22:26]), line[26].strip()), float(line[60:66]))
    return table


def _of_cif(text: str) -> dict[tuple[str, int, str], float]:
    import io

    from Bio.PDB.MMCIF2Dict import MMCIF2Dict

    block = MMCIF2Dict(io.StringIO(text))

    def column(*names: str) -> list[str]:
        return next(block[f"_atom_site.{name}"] for name in names if f"_atom_site.{name}" in block)

    codes = block.get("_atom_site.pdbx_PDB_ins_code", ["?"] * len(block["_atom_site.id"]))
    rows = zip(
        column("label_atom_id", "auth_atom_id"), column("auth_asym_id", "label_asym_id"),
        column("auth_seq_id", "label_seq_id"), codes, column("B_iso_or_equiv"), strict=True,
    )  # fmt: skip
    table: dict[tuple[str, int, str], float] = {}
    for atom, chain, number, code, value in rows:
        if atom == "CA":
            table.setdefault((chain, int(number), "" if code in "?." else code), float(value))
    return table
