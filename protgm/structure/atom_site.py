"""What mmCIF and BinaryCIF share: the columns that are read, and how the atom_site category becomes atoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.assemble import (
    MAX_ATOMS,
    MAX_COORDINATE,
    AtomRows,
    Key,
    letters_of,
    parse_point,
    too_many,
)
from protgm.structure.decimals import plain_decimals
from protgm.structure.errors import malformed, printable
from protgm.structure.residues import LETTERS

__all__ = ["BACKBONE_ATOMS", "WANTED", "Table", "header_metadata", "rows_from_atom_site"]

#: Column name -> values: numbers, str objects or bytes, perhaps padded; ``.`` and ``?`` stand for no value.
Table = Mapping[str, NDArray[Any]]

BACKBONE_ATOMS = {"N": 0, "CA": 1, "C": 2, "O": 3}

_ATOM_SITE = (
    "group_pdb", "label_atom_id", "auth_atom_id", "label_alt_id", "label_comp_id", "auth_comp_id", "label_asym_id",
    "auth_asym_id", "label_seq_id", "auth_seq_id", "pdbx_pdb_ins_code", "cartn_x", "cartn_y", "cartn_z", "occupancy",
    "pdbx_pdb_model_num",
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
}

_NULL = (".", "?", "")


def _text(value: object) -> str:
    text = str(value)
    if isinstance(value, bytes):
        # Padding goes; a quoted blank stays one: it is a name.
        text = value.decode("latin-1")
        text = text.strip() or text
    return "" if text in _NULL else text


def _texts(values: NDArray[Any]) -> list[str]:
    """`_text` of every value; few of them differ."""
    entries = values.tolist()
    known = {value: _text(value) for value in set(entries)}
    return [known[value] for value in entries]


def _columns(table: Table, source: str) -> tuple[dict[str, NDArray[Any]], int]:
    """Every column of atom_site under its own name, stand-ins where one may be left out, and their length."""

    def column(*names: str) -> NDArray[Any]:
        for name in names:
            if name in table:
                return table[name]
        raise malformed(source, f"the _atom_site category has no column {names[0]}")

    atoms = column("label_atom_id", "auth_atom_id")
    blank = np.full(len(atoms), "", dtype=object)
    columns = {
        "atom": atoms,
        "comp": column("label_comp_id", "auth_comp_id"),
        "chain": column("auth_asym_id", "label_asym_id"),
        "label_chain": table.get("label_asym_id", blank),
        "number": column("auth_seq_id", "label_seq_id"),
        "label_number": table.get("label_seq_id", blank),
        "x": column("cartn_x"),
        "y": column("cartn_y"),
        "z": column("cartn_z"),
        "group": table.get("group_pdb", np.full(len(atoms), "ATOM", dtype=object)),
        "altloc": table.get("label_alt_id", blank),
        "code": table.get("pdbx_pdb_ins_code", blank),
        "occupancy": table.get("occupancy", blank),
        "model": table.get("pdbx_pdb_model_num", blank),
    }
    for name, values in columns.items():
        if len(values) != len(atoms):
            raise malformed(source, f"column {name} of _atom_site has {len(values)} values, others {len(atoms)}")
    return columns, len(atoms)


def rows_from_atom_site(table: Table, lines: NDArray[np.integer] | None, source: str, model: int) -> AtomRows:
    """The backbone atoms of model ``model``.

    Parameters
    ----------
    table : mapping
        Columns of atom_site, all of one length, at the rows of backbone atoms (others may be there).
    lines : ndarray of int, optional
        Line of each row, for messages.

    Raises
    ------
    StructureError
        If a needed column is not there, a value is malformed or there is no such model.
    """
    columns, length = _columns(table, source)
    if length > MAX_ATOMS:
        raise too_many(source)
    there = list(dict.fromkeys(columns["model"].tolist()))
    if there and model >= len(there):
        raise malformed(source, f"no model {model}: there are {len(there)}, counted from 0")
    codes = _codes(columns["atom"])
    wanted = codes >= 0
    if there:
        wanted &= columns["model"] == there[model]
    chosen = np.flatnonzero(wanted)
    if len(chosen) < length:
        columns = {name: values[chosen] for name, values in columns.items()}
    rows = AtomRows()
    if not len(chosen):
        return rows
    lines_of = None if lines is None else np.asarray(lines)[chosen]

    starts, kept, marks_polymers = _runs(columns, len(chosen))
    lengths = np.diff([*starts, len(chosen)])
    of_atom = np.repeat(kept, lengths)
    starts, lengths = starts[kept], lengths[kept]
    run_lines = None if lines_of is None else lines_of[starts].tolist()
    for run, values in enumerate(zip(*(_texts(columns[name][starts]) for name in _RUN_COLUMNS), strict=True)):
        key, comp, altloc = _run(values, source, None if run_lines is None else run_lines[run])
        rows.keys.append(key)
        rows.residue_names.append(comp)
        rows.altlocs.append(altloc)
        rows.polymer.append(marks_polymers or (values[-1] == "ATOM" and comp in LETTERS))
    rows.starts = (np.cumsum(lengths) - lengths).tolist()
    if lines_of is not None:
        lines_of = lines_of[of_atom]
    rows.atoms = codes[chosen][of_atom]
    rows.points = _points([columns[axis][of_atom] for axis in "xyz"], source, lines_of)
    rows.occupancies = np.ones(len(rows.atoms))
    occupancies = columns["occupancy"][of_atom]
    for run, altloc in enumerate(rows.altlocs):
        if altloc:
            for i in range(rows.starts[run], rows.starts[run] + int(lengths[run])):
                line = None if lines_of is None else int(lines_of[i])
                rows.occupancies[i] = _occupancy(occupancies[i], source, line)
    return rows


_RUN_COLUMNS = ("chain", "label_chain", "number", "label_number", "code", "comp", "altloc", "group")


def _codes(atoms: NDArray[Any]) -> NDArray[np.int64]:
    """The number of each backbone atom's name, -1 for others."""
    entries = atoms.tolist()
    known = {name: BACKBONE_ATOMS.get(_text(name), -1) for name in set(entries)}
    return np.fromiter(map(known.__getitem__, entries), dtype=np.int64, count=len(entries))


def _runs(columns: Table, length: int) -> tuple[NDArray[np.int64], NDArray[np.bool_], bool]:
    """First atom of each run, whether the run may be of a polymer, and whether the file marks polymers at all."""
    changes = np.zeros(length, dtype=bool)
    changes[0] = True
    for name in _RUN_COLUMNS:
        changes[1:] |= columns[name][1:] != columns[name][:-1]
    starts = np.flatnonzero(changes)
    # label_seq_id marks polymer residues; a file that leaves it out altogether is judged as a PDB file is.
    marked = np.array([bool(text) for text in _texts(columns["label_number"][starts])])
    if marked.any():
        return starts, marked, True
    return starts, np.ones(len(starts), dtype=bool), False


def _run(values: tuple[str, ...], source: str, line: int | None) -> tuple[Key, str, str]:
    """Key, residue name and alternate location of a run with these values of `_RUN_COLUMNS`, checked."""
    own_chain, label_chain, own_number, label_number, code, comp, altloc, _ = values
    # A quoted blank is the name of a chain without one.
    chain = (own_chain or label_chain).strip()
    together = chain + altloc + code + comp
    if not (together.isascii() and together.isprintable()):
        shown = printable(f"{comp} {chain} {code} {altloc}")
        raise malformed(source, f"unprintable characters in residue name, chain or code: {shown}", line)
    number = own_number or label_number
    try:
        value = int(number)
    except ValueError:
        value = None
    if value is None or abs(value) >= 2**31 or "_" in number or not number.isascii():
        raise malformed(source, f"residue number {printable(number)!r} is not a whole number", line)
    return (0, chain, value, code), comp, altloc


def _points(axes: list[NDArray[Any]], source: str, lines: NDArray[np.integer] | None) -> NDArray[np.float64]:
    """Coordinates (n, 3); the first malformed one in the order of the file is the error."""
    try:
        points = np.stack([_numbers(axis) for axis in axes], axis=-1)
        good = np.abs(points) < MAX_COORDINATE
        # What Python's number syntax allows beyond that of files is looked at closely.
        plain = all(axis.dtype.kind in "iuf" or not _odd(axis) for axis in axes)
    except (ValueError, TypeError):
        plain = False
    if plain and good.all():
        return points
    suspects = range(len(axes[0])) if not plain else np.flatnonzero(~good.all(axis=1))[:1].tolist()
    checked = []
    for i in suspects:
        line = None if lines is None else int(lines[i])
        checked.append(parse_point(axes[0][i], axes[1][i], axes[2][i], source, line))
    return np.array(checked, dtype=np.float64).reshape(-1, 3)


def _numbers(axis: NDArray[Any]) -> NDArray[np.float64]:
    plain = plain_decimals(axis) if axis.dtype.kind == "S" and len(axis) else None
    return axis.astype(np.float64) if plain is None else plain


def _odd(axis: NDArray[Any]) -> bool:
    if axis.dtype.kind == "S":
        return b"_" in axis.tobytes()
    return any(not isinstance(v, float | int) and ("_" in v or not v.isascii()) for v in axis.tolist())


def _occupancy(value: object, source: str, line: int | None) -> float:
    if not _text(value):
        return 1.0
    try:
        number = float(_text(value))
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1000.0:
        raise malformed(source, f"occupancy {printable(_text(value))!r} is not a number >= 0", line)
    return number


def header_metadata(tables: Mapping[str, Table], rows: AtomRows) -> None:
    """What the other categories say. Nothing here is needed, so nothing here is an error."""

    def columns(category: str, *names: str) -> list[tuple[str, ...]]:
        table = tables.get(category, {})
        if not all(name in table for name in names):
            return []
        return list(zip(*(_texts(table[name]) for name in names), strict=False))

    metadata = rows.metadata
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
            rows.parents[comp] = parent
    sequences: dict[str, str] = {}
    for kind, sequence, chains in columns("_entity_poly", "type", "pdbx_seq_one_letter_code_can", "pdbx_strand_id"):
        if "polypeptide" in kind:
            letters = "".join(sequence.split()).upper()
            sequences |= {printable(chain.strip()): printable(letters, limit=100_000) for chain in chains.split(",")}
    if not sequences:
        names: dict[str, list[str]] = {}
        for mon, chain in columns("_pdbx_poly_seq_scheme", "mon_id", "pdb_strand_id"):
            names.setdefault(printable(chain), []).append(mon)
        sequences = letters_of(names, rows.parents)
    if sequences:
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
