"""A chain in space: clashes, contacts and size as metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from protgm.metrics.metric import At, metric
from protgm.metrics.subject import Subject
from protgm.metrics.torsions import norm
from protgm.structure.size import globular_radius, radius_of_gyration

__all__ = ["CA_CLASH", "CONTACT", "RADIUS", "overlaps"]

#: Closest approach (Angstrom) of CA atoms three and more residues apart before they count as clashing.
CA_CLASH = 3.5
#: Closest approach of non-bonded N, CA, C and O: sums of Bondi radii (1.55, 1.70, 1.52) less 0.6 A,
#: which lets hydrogen bonds pass.
RADIUS = np.array([1.55, 1.70, 1.70, 1.52], dtype=np.float32) - 0.3
#: CA-CA distance (Angstrom) of a contact, in contact order.
CONTACT = 8.0


def _near(points: NDArray[np.float64], reach: float) -> NDArray[np.int64]:
    """Pairs of rows closer than ``reach``, shape (P, 2), first index below second."""
    if len(points) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    pairs: NDArray[np.int64] = cKDTree(points).query_pairs(reach, output_type="ndarray")
    return pairs


@dataclass(frozen=True, eq=False)
class _Contacts:
    """Pairs of residues three and more apart whose CA are within `CONTACT`: both residues, and the distance."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.float64]
    judged: NDArray[np.bool_]  #: with a generated residue


def _contacts(s: Subject) -> _Contacts:
    def find() -> _Contacts:
        present = np.flatnonzero(np.isfinite(s.coords[:, 1]).all(axis=-1))
        ca = s.coords[present, 1]
        pairs = _near(ca, CONTACT)
        first, second = present[pairs[:, 0]], present[pairs[:, 1]]
        apart = (np.abs(first - second) >= 3) | (s.chain[first] != s.chain[second])
        distance = norm(ca[pairs[:, 0]] - ca[pairs[:, 1]])
        first, second, distance = first[apart], second[apart], distance[apart]
        return _Contacts(first, second, distance, s.made[first] | s.made[second])

    return s.once("contacts", find)


def overlaps(s: Subject) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Residues of overlapping backbone atoms two and more residues apart, a pair an overlap."""

    def find() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        atoms = s.coords.reshape(-1, 3)
        there = np.flatnonzero(np.isfinite(atoms).all(axis=-1))
        pairs = _near(atoms[there], 2 * float(RADIUS.max()))
        i, j = there[pairs[:, 0]], there[pairs[:, 1]]
        left, right = i // 4, j // 4
        free = (np.abs(left - right) >= 2) | (s.chain[left] != s.chain[right])
        hits = free & (norm(atoms[i] - atoms[j]) < RADIUS[i % 4] + RADIUS[j % 4])
        return left[hits], right[hits]

    return s.once("overlaps", find)


def _judged(s: Subject) -> int:
    """Generated residues with a CA."""
    return int((s.made & np.isfinite(s.coords[:, 1]).all(axis=-1)).sum())


def _a_residue(hits: NDArray[np.int64], count: int) -> At:
    """Hits, named by residue, over a number of residues; and the first of them."""
    return At(len(hits) / count if count else math.nan, int(hits.min()) if len(hits) else None)


def _placed(s: Subject) -> NDArray[np.int64]:
    """Residues with a CA of the chains that hold generated ones."""
    return np.flatnonzero(s.own & np.isfinite(s.coords[:, 1]).all(axis=-1))


@metric("ca_clashes", "CA pairs closer than 3.5 A per residue", good="low", at_most=0.03, column=12)
def _(s: Subject) -> At:
    c, count = _contacts(s), _judged(s)
    return _a_residue(c.first[c.judged & (c.distance < CA_CLASH)], count)


@metric("clashes", "overlapping backbone atoms per residue", good="low", at_most=0.12, title="Backbone clashes")
def _(s: Subject) -> At:
    left, right = overlaps(s)
    return _a_residue(left[s.made[left] | s.made[right]], _judged(s))


@metric("ca_closest", "distance of the closest CA pair, 8 at most", unit="A", good="native", at_least=3.0)
def _(s: Subject) -> float:
    c = _contacts(s)
    if not _judged(s):
        return math.nan
    return float(c.distance[c.judged].min()) if c.judged.any() else CONTACT


@metric("rg", "radius of gyration", unit="A", good="native")
def _(s: Subject) -> float:
    placed = _placed(s)
    return radius_of_gyration(s.coords[placed, 1]) if len(placed) else math.nan


@metric(
    "rg_ratio", "radius of gyration over 2.2 L^0.38 A",
    good="native", at_least=0.75, at_most=3.0, column=11, tile="Rg over natives' law",
)  # fmt: skip
def _(s: Subject) -> float:
    placed = _placed(s)
    return radius_of_gyration(s.coords[placed, 1]) / globular_radius(len(placed)) if len(placed) else math.nan


@metric("end_to_end", "distance between the ends of the chain", unit="A", good="native")
def _(s: Subject) -> float:
    placed = _placed(s)
    ends = [placed[s.chain[placed] == k][[0, -1]] for k in np.unique(s.chain[placed])]
    return float(np.mean([norm(s.coords[b, 1] - s.coords[a, 1]) for a, b in ends])) if ends else math.nan


@metric(
    "contact_order", "mean sequence separation of contacts below 8 A, over the length",
    good="native", title="Contact order",
)  # fmt: skip
def _(s: Subject) -> float:
    c, placed = _contacts(s), _placed(s)
    if not len(placed):
        return math.nan
    inside = s.own[c.first] & (s.chain[c.first] == s.chain[c.second])
    separation = np.abs(c.first - c.second)[inside]
    return float(separation.mean()) / len(placed) if separation.size else 0.0
