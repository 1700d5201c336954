"""From atoms in file order to a `Backbone`: what counts as protein, and what is said of the rest."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from protgm.structure.atoms import AtomRows, Header
from protgm.structure.backbone import Backbone
from protgm.structure.bonds import are_bonded, bonds
from protgm.structure.chains import chains_of
from protgm.structure.conformers import Residues, residues_of
from protgm.structure.errors import malformed
from protgm.structure.residues import AMINO_ACIDS, D_AMINO_ACIDS, THREE_LETTER, canonical, letter_of
from protgm.text import printable

__all__ = ["LEFT_OUT", "assemble", "left_out", "letters_of"]

#: What a file may hold that is not in its `Backbone`: keys of the metadata, with words for one of it.
LEFT_OUT: Mapping[str, str] = {
    "residues_without_ca": "residue without CA",
    "duplicate_atoms": "duplicate atom",
    "free_amino_acids": "amino acid that is bonded to no chain",
}

_STANDARD = frozenset(THREE_LETTER[letter] for letter in AMINO_ACIDS)


def left_out(metadata: Mapping[str, object]) -> str:
    """What a reader left out of a structure, as in ``2 residue(s) without CA``; empty if nothing."""
    counts = [(metadata.get(key), words) for key, words in LEFT_OUT.items()]
    return "; ".join(f"{count} x {words}" for count, words in counts if count)


def assemble(rows: AtomRows, header: Header, source: str, name: str, chain: str | None) -> Backbone:
    """Residues with a CA atom, chain by chain.

    Raises
    ------
    StructureError
        If there is no protein residue, or none in ``chain``, or what is one is malformed.
    """
    residues = residues_of(rows)
    of_comp = {comp: letter_of(comp, header.parents) for comp in set(residues.comps)}
    unknown = {comp for comp, letter in of_comp.items() if letter is None}
    known = ~np.fromiter(map(unknown.__contains__, residues.comps), bool, len(residues.comps))
    polymer = np.array(residues.runs.polymer, dtype=bool)
    _check(rows, residues, np.flatnonzero(known))
    with_ca = np.isfinite(residues.coords[:, 1]).all(axis=-1)
    candidates = np.flatnonzero(with_ca)
    keep = _protein(residues, candidates, known[candidates], polymer[candidates])
    kept = candidates[keep]
    _check(rows, residues, kept)
    if not len(kept):
        raise malformed(source, "no protein residue with a CA atom")
    chains = chains_of(residues.runs.subset(kept), residues.coords[kept], frozenset(rows.runs.chain))
    if chain is not None:
        there = [c.name for c in chains]
        if chain not in there:
            shown = ", ".join(repr(printable(c)) for c in there[:20]) + (", ..." if len(there) > 20 else "")
            raise malformed(source, f"no protein chain {printable(chain)!r}; there are {shown}")
        chains = [c for c in chains if c.name == chain]
    order = kept[[i for c in chains for i in c.residues]]
    counts = {
        "residues_without_ca": int((known & polymer & ~with_ca).sum()),
        "duplicate_atoms": residues.duplicates,
        "free_amino_acids": int((known[candidates] & ~keep).sum()),
        "d_amino_acids": _mirrored(residues.comps, order),
        "renamed_chains": {c.name: c.author for c in chains if c.name != c.author},
        "renumbered_chains": [c.name for c in chains if c.renumbered],
    }
    letters = {comp: letter or "X" for comp, letter in of_comp.items()}
    b_factors = residues.b_factors[order].astype(np.float32)
    stated = bool(np.isfinite(b_factors).any())
    return Backbone(
        coords=residues.coords[order].astype(np.float32),
        sequence="".join(map(letters.__getitem__, map(residues.comps.__getitem__, order.tolist()))),
        chain_ids=tuple(itertools.chain.from_iterable(itertools.repeat(c.name, len(c.residues)) for c in chains)),
        residue_numbers=np.array([*itertools.chain.from_iterable(c.numbers for c in chains)], dtype=np.int64),
        insertion_codes=tuple(itertools.chain.from_iterable(c.codes for c in chains)),
        name=name,
        metadata=header.metadata | {key: count for key, count in counts.items() if count},
        confidence=np.float32(0.01) * b_factors if header.confident and stated else None,
        b_factors=b_factors if stated else None,
    )


def _mirrored(comps: list[str], which: NDArray[np.integer]) -> int:
    """How many of these residues are D-amino acids."""
    mirrored = {comp for comp in set(comps) if canonical(comp) in D_AMINO_ACIDS}
    return sum(comps[i] in mirrored for i in which.tolist()) if mirrored else 0


def _check(rows: AtomRows, residues: Residues, which: NDArray[np.integer]) -> None:
    """Refuse what is wrong with any of these residues; the first one in the file is the error."""
    if not rows.wrong.any() and not residues.problems:
        return
    problems = residues.problems or [None] * len(residues.comps)
    for i, wrong in zip(which.tolist(), residues.wrong[which].tolist(), strict=True):
        if (problem := problems[i]) is not None:
            raise rows.error(*problem)
        if wrong >= 0:
            raise rows.wrong_point(wrong)


def _protein(
    residues: Residues, which: NDArray[np.integer], known: NDArray[np.bool_], polymer: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of these residues, all with a CA, belong to a protein chain.

    Amino acids that the file calls part of a chain do. Anything else does if it has N, CA and C and is bonded through
    them to its neighbour in the chain; a known amino acid also if it stands before others of its chain, or if it is a
    modified one and nothing else has its number (a modified residue between two gaps). Free amino acids and other
    ligands do neither.
    """
    keep = known & polymer
    if keep.all():
        return keep
    coords, names = residues.coords[which], [residues.comps[i] for i in which.tolist()]
    runs = residues.runs.subset(which)
    chains, found = runs.chain, runs.number
    whole: NDArray[np.bool_] = np.asarray(np.isfinite(coords[:, (0, 2)]).all(axis=(1, 2)))
    linked = bonds(coords, np.array(chains, dtype=object))
    # Where a model has nothing but CA, that is all there is to judge by.
    sparse = ~whole & polymer
    before, behind = np.zeros_like(whole), np.zeros_like(whole)
    before[1:] = linked & (whole[1:] | (sparse[1:] & ~whole[:-1]))
    behind[:-1] = linked & (whole[:-1] | (sparse[:-1] & ~whole[1:]))
    attached = ~keep & (before | behind)
    rest = np.flatnonzero(whole & ~keep & ~attached)
    numbered: dict[tuple[str, int | None], int] = {}
    span: dict[str, tuple[int, int]] = {}
    for i in np.flatnonzero(keep).tolist() if len(rest) else ():
        chain, number = chains[i], found[i]
        numbered[chain, number] = i
        low, high = span.get(chain, (number or 0, number or 0))
        span[chain] = min(low, number or 0), max(high, number or 0)
    # The last place at which a chain is seen to go on.
    ends = {(chains[i], runs.block[i]): i for i in np.flatnonzero(keep).tolist()} if len(rest) else {}
    for i in rest.tolist():
        chain, number = chains[i], found[i]
        if number is None:
            continue
        previous, following = (numbered.get((chain, number + step), i) for step in (-1, 1))
        low, high = span.get(chain, (1, 0))
        keep[i] = bool(
            (known[i] and ends.get((chain, runs.block[i]), -1) > i)
            or (previous != i and are_bonded(coords[previous], coords[i]))
            or (following != i and are_bonded(coords[i], coords[following]))
            or (
                known[i]
                and canonical(names[i]) not in _STANDARD
                and low < number < high
                and (chain, number) not in numbered
            )
        )
    return keep | attached


def letters_of(names: Mapping[str, list[str]], parents: Mapping[str, str]) -> dict[str, str]:
    """One-letter sequences of the chains of amino acids among ``names`` (chain -> residue names)."""
    known = {name: letter_of(name, parents) for name in {*itertools.chain.from_iterable(names.values())}}
    unknown = [name for name, letter in known.items() if letter is None]
    letters = {name: letter or "X" for name, letter in known.items()}
    return {
        chain: "".join(map(letters.__getitem__, residue_names))
        for chain, residue_names in names.items()
        if sum(map(residue_names.count, unknown)) < len(residue_names) / 2
    }
