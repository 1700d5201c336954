"""Residues in file order to chains: where one ends, what it is called, how its residues are numbered."""

from __future__ import annotations

import itertools
import string
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protgm.structure.bonds import are_bonded, bonds
from protgm.structure.runs import Runs, whole_number

__all__ = ["Chain", "chains_of"]

#: Residues of one number that a residue listed apart from its chain is tried at.
_TRIES = 3


@dataclass
class Chain:
    """A chain: its author's name, its own, and of each residue the index, number and insertion code.

    ``renumbered`` says that the author's numbers repeat, so that the residues are numbered anew.
    """

    author: str
    name: str
    residues: list[int]
    numbers: list[int]
    codes: list[str]
    renumbered: bool


def chains_of(runs: Runs, coords: NDArray[np.float64], taken: frozenset[str]) -> list[Chain]:
    """Protein residues by chain, in the order in which the chains begin.

    Residues of one name are one chain, in however many stretches they come. A chain ends, and another of the same name
    begins, where a number is used again by a residue that is not bonded to the one before: at the last TER record,
    change of segid or label_asym_id, or step back in the numbers. Where the name is blank, a TER record, another segid
    or label_asym_id alone ends it. Nothing ends a chain at a place where it is bonded.

    Parameters
    ----------
    runs : Runs, length R
    coords : ndarray, shape (R, 4, 3)
        N, CA, C, O in Angstrom.
    taken : frozenset of str
        Names that new ones must not be.
    """
    by_name: dict[str, list[int]] = defaultdict(list)
    end = 0
    for name, stretch in itertools.groupby(runs.chain):
        start, end = end, end + len([*stretch])
        by_name[name] += range(start, end)
    names = _names(taken | by_name.keys())
    chains = []
    for author, listed in by_name.items():
        molecules = _molecules(runs, coords, _in_place(runs, coords, listed))
        for k, residues in enumerate(molecules):
            keeps = len(molecules) == 1 or (k == 0 and author != "")
            numbers, codes, renumbered = _numbers(runs, residues)
            chains.append(Chain(author, author if keeps else next(names), residues, numbers, codes, renumbered))
    return sorted(chains, key=lambda chain: min(chain.residues))


def _names(taken: frozenset[str]) -> Iterator[str]:
    """A, B, ... Z, a, ... z, 0, ... 9, AA, AB, ... without those that are taken."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits
    for length in itertools.count(1):
        yield from (name for name in map("".join, itertools.product(letters, repeat=length)) if name not in taken)


def _in_place(runs: Runs, coords: NDArray[np.float64], listed: list[int]) -> list[int]:
    """The residues of one name along the chain: modified ones that are listed behind its TER at their place in it."""
    number, block, polymer = runs.number, runs.block, runs.polymer
    if all(map(polymer.__getitem__, listed)):
        return listed
    follows = dict(zip(listed, bonds(coords[listed]).tolist(), strict=False))
    before: dict[int, int] = {}
    behind: dict[int, int] = {}
    by_number: dict[int | None, list[int]] = defaultdict(list)
    order = sorted({found for i in listed if polymer[i] and (found := number[i]) is not None})
    last = -1
    for previous, i in zip([-1, *listed], listed, strict=False):
        place, at = None, number[i]
        attached = last >= 0 and previous == last and follows[last]
        apart = last >= 0 and block[i] != block[last] and not polymer[i] and not attached
        if apart and at is not None:
            place = _place(at, coords, i, by_number, before)
            if place is None and (k := bisect_left(order, at)) and order[-1] > at:
                place = by_number[order[k - 1]][-1]
        if place is None:
            place, last = last, i
        _insert(i, place, before, behind)
        by_number[at].append(i)
    first = next(i for i in listed if before[i] == -1)
    ordered = [first]
    while (following := behind.get(ordered[-1], -1)) != -1:
        ordered.append(following)
    return ordered


def _insert(i: int, place: int, before: dict[int, int], behind: dict[int, int]) -> None:
    """Put a residue behind another one, -1 for the beginning, in a list of neighbours."""
    following = behind.get(place, -1)
    before[i], behind[i], behind[place] = place, following, i
    if following != -1:
        before[following] = i


def _place(
    number: int,
    coords: NDArray[np.float64],
    i: int,
    by_number: dict[int | None, list[int]],
    before: dict[int, int],
) -> int | None:
    """What residue ``i``, of a number, follows by its bonds: -1 if it is the first; None if it is bonded to none."""
    for j in (j for step in (1, 0) for j in by_number.get(number - step, [])[-_TRIES:]):
        if are_bonded(coords[j], coords[i]):
            return j
    for j in (j for step in (1, 0) for j in by_number.get(number + step, [])[:_TRIES]):
        if are_bonded(coords[i], coords[j]):
            return before[j]
    return None


def _molecules(every: Runs, coords: NDArray[np.float64], residues: list[int]) -> list[list[int]]:
    """The residues of one name, by chain."""
    # The usual case, in which nobody need look at the atoms.
    number, code, block, segment = (
        [*map(column.__getitem__, residues)] for column in (every.number, every.code, every.block, every.segment)
    )
    if len(set(block)) == len(set(segment)) == 1 and len(set(zip(number, code, strict=True))) == len(residues):
        return [residues]
    runs = [*every.at(residues)]
    joined = [False, *bonds(coords[residues]).tolist()]
    chains: list[list[int]] = []
    start, restart = 0, None
    sites: dict[tuple[int | None, str], int] = {}
    for k, run in enumerate(runs):
        last = runs[k - 1]
        # A file that numbers its polymers says itself what is one.
        one = joined[k] or (run.block == last.block and run.position != "" and last.position != "")
        if k > start and not one:
            ends = run.block != last.block or run.segment != last.segment
            if ends and run.chain == "":
                chains.append(residues[start:k])
                start, restart = k, None
            elif ends or (run.number or 0) < (last.number or 0):
                restart = k
        site = (run.number, run.code)
        if sites.get(site, -1) >= start and (restart is not None or not one):
            cut = k if restart is None or sites[site] >= restart else restart
            if cut != start:
                chains.append(residues[start:cut])
                start, restart = cut, None
        sites[site] = k
    chains.append(residues[start:])
    return chains


def _numbers(runs: Runs, residues: list[int]) -> tuple[list[int], list[str], bool]:
    """Numbers and insertion codes of a chain: the author's, or, where these repeat, label_seq_id or counted from 1."""
    numbers, codes = [runs.number[i] or 0 for i in residues], [runs.code[i] for i in residues]
    if len(set(zip(numbers, codes, strict=True))) == len(residues):
        return numbers, codes, False
    positions = [whole_number(runs.position[i]) for i in residues]
    if None in positions or len(set(positions)) < len(positions):
        positions = list(range(1, len(residues) + 1))
    return [position or 0 for position in positions], [""] * len(residues), True
