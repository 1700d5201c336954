"""What mmCIF and BinaryCIF share: the columns that are read, and what the categories beside atom_site say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.assemble import letters_of
from protgm.structure.atoms import (
    ATOM_CODES,
    B_FACTORS,
    CONFIDENCE,
    COORDINATES_END,
    AtomRows,
    Columns,
    Header,
    atom_rows,
    text_of,
    texts_of,
)
from protgm.structure.errors import malformed
from protgm.text import printable

__all__ = ["ROW", "WANTED", "Table", "atom_name", "codes_of", "header_of", "rows_from_atom_site"]

#: Column name -> values: numbers, str objects or bytes, perhaps padded; ``.`` and ``?`` stand for no value.
Table = Mapping[str, NDArray[Any]]

#: What is counted where a file has no lines, or more than one row in some.
ROW = "atom_site row"

_ATOM_SITE = (
    "group_pdb", "label_atom_id", "auth_atom_id", "label_alt_id", "label_comp_id", "auth_comp_id", "label_asym_id",
    "auth_asym_id", "label_seq_id", "auth_seq_id", "pdbx_pdb_ins_code", "cartn_x", "cartn_y", "cartn_z", "occupancy",
    "b_iso_or_equiv", "pdbx_pdb_model_num",
)  # fmt: skip

#: Category -> columns that are read, in lower case (CIF names have no case).
WANTED: Mapping[str, tuple[str, ...]] = {
    "_atom_site": _ATOM_SITE,
    "_entry": ("id",),
    "_exptl": ("method",),
    "_refine": ("ls_d_res_high",),
    "_em_3d_reconstruction": ("resolution",),
    "_pdbx_struct_mod_residue": ("label_comp_id", "auth_comp_id", "parent_comp_id"),
    "_pdbx_unobs_or_zero_occ_residues": (
        "polymer_flag",
        "occupancy_flag",
        "auth_asym_id",
        "auth_seq_id",
        "pdb_ins_code",
    ),
    "_entity_poly": ("type", "pdbx_seq_one_letter_code_can", "pdbx_strand_id"),
    "_pdbx_poly_seq_scheme": ("mon_id", "pdb_strand_id"),
    "_protgm_provenance": ("key", "value"),
}


def atom_name(columns: object) -> str:
    """The column that has the atoms' names, of those that there are."""
    return "label_atom_id" if "label_atom_id" in columns else "auth_atom_id"  # type: ignore[operator]


def codes_of(names: NDArray[Any]) -> NDArray[np.int64]:
    """The `ATOM_CODES` of atoms' names, -1 for others."""
    entries = names.tolist()
    known = {name: ATOM_CODES.get(text_of(name), -1) for name in set(entries)}
    return np.fromiter(map(known.__getitem__, entries), dtype=np.int64, count=len(entries))


def rows_from_atom_site(
    table: Table, lines: NDArray[np.integer], source: str, model: int, header: Header, unit: str = ROW
) -> AtomRows:
    """The backbone atoms of model ``model``.

    Parameters
    ----------
    table : mapping
        Columns of atom_site, all of one length, at the rows of backbone atoms (others may be there).
    lines : ndarray of int
        Where each row stands, for messages.
    source : str
    model : int
        Counted from 0.
    header : Header
        What the other categories say.
    unit : str
        What ``lines`` counts.

    Raises
    ------
    StructureError
        If a needed column is not there, a value is malformed or there is no such model.
    """
    columns = _columns(table, source)
    there = list(dict.fromkeys(columns["model"].tolist()))
    if there and model >= len(there):
        raise malformed(source, f"no model {model}: there are {len(there)}, counted from 0")
    wanted = columns["atom"] >= 0
    if there:
        wanted &= columns["model"] == there[model]
    if not wanted.all():
        columns = {name: values[wanted] for name, values in columns.items()}
    return atom_rows(Columns(columns), np.asarray(lines)[wanted], source, header.parents, unit)


def _columns(table: Table, source: str) -> Table:
    """Every column of atom_site under its own name, stand-ins where one may be left out."""
    length = len(table[atom_name(table)]) if atom_name(table) in table else 0
    for name, values in table.items():
        if len(values) != length:
            raise malformed(source, f"column {name} of _atom_site has {len(values)} values, others {length}")

    def column(*names: str, needed: bool = True, default: str = "") -> NDArray[Any]:
        """The first of these columns that is there; where it has no value, what the next one has."""
        found = [table[name] for name in names if name in table]
        if not found:
            if needed:
                raise malformed(source, f"the _atom_site category has no column {names[0]}")
            return np.full(length, default, dtype=object)
        values = found[0]
        for others in found[1:]:
            empty = _empty(values)
            if not empty.any():
                break
            values = np.where(empty, others.astype(object), values.astype(object))
        return values

    positions = column("label_seq_id", needed=False)
    return {
        "atom": codes_of(column("label_atom_id", "auth_atom_id")),
        "comp": column("label_comp_id", "auth_comp_id"),
        "chain": column("auth_asym_id", "label_asym_id"),
        "number": column("auth_seq_id", "label_seq_id"),
        "code": column("pdbx_pdb_ins_code", needed=False),
        "altloc": column("label_alt_id", needed=False),
        "polymer": ~_equal(column("group_pdb", needed=False, default="ATOM"), "HETATM") | ~_empty(positions),
        "position": positions,
        "block": column("label_asym_id", needed=False),
        "segment": column(needed=False),
        "x": column("cartn_x"),
        "y": column("cartn_y"),
        "z": column("cartn_z"),
        "occupancy": column("occupancy", needed=False),
        "b_factor": column("b_iso_or_equiv", needed=False),
        "model": column("pdbx_pdb_model_num", needed=False),
        "end": np.full(length, COORDINATES_END),
    }


def _equal(values: NDArray[Any], *words: str) -> NDArray[np.bool_]:
    """Where a column has one of these words; a blank in quotes is a word of its own."""
    none = np.zeros(len(values), dtype=bool)
    if values.dtype.kind in "iuf":
        return none
    # Most columns have none of them: that is soon seen.
    if values.dtype.kind == "S":
        raw = values.tobytes()
        if not any(word.encode() in raw for word in words if word):
            return none
        entries = [text_of(value) for value in values.tolist()]
    else:
        entries = values.tolist()
    there = set(entries).intersection(words)
    return np.array([entry in there for entry in entries], dtype=bool) if there else none


def _empty(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a column says that there is no value."""
    return _equal(values, ".", "?", "")


def header_of(tables: Mapping[str, Table]) -> Header:
    """What the other categories say. Nothing here is needed, so nothing here is an error."""

    def columns(category: str, *names: str) -> list[tuple[str, ...]]:
        table = tables.get(category, {})
        if not all(name in table for name in names):
            return []
        return list(zip(*(texts_of(table[name]) for name in names), strict=False))

    header = Header()
    metadata = header.metadata
    for (entry,) in columns("_entry", "id")[:1]:
        metadata["entry"] = printable(entry)
    if methods := [printable(method) for (method,) in columns("_exptl", "method") if method]:
        metadata["method"] = "; ".join(methods)
    for (value,) in columns("_refine", "ls_d_res_high") + columns("_em_3d_reconstruction", "resolution"):
        try:
            number = float(value)
        except ValueError:
            continue
        if 0.0 < number < 1000.0:
            metadata["resolution"] = number
            break
    for name in ("label_comp_id", "auth_comp_id"):
        for comp, parent in columns("_pdbx_struct_mod_residue", name, "parent_comp_id"):
            header.parents[comp] = parent
    header.confident = (B_FACTORS, CONFIDENCE) in columns("_protgm_provenance", "key", "value")
    if sequences := _sequences(columns, header):
        metadata["seqres"] = sequences
    missing: dict[str, list[str]] = {}
    category = "_pdbx_unobs_or_zero_occ_residues"
    flags = columns(category, "polymer_flag", "occupancy_flag")
    codes = columns(category, "pdb_ins_code") or [("",)] * len(flags)
    for flag, site, code in zip(flags, columns(category, "auth_asym_id", "auth_seq_id"), codes, strict=False):
        if flag == ("Y", "1"):
            missing.setdefault(printable(site[0]), []).append(printable(site[1] + code[0]))
    if missing:
        metadata["missing_residues"] = missing
    return header


def _sequences(columns: Callable[..., list[tuple[str, ...]]], header: Header) -> dict[str, str]:
    """One-letter sequences of the polymers of amino acids, by chain."""
    sequences: dict[str, str] = {}
    for kind, sequence, chains in columns("_entity_poly", "type", "pdbx_seq_one_letter_code_can", "pdbx_strand_id"):
        if "polypeptide" in kind:
            letters = "".join(sequence.split()).upper()
            sequences |= {printable(chain.strip()): printable(letters, limit=100_000) for chain in chains.split(",")}
    if sequences:
        return sequences
    names: dict[str, list[str]] = {}
    for mon, chain in columns("_pdbx_poly_seq_scheme", "mon_id", "pdb_strand_id"):
        names.setdefault(printable(chain), []).append(mon)
    return letters_of(names, header.parents)
