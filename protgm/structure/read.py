"""Structure files to `Backbone`: PDB, mmCIF and BinaryCIF, plain or gzipped, told apart by their contents."""

from __future__ import annotations

import os

from protgm.checks import check_path, whole
from protgm.structure.assemble import assemble
from protgm.structure.backbone import Backbone
from protgm.structure.bcif import parse_bcif
from protgm.structure.errors import malformed
from protgm.structure.mmcif import parse_mmcif
from protgm.structure.pdb import parse_pdb
from protgm.structure.source import MAX_BYTES, read_bytes, sniff, stem
from protgm.text import printable

__all__ = ["RULES", "read_structure"]

#: Grows when the same file gives another backbone than before.
RULES = 2

_PARSERS = {"pdb": parse_pdb, "cif": parse_mmcif, "bcif": parse_bcif}


def read_structure(
    path: str | os.PathLike[str], *, chain: str | None = None, model: int = 0, max_bytes: int = MAX_BYTES
) -> Backbone:
    """Read the protein backbone in a structure file.

    Of alternate locations the one with the highest occupancy is taken, residue by residue, the first on ties.
    Modified residues get their parent's letter (MSE is M). Waters, ligands and nucleic acids are left out; modified
    residues inside chains stay. Chain ids, residue numbers and insertion codes are the author's. Residues without CA
    are left out and counted in ``metadata["residues_without_ca"]``; another missing atom is NaN. D-amino acids have the
    letters of their mirror images and are counted in ``metadata["d_amino_acids"]``.

    Parameters
    ----------
    path : path-like
        A .pdb, .ent, .cif, .mmcif or .bcif file, each possibly gzipped. The contents decide, not the name.
    chain : str, optional
        Author chain id; all protein chains by default.
    model : int
        Which model, counted from 0 in the order of the file.
    max_bytes : int
        Refuse files that hold more bytes than this after unpacking.

    Returns
    -------
    Backbone
        Coordinates in Angstrom. ``metadata`` has ``source_file`` and ``format`` and, where the file states them,
        ``entry``, ``method``, ``resolution`` (Angstrom), ``seqres`` (chain -> one-letter sequence) and
        ``missing_residues`` (chain -> residue numbers with insertion codes).

    Raises
    ------
    StructureError
        If the file cannot be read, is malformed, too large, or has no such model, chain or no protein at all: one line
        that names the file, the line where there is one, and the reason.
    """
    check_path("path", path)
    source = os.fspath(path)
    if whole("model", model, -(2**31)) < 0:
        raise malformed(source, f"model must be 0 or more, got {model}")
    whole("max_bytes", max_bytes, 0)
    data = read_bytes(path, max_bytes)
    kind = sniff(data, source)
    rows, header = _PARSERS[kind](data, source, model)
    file = os.path.basename(source)
    header.metadata = {"source_file": printable(file, limit=1000), "format": kind} | header.metadata
    return assemble(rows, header, source, printable(stem(file), limit=200), chain)
