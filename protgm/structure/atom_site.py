"""What mmCIF and BinaryCIF share: the columns that are read, and how the atom_site category becomes atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protgm.structure.assemble import MAX_COORDINATE, AtomRows, letters_of, parse_point
from protgm.structure.errors import malformed, printable

__all__ = ["BACKBONE_ATOMS", "WANTED", "Table", "header_metadata", "rows_from_atom_site"]

#: Column name -> values; numbers may be text or numbers, ``.`` and ``?`` stand for no value.
Table = Mapping[str, Sequence]

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
    return "" if text in _NULL else text


def rows_from_atom_site(table: Table, lines: Sequence[int] | None, source: str, model: int) -> AtomRows:
    """The backbone atoms of model ``model``.

    Parameters
    ----------
    table : mapping
        Columns of atom_site, all of one length, at the rows of backbone atoms (others may be there).
    lines : sequence of int, optional
        Line of each row, for messages.

    Raises
    ------
    StructureError
        If a needed column is not there, a value is malformed or there is no such model.
    """

    def column(*names: str) -> Sequence:
        for name in names:
            if name in table:
                return table[name]
        raise malformed(source, f"the _atom_site category has no column {names[0]}")

    atom_ids, comps = column("label_atom_id", "auth_atom_id"), column("label_comp_id", "auth_comp_id")
    length = len(atom_ids)
    blank = [""] * length
    chains, fallback_chains = column("auth_asym_id", "label_asym_id"), table.get("label_asym_id", blank)
    numbers, fallback_numbers = column("auth_seq_id", "label_seq_id"), table.get("label_seq_id", blank)
    xs, ys, zs = column("cartn_x"), column("cartn_y"), column("cartn_z")
    groups = table.get("group_pdb", ["ATOM"] * length)
    altlocs, codes = table.get("label_alt_id", blank), table.get("pdbx_pdb_ins_code", blank)
    occupancies = table.get("occupancy", blank)
    models = table.get("pdbx_pdb_model_num", blank)
    there = list(dict.fromkeys(models))
    if there and model >= len(there):
        raise malformed(source, f"no model {model}: there are {len(there)}, counted from 0")
    number_of_model = there[model] if there else None
    # label_seq_id marks polymer residues; a file that leaves it out altogether is judged as a PDB file is.
    marks_polymers = any(_text(value) for value in fallback_numbers)

    rows = AtomRows()
    for i in range(length):
        atom = BACKBONE_ATOMS.get(atom_ids[i])
        if atom is None or models[i] != number_of_model:
            continue
        if marks_polymers and not _text(fallback_numbers[i]):
            continue
        line = None if lines is None else lines[i]
        # A quoted blank is the name of a chain without one.
        chain = (_text(chains[i]) or _text(fallback_chains[i])).strip()
        altloc, code, comp = _text(altlocs[i]), _text(codes[i]), _text(comps[i])
        if not ((chain + altloc + code + comp).isascii() and (chain + altloc + code + comp).isprintable()):
            shown = printable(f"{comp} {chain} {code} {altloc}")
            raise malformed(source, f"unprintable characters in residue name, chain or code: {shown}", line)
        number = _text(numbers[i]) or _text(fallback_numbers[i])
        try:
            value = int(number)
            good = abs(value) < 2**31 and "_" not in number
        except ValueError:
            good = False
        if not good:
            raise malformed(source, f"residue number {printable(number)!r} is not a whole number", line)
        try:
            x, y, z = point = float(xs[i]), float(ys[i]), float(zs[i])
            good = abs(x) < MAX_COORDINATE and abs(y) < MAX_COORDINATE and abs(z) < MAX_COORDINATE
        except ValueError:
            good = False
        if not good:
            point = parse_point(xs[i], ys[i], zs[i], source, line)
        rows.keys.append((0, chain, value, code))
        rows.residue_names.append(comp)
        rows.polymer.append(marks_polymers or groups[i] == "ATOM")
        rows.altlocs.append(altloc)
        rows.atoms.append(atom)
        rows.points.append(point)
        rows.occupancies.append(_occupancy(occupancies[i], source, line) if altloc else 1.0)
    return rows


def _occupancy(value: object, source: str, line: int | None) -> float:
    if not _text(value):
        return 1.0
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1000.0:
        raise malformed(source, f"occupancy {printable(value)!r} is not a number >= 0", line)
    return number


def header_metadata(tables: Mapping[str, Table], rows: AtomRows) -> None:
    """What the other categories say. Nothing here is needed, so nothing here is an error."""

    def columns(category: str, *names: str) -> list[tuple[str, ...]]:
        table = tables.get(category, {})
        if not all(name in table for name in names):
            return []
        return [tuple(_text(v) for v in row) for row in zip(*(table[name] for name in names), strict=False)]

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
        rows.parents |= dict(columns("_pdbx_struct_mod_residue", name, "parent_comp_id"))
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
