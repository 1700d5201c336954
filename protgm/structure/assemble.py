"""From atoms in file order to a `Backbone`: residues, alternate locations, what counts as protein."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from protgm.structure.backbone import Backbone
from protgm.structure.errors import malformed, printable
from protgm.structure.residues import LETTERS

__all__ = ["MAX_BOND", "MAX_COORDINATE", "AtomRows", "assemble", "parse_point"]

#: A carbonyl C and the next N further apart than this are not bonded, Angstrom.
MAX_BOND = 2.0

#: Coordinates beyond this are nonsense, and float32 could not hold them to 0.01 A.
MAX_COORDINATE = 1e5

Point = tuple[float, float, float]
#: Segment (counts TER records), chain, residue number, insertion code.
Key = tuple[int, str, int, str]


@dataclass
class AtomRows:
    """The backbone atoms of one model, one entry per atom in every list.

    ``polymer`` tells that the file itself calls the residue part of a chain (ATOM record, label_seq_id); where it is
    False, a residue is kept only if it is bonded to a neighbour or stands inside a chain.
    """

    keys: list[Key] = field(default_factory=list)
    residue_names: list[str] = field(default_factory=list)
    polymer: list[bool] = field(default_factory=list)
    altlocs: list[str] = field(default_factory=list)
    atoms: list[int] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    occupancies: list[float] = field(default_factory=list)
    #: Parent residue names as the file states them (MODRES and the like).
    parents: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)


def parse_point(x: bytes, y: bytes, z: bytes, source: str, line: int | None) -> Point:
    """Three numbers, finite and of a sane size, or the error that says which is not."""
    for axis, text in zip("xyz", (x, y, z), strict=True):
        shown = printable(text.decode("latin-1").strip()) if isinstance(text, bytes) else printable(text)
        try:
            value = float(text)
        except ValueError:
            raise malformed(source, f"{axis} coordinate {shown!r} is not a number", line) from None
        if not math.isfinite(value):
            raise malformed(source, f"{axis} coordinate {shown!r} is not finite", line)
        if abs(value) >= MAX_COORDINATE:
            raise malformed(source, f"{axis} coordinate {shown} is beyond {MAX_COORDINATE:,.0f} A", line)
    return float(x), float(y), float(z)


class _Residue:
    """Conformers of one residue: altloc -> [residue name, points, occupancy sum, atoms]."""

    __slots__ = ("conformers", "polymer")

    def __init__(self, polymer: bool) -> None:
        self.polymer = polymer
        self.conformers: dict[str, tuple[str, list[Point | None], list[float]]] = {}

    def choose(self) -> tuple[str, list[Point | None]]:
        """Name and atoms of the conformer with the highest mean occupancy, the first in the file on ties.

        Atoms without altloc belong to every conformer. An atom that the chosen conformer lacks is taken from another
        one of the same residue type.
        """
        conformers = self.conformers
        if len(conformers) == 1:
            ((name, points, _),) = conformers.values()
            return name, points
        best = max(
            (c for altloc, c in conformers.items() if altloc), key=lambda c: sum(c[2]) / len(c[2])
        )  # max returns the first of equals
        name, points = best[0], list(best[1])
        others = [conformers[""]] if "" in conformers else []
        others += [c for c in conformers.values() if c[0] == name]
        for other in others:
            points = [mine or theirs for mine, theirs in zip(points, other[1], strict=True)]
        return name, points


def _group(rows: AtomRows) -> tuple[dict[Key, _Residue], int]:
    """Residues in order of first appearance, and how many atoms were there twice (the first one stays)."""
    residues: dict[Key, _Residue] = {}
    duplicates = 0
    for key, name, polymer, altloc, atom, point, occupancy in zip(
        rows.keys,
        rows.residue_names,
        rows.polymer,
        rows.altlocs,
        rows.atoms,
        rows.points,
        rows.occupancies,
        strict=True,
    ):
        residue = residues.get(key)
        if residue is None:
            residue = residues[key] = _Residue(polymer)
        conformer = residue.conformers.get(altloc)
        if conformer is None:
            conformer = residue.conformers[altloc] = (name, [None] * 4, [])
        if conformer[1][atom] is None:
            conformer[1][atom] = point
            conformer[2].append(occupancy)
        else:
            duplicates += 1
    return residues, duplicates


def assemble(rows: AtomRows, source: str, name: str, chain: str | None) -> Backbone:
    """Residues with a CA atom, in file order.

    Raises
    ------
    StructureError
        If there is no protein residue, or none in ``chain``.
    """
    residues, duplicates = _group(rows)
    parents = rows.parents
    keys: list[Key] = []
    letters: list[str] = []
    certain: list[bool] = []
    known: list[bool] = []
    points: list[list[Point | None]] = []
    without_ca = 0
    for key, residue in residues.items():
        residue_name, atoms = residue.choose()
        letter = LETTERS.get(residue_name) or LETTERS.get(parents.get(residue_name, ""))
        if atoms[1] is None:
            without_ca += letter is not None and residue.polymer
            continue
        # An atom CA in a residue CA is calcium.
        if residue_name == "CA":
            continue
        keys.append(key)
        letters.append(letter or "X")
        certain.append(residue.polymer)
        known.append(letter is not None)
        points.append(atoms)
    missing = (math.nan,) * 3
    coords = np.array([[p or missing for p in atoms] for atoms in points], dtype=np.float64).reshape(-1, 4, 3)
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
    for what, count in (("residues_without_ca", without_ca), ("duplicate_atoms", duplicates)):
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
