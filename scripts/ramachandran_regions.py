"""The tables of `protgm.metrics.ramachandran` from a dataset's training natives.

python scripts/ramachandran_regions.py data=dataset [out=protgm/metrics/ramachandran.npz]

Without `out` nothing is written. The fresh tables are compared with those in the package: the share of natives'
residues that both put into the same region.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from _options import options

from protgm.data.natives import read_natives
from protgm.metrics.ramachandran import KINDS, Regions, estimate, kinds_of, regions
from protgm.metrics.torsions import torsions


def dihedrals(data: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phi and psi (degrees) of all training residues that have both, and their kinds."""
    columns: list[list[np.ndarray]] = [[], [], []]
    for native in read_natives(data, split="train"):
        angles, kind = torsions(native), kinds_of(native.sequence)
        known = np.isfinite(angles.phi) & np.isfinite(angles.psi) & (kind > 0)
        for column, values in zip(columns, (angles.phi, angles.psi, kind), strict=True):
            column.append(values[known])
    phi, psi, kind = (np.concatenate(column) for column in columns)
    return phi, psi, kind


def shares(tables: Regions, phi: np.ndarray, psi: np.ndarray, kind: np.ndarray) -> str:
    """Favoured, allowed and outlier residues."""
    grade = tables.classify(phi, psi, kind)
    return ", ".join(f"{name} {np.mean(grade == level):.4f}" for name, level in (("favoured", 2), ("outliers", 0)))


def main(arguments: Sequence[str]) -> None:
    """Estimate, compare and, if asked, write."""
    asked = options(arguments, {"data": "", "out": ""}, needed=["data"], words=__doc__)
    phi, psi, kind = dihedrals(asked["data"])
    fresh, shipped = estimate(phi, psi, kind), regions()
    print(f"{len(phi)} residues: { ({name: int((kind == k).sum()) for k, name in enumerate(KINDS) if k}) }")
    for name, tables in (("fresh", fresh), ("in the package", shipped)):
        print(f"{name}: {shares(tables, phi, psi, kind)}")
    same = np.mean(fresh.classify(phi, psi, kind) == shipped.classify(phi, psi, kind))
    print(f"in the same region by both: {same:.4f}")
    if asked["out"]:
        fresh.save(asked["out"])


if __name__ == "__main__":
    main(sys.argv[1:])
