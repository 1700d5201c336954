"""Columns of a structure file as atoms: what PDB, mmCIF and BinaryCIF share before residues are made of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.structure.decimals import read_number, read_numbers
from protgm.structure.errors import StructureError, malformed
from protgm.structure.residues import letter_of
from protgm.structure.runs import Run, Runs, whole_number
from protgm.text import printable

#: Which rows of a table.
Rows = slice | NDArray[np.integer]

__all__ = [
    "ATOM_CODES",
    "B_FACTORS",
    "CONFIDENCE",
    "COORDINATES_END",
    "MAX_ATOMS",
    "MAX_COORDINATE",
    "AtomRows",
    "Columns",
    "Header",
    "Rows",
    "atom_rows",
    "text_of",
    "texts_of",
]

#: Last column of the coordinates in a PDB record.
COORDINATES_END = 54

#: Coordinates beyond this are nonsense, and float32 could not hold them to 0.01 A.
MAX_COORDINATE = 1e5

#: Backbone atoms that are read (of all models together in mmCIF and BinaryCIF); more would take memory out of
#: proportion to any protein.
MAX_ATOMS = 1_000_000

#: N, CA, C, O, and 4: the names that programs give the last residue's oxygens. Modified residues have side chains with
#: an O1, which must not be taken for O.
ATOM_CODES: Mapping[str, int] = {"N": 0, "CA": 1, "C": 2, "O": 3, "OT1": 4, "OC1": 4, "O1": 4}

#: Entry of the provenance of a file whose B factors are confidences, 100 times their value.
B_FACTORS, CONFIDENCE = "b_factors", "confidence"

_RUN_COLUMNS = ("comp", "chain", "number", "code", "altloc", "polymer", "position", "block")
_NULL = (".", "?", "")


class Columns:
    """Backbone atoms as a file has them, column by column: bytes, perhaps padded, str objects or numbers.

    ``atom`` (values of `ATOM_CODES`), ``polymer`` (whether the file calls the atom part of a chain), ``comp``,
    ``chain``, ``number``, ``code``, ``altloc``, ``x``, ``y``, ``z``, ``occupancy``, ``b_factor``; ``position`` is the
    place in the polymer where the file states one, ``block`` changes where the file ends a molecule (TER, another
    label_asym_id) and ``segment`` is a second name of chains (segid). ``end`` is the column that a PDB record ends in.
    """

    def __init__(self, table: Mapping[str, NDArray[Any]]) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table["atom"])

    def take(self, rows: Rows, *names: str) -> list[NDArray[Any]]:
        """The values of some columns at some rows."""
        return [self.table[name][rows] for name in names]

    def points(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Coordinates at some rows (n, 3), and which of them cannot be read."""
        axes = self.take(rows, *"xyz")
        if len({axis.dtype for axis in axes}) == 1:
            # All at once takes less time.
            values, wrong = read_numbers(np.stack(axes, axis=-1).reshape(-1))
            return values.reshape(-1, 3), wrong.reshape(-1, 3)
        numbers = [read_numbers(axis) for axis in axes]
        return np.stack([values for values, _ in numbers], axis=-1), np.stack([wrong for _, wrong in numbers], axis=-1)

    def changes(self) -> NDArray[np.bool_]:
        """Whether anything that names the residue or the conformer differs from the row before, shape (n - 1,)."""
        found = np.zeros(len(self) - 1, dtype=bool)
        for name in _RUN_COLUMNS:
            found |= self.table[name][1:] != self.table[name][:-1]
        return found


@dataclass
class Header:
    """What a file says beside its atoms."""

    metadata: dict[str, object] = field(default_factory=dict)
    #: Parent residue names as the file states them (MODRES and the like).
    parents: dict[str, str] = field(default_factory=dict)
    #: Whether its B factors are confidences (100 times their value), as in files that `Backbone.to_pdb` wrote.
    confident: bool = False


@dataclass
class AtomRows:
    """The backbone atoms of one model in file order, in runs; of what cannot be an amino acid there are none.

    ``starts`` has the first atom of each run; ``atoms`` (see `ATOM_CODES`), ``points`` (n, 3) in Angstrom, NaN for an
    atom that is not resolved, and ``b_factors`` have one entry per atom.
    """

    source: str
    columns: Columns = field(default_factory=lambda: Columns({}))
    #: Where each atom stands in the columns.
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    runs: Runs = field(default_factory=Runs)
    starts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    atoms: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    points: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    #: Atoms whose coordinates cannot be read.
    wrong: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    #: Of CA; NaN where there is none.
    b_factors: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    #: Where each row stands, for messages, and in what that is counted.
    lines: NDArray[np.integer] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    unit: str = "line"

    def error(self, atom: int, reason: str) -> StructureError:
        """The error that is found at an atom."""
        return malformed(self.source, reason, int(self.lines[self.rows[atom]]), self.unit)

    def entry(self, name: str, atom: int) -> NDArray[Any]:
        """What the file has in a column of an atom, shape (1,)."""
        return self.columns.take(self.rows[atom : atom + 1], name)[0]

    @cached_property
    def _occupancies(self) -> list[Any]:
        return [*self.columns.take(self.rows, "occupancy")[0].tolist()]

    def wrong_point(self, atom: int) -> StructureError:
        """The error of an atom whose coordinates cannot be read: names the first axis that is wrong."""
        if (end := int(self.entry("end", atom)[0])) < COORDINATES_END:
            return self.error(atom, f"record ends in column {end}; coordinates stand in columns 31-54")
        for axis in "xyz":
            entry = self.entry(axis, atom)
            (value,), (wrong,) = read_numbers(entry)
            shown = printable(text_of(entry[0]))
            if wrong:
                return self.error(atom, f"{axis} coordinate {shown!r} is not a number")
            if np.isinf(value):
                return self.error(atom, f"{axis} coordinate {shown!r} is not finite")
            if abs(value) >= MAX_COORDINATE:
                return self.error(atom, f"{axis} coordinate {shown} is beyond {MAX_COORDINATE:,.0f} A")
        raise AssertionError("the coordinates can be read")

    def occupancy(self, atom: int) -> float:
        """The occupancy of an atom, 1 where the file states none.

        Raises
        ------
        StructureError
            If what it states cannot be one.
        """
        entry = self._occupancies[atom]
        value = read_number(entry, blank=True)
        if value is None or value < 0.0 or value > 1000.0:
            raise self.error(atom, f"occupancy {printable(text_of(entry))!r} is not a number >= 0")
        return 1.0 if math.isnan(value) else value


def text_of(value: object) -> str:
    """A value as text, without blanks around it."""
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip()


def texts_of(values: NDArray[Any]) -> list[str]:
    """`text_of` every value, empty where there is none."""
    if values.dtype.kind == "S" and not values.tobytes().strip(b" \0"):
        return [""] * len(values)
    entries = values.tolist()
    # There are few different ones, mostly.
    known = {entry: text_of(entry) for entry in set(entries)}
    for entry, text in known.items():
        if text in _NULL:
            known[entry] = ""
    return list(map(known.__getitem__, entries))


def atom_rows(
    columns: Columns, lines: NDArray[np.integer], source: str, parents: Mapping[str, str], unit: str = "line"
) -> AtomRows:
    """Backbone atoms in runs, without those of residues that cannot be amino acids: nothing of these is looked at.

    ``lines`` is where each atom stands, counted from 1 in what ``unit`` says.

    Raises
    ------
    StructureError
        If there are more than `MAX_ATOMS` atoms.
    """
    length = len(columns)
    if length > MAX_ATOMS:
        raise malformed(source, f"more than {MAX_ATOMS:,} backbone atoms", int(lines[MAX_ATOMS]), unit)
    if not length:
        return AtomRows(source)
    begins = np.append(0, np.flatnonzero(columns.changes()) + 1)
    lengths = np.diff(np.append(begins, length))
    rows, (codes,) = np.arange(length), columns.take(slice(None), "atom")
    entries = columns.take(begins, "comp")[0].tolist()
    texts = {entry: text_of(entry) for entry in set(entries)}
    known = {entry: letter_of(text, parents) is not None for entry, text in texts.items()}
    if not all(known.values()):
        # Of what nobody knows, that which has an atom CA may be a modified amino acid. A residue CA is calcium.
        kept = np.fromiter(map(known.__getitem__, entries), bool, len(entries))
        kept |= np.logical_or.reduceat(codes == ATOM_CODES["CA"], begins)
        kept &= np.fromiter((texts[entry] != "CA" for entry in entries), bool, len(entries))
        rows = np.flatnonzero(np.repeat(kept, lengths))
        entries, codes = [*itertools.compress(entries, kept.tolist())], codes[rows]
        begins, lengths = begins[kept], lengths[kept]
    comps = [*map(texts.__getitem__, entries)]
    starts = np.cumsum(lengths) - lengths
    found = AtomRows(source, columns, rows, _runs(columns, begins, comps), starts, codes, lines=lines, unit=unit)
    found.points, wrong = columns.points(rows)
    wrong[columns.take(rows, "end")[0] < COORDINATES_END] = True
    near = np.asarray(np.abs(found.points) < MAX_COORDINATE)
    found.wrong = np.zeros(len(rows), dtype=bool)
    if wrong.any() or not near.all():
        # What is far away is wrong; what is not resolved, NaN, is absent.
        found.wrong[:] = (wrong | (~near & ~np.isnan(found.points))).any(axis=-1)
        found.points[~near.all(axis=-1) | found.wrong] = np.nan
    found.b_factors = np.full(len(rows), np.nan)
    alphas = np.flatnonzero(codes == ATOM_CODES["CA"])
    found.b_factors[alphas] = read_numbers(columns.take(rows[alphas], "b_factor")[0], blank=True)[0]
    return found


def _runs(columns: Columns, starts: NDArray[np.int64], comps: list[str]) -> Runs:
    """The runs that begin at these atoms."""
    names = ("number", "block", "polymer", "chain", "code", "altloc", "position", "segment")
    number, block, polymer, *others = columns.take(starts, *names)
    numbers, written = _numbers(number)
    chain, code, altloc, position, segment = map(texts_of, others)
    runs = Runs(chain, block.tolist(), position, written, code, numbers, comps, altloc, polymer.tolist(), segment)
    plain = all(text.isascii() and text.isprintable() for part in (comps, chain, code, altloc) for text in set(part))
    if not plain or None in numbers:
        runs.problem = [_problem(run) for run in runs]
    return runs


def _numbers(column: NDArray[Any]) -> tuple[list[int | None], list[Any]]:
    """Residue numbers, and what tells them apart: themselves, or, where one is none, what is written."""
    if column.dtype.kind == "S" and not column.tobytes().translate(None, b"0123456789- \0"):
        # Where it is digits alone that are written, Python's own rule is that of `whole_number`.
        try:
            plain = list(map(int, column.tolist()))
        except ValueError:
            plain = []
        if plain and min(plain) > -(2**31) and max(plain) < 2**31:
            return [*plain], plain
    written = texts_of(column)
    known = {text: whole_number(text) for text in set(written)}
    numbers = list(map(known.__getitem__, written))
    return numbers, written if None in numbers else numbers


def _problem(run: Run) -> str | None:
    together = run.chain + run.altloc + run.code + run.comp
    if not (together.isascii() and together.isprintable()):
        shown = printable(f"{run.comp} {run.chain} {run.code} {run.altloc}")
        return f"unprintable characters in residue name, chain or code: {shown}"
    return None if run.number is not None else f"residue number {printable(run.written)!r} is not a whole number"
