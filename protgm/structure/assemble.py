"""From atoms in file order to a `Backbone`: residues, alternate locations, what counts as protein."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protgm.structure.backbone import Backbone
from protgm.structure.errors import StructureError, malformed, printable
from protgm.structure.residues import D_AMINO_ACIDS, LETTERS

__all__ = ["MAX_ATOMS", "MAX_BOND", "MAX_COORDINATE", "AtomRows", "assemble", "letters_of", "parse_point", "too_many"]

#: A carbonyl C and the next N further apart than this are not bonded, Angstrom.
MAX_BOND = 2.0

#: Coordinates beyond this are nonsense, and float32 could not hold them to 0.01 A.
MAX_COORDINATE = 1e5

#: Backbone atoms that are read (of all models together in mmCIF and BinaryCIF); more would take memory out of
#: proportion to any protein.
MAX_ATOMS = 1_000_000

Point = tuple[float, float, float]
#: Segment (counts TER records), chain, residue number, insertion code.
Key = tuple[int, str, int, str]


@dataclass
class AtomRows:
    """The backbone atoms of one model in file order, in runs: consecutive atoms of one conformer of one residue.

    The lists ``keys``, ``residue_names``, ``polymer``, ``altlocs`` and ``starts`` (the run's first atom) have one entry
    per run; ``atoms`` (0 to 3: N, CA, C, O), ``points`` (n, 3) in Angstrom and ``occupancies`` one per atom.
    ``polymer`` tells that the file itself calls the residue part of a chain (ATOM record, label_seq_id); where it is
    False, a residue is kept only if it is bonded to a neighbour or stands inside a chain.
    """

    keys: list[Key] = field(default_factory=list)
    residue_names: list[str] = field(default_factory=list)
    polymer: list[bool] = field(default_factory=list)
    altlocs: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    atoms: NDArray[np.integer] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    points: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    occupancies: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    #: Parent residue names as the file states them (MODRES and the like).
    parents: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)

    def add_run(self, key: Key, residue_name: str, polymer: bool, altloc: str, start: int) -> None:
        self.keys.append(key)
        self.residue_names.append(residue_name)
        self.polymer.append(polymer)
        self.altlocs.append(altloc)
        self.starts.append(start)


def too_many(source: str, line: int | None = None) -> StructureError:
    """The error for a file with more than `MAX_ATOMS` backbone atoms."""
    return malformed(source, f"more than {MAX_ATOMS:,} backbone atoms", line)


def parse_point(x: object, y: object, z: object, source: str, line: int | None) -> Point:
    """Three numbers, finite and of a sane size, or the error that says which is not."""
    values = []
    for axis, raw in zip("xyz", (x, y, z), strict=True):
        text = (raw.decode("latin-1") if isinstance(raw, bytes) else str(raw)).strip()
        shown = printable(text)
        try:
            value = float(text)
        except ValueError:
            value = None
        # Python would also read 1_000 and the digits of other scripts.
        if value is None or "_" in text or not text.isascii():
            raise malformed(source, f"{axis} coordinate {shown!r} is not a number", line)
        if not math.isfinite(value):
            raise malformed(source, f"{axis} coordinate {shown!r} is not finite", line)
        if abs(value) >= MAX_COORDINATE:
            raise malformed(source, f"{axis} coordinate {shown} is beyond {MAX_COORDINATE:,.0f} A", line)
        values.append(value)
    return values[0], values[1], values[2]


def _choose(rows: AtomRows, spans: list[tuple[int, int, int]]) -> tuple[str, list[Point | None], int]:
    """Name and atoms of the conformer with the highest mean occupancy, the first in the file on ties.

    ``spans`` are the runs of one residue, each with its first atom and its end. Atoms without altloc belong to every
    conformer. An atom that the chosen conformer lacks is taken from another one of the same residue type. The third
    value is how many atoms were there twice; the first one stays.
    """
    conformers: dict[str, tuple[str, list[Point | None], list[float]]] = {}
    duplicates = 0
    for run, start, end in spans:
        conformer = conformers.setdefault(rows.altlocs[run], (rows.residue_names[run], [None] * 4, []))
        for i in range(start, end):
            atom = int(rows.atoms[i])
            if conformer[1][atom] is None:
                conformer[1][atom] = tuple(rows.points[i].tolist())
                conformer[2].append(float(rows.occupancies[i]))
            else:
                duplicates += 1
    # max returns the first of equals.
    best = max((c for altloc, c in conformers.items() if altloc), key=lambda c: sum(c[2]) / len(c[2]))
    name, points = best[0], list(best[1])
    others = [conformers[""]] if "" in conformers else []
    others += [c for c in conformers.values() if c[0] == name]
    for other in others:
        points = [mine or theirs for mine, theirs in zip(points, other[1], strict=True)]
    return name, points, duplicates


def _group(rows: AtomRows) -> tuple[dict[Key, tuple[str, bool]], NDArray[np.float64], int]:
    """Residues (key -> name, polymer) by first appearance, their atoms (R, 4, 3), and the number of duplicates."""
    owners: dict[Key, int] = {}
    owner = np.array([owners.setdefault(key, len(owners)) for key in rows.keys], dtype=np.int64)
    residues: dict[Key, tuple[str, bool]] = {}
    mixed: set[Key] = set()
    first_altloc: dict[Key, str] = {}
    for key, name, polymer, altloc in zip(rows.keys, rows.residue_names, rows.polymer, rows.altlocs, strict=True):
        if key not in residues:
            residues[key] = (name, polymer)
            first_altloc[key] = altloc
        elif altloc != first_altloc[key]:
            mixed.add(key)
    bounds = [*rows.starts, len(rows.atoms)]
    site = 4 * np.repeat(owner, np.diff(bounds)) + rows.atoms
    coords = np.full((len(residues), 4, 3), math.nan)
    # Backwards, so that of an atom that is there twice the first one stays.
    coords.reshape(-1, 3)[site[::-1]] = rows.points[::-1]
    counts = np.bincount(site, minlength=4 * len(residues)).reshape(-1, 4)
    extra = np.maximum(counts - 1, 0).sum(axis=1)
    spans: dict[Key, list[tuple[int, int, int]]] = {key: [] for key in mixed}
    if mixed:
        for run, key in enumerate(rows.keys):
            if key in mixed:
                spans[key].append((run, bounds[run], bounds[run + 1]))
    missing = (math.nan,) * 3
    for key, of_key in spans.items():
        name, points, extra[owners[key]] = _choose(rows, of_key)
        residues[key] = (name, residues[key][1])
        coords[owners[key]] = [point or missing for point in points]
    return residues, coords, int(extra.sum())


def assemble(rows: AtomRows, source: str, name: str, chain: str | None) -> Backbone:
    """Residues with a CA atom, in file order.

    Raises
    ------
    StructureError
        If there is no protein residue, or none in ``chain``.
    """
    residues, coords, duplicates = _group(rows)
    parents = rows.parents
    keys: list[Key] = []
    letters: list[str] = []
    certain: list[bool] = []
    known: list[bool] = []
    mirrored: list[bool] = []
    with_ca = np.isfinite(coords[:, 1, 0])
    present = with_ca.tolist()
    without_ca = 0
    for i, (key, (residue_name, polymer)) in enumerate(residues.items()):
        letter = LETTERS.get(residue_name) or LETTERS.get(parents.get(residue_name, ""))
        # An atom CA in a residue CA is calcium.
        if residue_name == "CA":
            with_ca[i] = False
        elif not present[i]:
            without_ca += letter is not None and polymer
        else:
            keys.append(key)
            letters.append(letter or "X")
            certain.append(polymer)
            known.append(letter is not None)
            mirrored.append(residue_name in D_AMINO_ACIDS)
    coords = coords[with_ca]
    keep = _protein(coords, keys, certain, known)
    chains = list(dict.fromkeys(key[1] for key, kept in zip(keys, keep, strict=True) if kept))
    if not chains:
        raise malformed(source, "no protein residue with a CA atom")
    if chain is not None:
        if chain not in chains:
            there = ", ".join(repr(printable(c)) for c in chains[:20]) + (", ..." if len(chains) > 20 else "")
            raise malformed(source, f"no protein chain {printable(chain)!r}; there are {there}")
        keep = [kept and key[1] == chain for key, kept in zip(keys, keep, strict=True)]
    rowsel = [i for i, kept in enumerate(keep) if kept]
    metadata: dict[str, object] = dict(rows.metadata)
    d_amino_acids = sum(mirrored[i] for i in rowsel)
    for what, count in (
        ("residues_without_ca", without_ca),
        ("duplicate_atoms", duplicates),
        ("d_amino_acids", d_amino_acids),
    ):
        if count:
            metadata[what] = count
    return Backbone(
        coords=coords[rowsel].astype(np.float32),
        sequence="".join(letters[i] for i in rowsel),
        chain_ids=tuple(keys[i][1] for i in rowsel),
        residue_numbers=np.array([keys[i][2] for i in rowsel], dtype=np.int64),
        insertion_codes=tuple(keys[i][3] for i in rowsel),
        name=name,
        metadata=metadata,
    )


def _protein(coords: np.ndarray, keys: list[Key], certain: list[bool], known: list[bool]) -> list[bool]:
    """Which residues belong to a protein chain.

    ATOM records do. A hetero group does if it has N, CA and C and is bonded through them to its neighbour in the
    chain, or is a known amino acid that stands before an ATOM residue of the same chain (a modified residue between
    two gaps). Free amino acids and other ligands do neither.
    """
    keep = list(certain)
    if all(certain):
        return keep
    full = np.isfinite(coords[:, :3]).all(axis=(1, 2))
    same = [keys[i][:2] == keys[i + 1][:2] for i in range(len(keys) - 1)]
    bonded = (np.linalg.norm(coords[:-1, 2] - coords[1:, 0], axis=-1) <= MAX_BOND) & np.array(same, dtype=bool)
    open_chains: set[tuple[int, str]] = set()
    for i in range(len(keys) - 1, -1, -1):
        chain = keys[i][:2]
        if certain[i]:
            open_chains.add(chain)
        elif full[i]:
            before = i > 0 and bool(bonded[i - 1])
            after = i < len(keys) - 1 and bool(bonded[i])
            keep[i] = before or after or (known[i] and chain in open_chains)
    return keep


def letters_of(names: Mapping[str, list[str]], parents: Mapping[str, str]) -> dict[str, str]:
    """One-letter sequences of the chains of amino acids among ``names`` (chain -> residue names)."""
    sequences = {}
    for chain, residue_names in names.items():
        letters = [LETTERS.get(n) or LETTERS.get(parents.get(n, "")) for n in residue_names]
        if sum(letter is not None for letter in letters) > len(letters) / 2:
            sequences[chain] = "".join(letter or "X" for letter in letters)
    return sequences
