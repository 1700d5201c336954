"""A chain in space: clashes, contacts and size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from protgm.metrics.torsions import norm
from protgm.structure.size import globular_radius, radius_of_gyration

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["CA_CLASH", "CONTACT", "packing"]

#: Closest approach (Angstrom) of CA atoms three and more residues apart before they count as clashing.
CA_CLASH = 3.5
# Closest approach of non-bonded N, C and O: sums of Bondi radii (1.55, 1.70, 1.52) less 0.6 A,
# which lets hydrogen bonds pass.
_RADIUS = np.array([1.55, 1.70, 1.70, 1.52], dtype=np.float32) - 0.3
#: CA-CA distance (Angstrom) of a contact, in contact order.
CONTACT = 8.0


def _pairs(points: NDArray[np.float64], reach: float) -> NDArray[np.int64]:
    """Pairs of rows closer than ``reach``, shape (P, 2), first index below second."""
    if len(points) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    return cKDTree(points).query_pairs(reach, output_type="ndarray")


def packing(backbone: Backbone, coords: NDArray[np.float64], where: dict[str, str]) -> dict[str, float | int]:
    """Figures of the chain in space: clashes, contacts, size."""
    chain = np.unique(np.asarray(backbone.chain_ids), return_inverse=True)[1]
    present = np.flatnonzero(np.isfinite(coords[:, 1]).all(axis=-1))
    length, ca = len(present), coords[present, 1]
    if not length:
        names = ("ca_clashes", "clashes", "ca_closest", "rg", "rg_ratio", "end_to_end", "contact_order")
        return dict.fromkeys(names, math.nan)
    pairs = _pairs(ca, CONTACT)
    first, second = present[pairs[:, 0]], present[pairs[:, 1]]
    apart = (np.abs(first - second) >= 3) | (chain[first] != chain[second])
    distance = norm(ca[pairs[:, 0]] - ca[pairs[:, 1]])
    near = apart & (distance < CA_CLASH)
    inside = apart & (chain[first] == chain[second])
    separation = np.abs(first - second)[inside]

    atoms = coords.reshape(-1, 3)
    there = np.flatnonzero(np.isfinite(atoms).all(axis=-1))
    pairs = _pairs(atoms[there], 2 * float(_RADIUS.max()))
    i, j = there[pairs[:, 0]], there[pairs[:, 1]]
    left, right = i // 4, j // 4
    free = (np.abs(left - right) >= 2) | (chain[left] != chain[right])
    overlap = free & (norm(atoms[i] - atoms[j]) < _RADIUS[i % 4] + _RADIUS[j % 4])
    for name, hits, residues in (("ca_clashes", near, first), ("clashes", overlap, left)):
        if hits.any():
            where[name] = backbone.label(int(residues[hits].min()))
    ends = [present[chain[present] == k][[0, -1]] for k in np.unique(chain[present])]
    rg = radius_of_gyration(ca)
    return {
        "ca_clashes": float(near.sum()) / length,
        "clashes": float(overlap.sum()) / length,
        "ca_closest": float(distance[apart].min()) if apart.any() else CONTACT,
        "rg": rg,
        "rg_ratio": rg / globular_radius(length),
        "end_to_end": float(np.mean([norm(coords[b, 1] - coords[a, 1]) for a, b in ends])),
        "contact_order": float(separation.mean()) / length if separation.size else 0.0,
    }
