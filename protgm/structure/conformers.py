"""From runs of atoms to residues: which runs are of one residue, and which of its conformers is read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protgm.structure.atoms import ATOM_CODES, AtomRows
from protgm.structure.runs import Runs

__all__ = ["Residues", "residues_of"]

#: Atoms of one name this close belong to two conformers of one residue, further apart to two residues, Angstrom:
#: neighbouring CAs are at least 2.7 A apart.
_ONE_PLACE = 2.0

#: CAs of two conformers of one residue are not further apart than this, Angstrom.
_ONE_RESIDUE = 8.0

#: A carbonyl O that is called otherwise is believed where it is this close to C, Angstrom.
_MAX_C_O = 1.6

#: Residues of one number that a run is compared with, the last ones: where all have one number, with all would be slow.
_LOOK_BACK = 3

#: What it takes to have a frame: N, CA and C.
_FRAME = frozenset({0, 1, 2})

#: Runs of one residue that are looked at: conformers go by the letters of the alphabet, four atoms each.
_MAX_RUNS = 200

_CODES = len(set(ATOM_CODES.values()))
#: Atom code -> index into the rows.
_Atoms = dict[int, int]


@dataclass
class Residues:
    """Residues in the order in which they begin in the file.

    ``runs`` has the first run of each (number and names), ``comps`` its residue name, ``coords`` (R, 4, 3) N, CA, C and
    O in Angstrom, NaN where missing, ``b_factors`` (R,) of CA. ``problems`` has an atom and what is wrong with its
    number or names, and is empty where nothing is; ``wrong`` (R,) the first atom whose coordinates cannot be read, -1
    if none. ``duplicates`` counts the atoms that were there more often than once and are left out; other conformers do
    not count.
    """

    runs: Runs
    comps: list[str]
    coords: NDArray[np.float64]
    b_factors: NDArray[np.float64]
    problems: list[tuple[int, str] | None]
    wrong: NDArray[np.int64]
    duplicates: int


class _Part(NamedTuple):
    """A run of a residue that has several; ``run`` is its number."""

    run: int
    altloc: str
    comp: str
    atoms: _Atoms


class _Site:
    """Runs that are taken for one residue.

    ``first`` has the first atom of each code that any of them has.
    """

    def __init__(self, part: _Part) -> None:
        self.parts: list[_Part] = []
        self.first: _Atoms = {}
        self._taken: set[tuple[str, int]] = set()
        self.add(part)

    def add(self, part: _Part) -> None:
        self.parts.append(part)
        self.first = part.atoms | self.first
        self._taken.update((part.altloc, code) for code in part.atoms)

    def may_hold(self, rows: AtomRows, part: _Part) -> bool:
        """Whether a run may be of this residue."""
        code = next((c for c in (1, 0, 2, 3) if c in self.first and c in part.atoms), None)
        if code is None:
            return True
        apart = math.dist(rows.points[self.first[code]].tolist(), rows.points[part.atoms[code]].tolist())
        twice = any((part.altloc, code) in self._taken for code in part.atoms)
        # What is not resolved is no reason to tell them apart.
        return not apart > (_ONE_PLACE if twice else _ONE_RESIDUE)


def residues_of(rows: AtomRows) -> Residues:
    """The residues in ``rows``.

    Consecutive runs of one number, or runs that continue an earlier one, are one residue as long as they do not have
    an atom twice. An atom that is there twice at one place is in two conformers, with a letter or without. At another
    place it begins a residue whose number is used again.

    Raises
    ------
    StructureError
        If it takes an occupancy to choose a conformer and the occupancy cannot be read.
    """
    runs, starts = _split(rows)
    ends = np.append(starts[1:], len(rows.atoms))
    run_of_atom = np.repeat(np.arange(len(runs)), ends - starts)
    # The run that each run's residue begins with. The usual case: a number, a run, a residue.
    owners = np.arange(len(runs))
    picked = np.full((len(runs), _CODES), -1, dtype=np.int64)
    # Backwards, so that of two names of O the first one stays.
    picked[run_of_atom[::-1], rows.atoms[::-1]] = np.arange(len(rows.atoms))[::-1]
    comps = [*runs.comp]
    duplicates = 0
    together = _of_one_number(runs)
    begin, end, code = (of.tolist() if together else [] for of in (starts, ends, rows.atoms))
    for of in together:
        parts = []
        for i in of:
            atoms: _Atoms = {}
            for atom in range(begin[i], end[i]):
                atoms.setdefault(code[atom], atom)
            parts.append(_Part(i, runs.altloc[i], comps[i], atoms))
        sites, dropped = _sites(rows, parts)
        for part in dropped:
            owners[part.run] = sites[0].parts[0].run
            duplicates += len(part.atoms)
        for site in sites:
            first = site.parts[0].run
            owners[[part.run for part in site.parts]] = first
            comps[first], chosen, left = _choose(rows, site)
            picked[first] = [chosen.get(code, -1) for code in range(_CODES)]
            duplicates += left
    begins = np.flatnonzero(owners == np.arange(len(runs)))
    coords, b_factors = _places(rows, picked[begins])
    # Of all that is wrong with a residue the first thing in the file.
    problems: dict[int, tuple[int, str]] = {}
    for i, problem in enumerate(runs.problem):
        if problem is not None:
            problems.setdefault(int(owners[i]), (int(starts[i]), problem))
    wrong = np.full(len(runs), -1)
    for atom in np.flatnonzero(rows.wrong)[::-1].tolist():
        wrong[owners[run_of_atom[atom]]] = atom
    return Residues(
        runs=runs.subset(begins),
        comps=comps if len(begins) == len(comps) else [comps[i] for i in begins.tolist()],
        coords=coords,
        b_factors=b_factors,
        problems=[problems.get(i) for i in begins.tolist()] if problems else [],
        wrong=wrong[begins],
        duplicates=duplicates,
    )


def _of_one_number(runs: Runs) -> list[list[int]]:
    """Runs that may be of one residue, where there is more than one."""
    if len(set(zip(runs.chain, runs.written, strict=True))) == len(runs):
        return []
    together: dict[tuple[object, ...], list[int]] = {}
    places = zip(runs.chain, runs.block, runs.position, runs.written, runs.code, strict=True)
    for i, place in enumerate(places):
        together.setdefault(place, []).append(i)
    return [of for of in together.values() if len(of) > 1]


def _split(rows: AtomRows) -> tuple[Runs, NDArray[np.int64]]:
    """The runs and their first atoms, cut before every atom that a run has already: there another residue begins."""
    lengths = np.diff(np.append(rows.starts, len(rows.atoms)))
    number = np.repeat(np.arange(len(lengths)), lengths)
    counts = np.bincount(number * _CODES + rows.atoms, minlength=_CODES * len(lengths)).reshape(-1, _CODES)
    repeating = np.flatnonzero((counts > 1).any(axis=1))
    if not len(repeating):
        return rows.runs, rows.starts
    cuts: dict[int, list[int]] = {}
    for i in repeating.tolist():
        start, seen = int(rows.starts[i]), set[int]()
        for atom, code in enumerate(rows.atoms[start : start + lengths[i]].tolist(), start):
            # Which of the two names of O comes second does not matter.
            if code in seen and code < 4:
                cuts.setdefault(i, []).append(atom)
                seen = set[int]()
            seen.add(code)
    of, starts = [], []
    for i, start in enumerate(rows.starts.tolist()):
        of_run = [start, *cuts.get(i, ())]
        of += [i] * len(of_run)
        starts += of_run
    return rows.runs.at(of), np.array(starts, dtype=np.int64)


def _sites(rows: AtomRows, parts: list[_Part]) -> tuple[list[_Site], list[_Part]]:
    """Runs of one number, by residue, and those that are no more than atoms which are there already."""
    sites: list[_Site] = []
    dropped: list[_Part] = []
    for part in parts:
        for site in sites[: -_LOOK_BACK - 1 : -1]:
            if site.may_hold(rows, part):
                if len(site.parts) < _MAX_RUNS:
                    site.add(part)
                else:
                    dropped.append(part)
                break
        else:
            whole = part.atoms.keys() >= _FRAME
            # A stray CA beside residues that have everything is none.
            alone = 1 in part.atoms and not any(site.first.keys() >= _FRAME for site in sites[-_LOOK_BACK:])
            if not sites or whole or alone:
                sites.append(_Site(part))
            else:
                dropped.append(part)
    return sites, dropped


def _choose(rows: AtomRows, site: _Site) -> tuple[str, _Atoms, int]:
    """Name and atoms of the conformer with the highest mean occupancy, the first in the file on ties.

    Atoms without a letter belong to every conformer, unless a conformer has them too: then they are one of their own,
    and what counts is the occupancy of those that both have. An atom that the chosen conformer lacks is taken from
    another one of the same residue type. The third value is how many atoms were there twice and are left out.
    """
    conformers: dict[tuple[str, int], tuple[str, _Atoms]] = {}
    times: Counter[tuple[str, int]] = Counter()
    for part in site.parts:
        copy = max(times[part.altloc, code] for code in part.atoms)
        conformers.setdefault((part.altloc, copy), (part.comp, {}))[1].update(part.atoms)
        times.update((part.altloc, code) for code in part.atoms)
    lettered = {code for (altloc, _), (_, atoms) in conformers.items() if altloc for code in atoms}
    best, best_score = None, -1.0
    for (altloc, copy), (comp, atoms) in conformers.items():
        of_all = not altloc and copy == 0 and not lettered & atoms.keys() and (altloc, 1) not in conformers
        if of_all and lettered:
            continue
        weighed = atoms.keys() if altloc or not lettered & atoms.keys() else lettered & atoms.keys()
        # With nothing to choose from it does not matter.
        score = sum(rows.occupancy(atoms[code]) for code in weighed) / len(weighed) if len(conformers) > 1 else 0.0
        if score > best_score:
            best, best_score = (comp, atoms), score
    assert best is not None
    name, chosen = best[0], dict(best[1])
    common = [conformers[key] for key in (("", 0),) if key in conformers and not lettered & conformers[key][1].keys()]
    for _, atoms in common + [other for other in conformers.values() if other[0] == name]:
        chosen = atoms | chosen
    left = sum(len(atoms) for (_, copy), (_, atoms) in conformers.items() if copy)
    return name, chosen, left


def _places(rows: AtomRows, picked: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates (R, 4, 3) and B factors of CA (R,) of the picked atoms, -1 for none."""
    points = np.concatenate((rows.points, np.full((1, 3), np.nan)))
    coords = points[picked[:, :4]]
    # O by another name, where there is none of its own.
    named = np.flatnonzero(picked[:, 4] >= 0)
    named = named[np.isnan(coords[named, 3]).any(-1)]
    if len(named):
        others = points[picked[named, 4]]
        with np.errstate(invalid="ignore"):
            near = np.linalg.norm(others - coords[named, 2], axis=-1) <= _MAX_C_O
        coords[named[near], 3] = others[near]
    return coords, np.append(rows.b_factors, np.nan)[picked[:, 1]]
