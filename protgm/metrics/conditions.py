"""What was asked and what came of it, as metrics: motifs, junctions, targets, hotspots and symmetry."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from protgm.metrics.geometry import share, worst
from protgm.metrics.metric import At, metric
from protgm.metrics.subject import Subject
from protgm.structure import ideal
from protgm.structure.superpose import superposed_rmsd

__all__ = ["APART", "TOUCH", "TOUCH_ATOMS"]

#: CB of residues that are in contact, and backbone atoms of such residues, lie within so many Angstrom.
TOUCH, TOUCH_ATOMS = 8.0, 5.0
#: CA of two chains closer than this clash, Angstrom.
APART = 3.6


@metric(
    "motif_rmsd", "largest RMSD of N, CA, C and O of a given body to its source",
    unit="A", good="low", at_most=0.05, column=20, tile="motif RMSD (A)",
)  # fmt: skip
def _(s: Subject) -> At | None:
    if s.given is None or not (motif := np.isin(s.given.parts, ("motif", "fixed"))).any():
        return None
    found = []
    for body in np.unique(s.given.bodies[motif]):
        rows = np.flatnonzero(motif & (s.given.bodies == body))
        atoms, source = s.coords[rows].reshape(-1, 3), s.given.source[rows].reshape(-1, 3)
        found.append(At(superposed_rmsd(atoms, source), int(rows[0])))
    return max(found, key=lambda one: -1.0 if math.isnan(one.value) else one.value)


# --- where given and generated residues meet --------------------------------------------------------------------------


def _junctions(s: Subject, of: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Those of links (first residues) that join a given and a generated residue; None where nothing is given."""
    if s.given is None or s.made.all():
        return None
    return np.asarray(s.made[of] != s.made[of + 1])


@metric(
    "junction_ok", f"share of C-N bonds between given and generated residues within 0.05 A of {ideal.C_N} A",
    unit="share", good="high", column=21, tile="sound junctions",
)  # fmt: skip
def _(s: Subject) -> float | None:
    met = _junctions(s, s.peptides.should)
    return None if met is None else share(s.peptides.c_n[met] <= 0.05, np.isfinite(s.peptides.c_n[met]))


@metric("junction_cn", "largest deviation of a C-N bond between given and generated residues", unit="A", good="low")
def _(s: Subject) -> At | None:
    p = s.peptides
    met = _junctions(s, p.should)
    return None if met is None else worst(p.c_n[met], p.should[met])


@metric(
    "junction_angle", "largest deviation of a bond angle at such a bond from Engh & Huber", unit="degrees", good="low"
)
def _(s: Subject) -> At | None:
    p = s.peptides
    met = _junctions(s, p.bonded)
    if met is None:
        return None
    off = np.abs(np.concatenate((p.ca_c_n[met] - ideal.CA_C_N, p.c_n_ca[met] - ideal.C_N_CA)))
    return worst(off, np.concatenate((p.bonded[met], p.bonded[met] + 1)))


# --- targets ----------------------------------------------------------------------------------------------------------


def _touching(s: Subject, ours: NDArray[np.bool_], theirs: NDArray[np.bool_], *, atoms: bool) -> NDArray[np.bool_]:
    """Which pairs of residues are in contact by CB, or, if ``atoms``, by any backbone atoms: (ours, theirs)."""
    cb = ideal.beta_carbons(s.coords)
    near: NDArray[np.bool_] = cdist(cb[ours], cb[theirs]) < TOUCH
    if atoms:
        close = cdist(s.coords[ours].reshape(-1, 3), s.coords[theirs].reshape(-1, 3)) < TOUCH_ATOMS
        near |= close.reshape(int(ours.sum()), 4, -1, 4).any(axis=(1, 3))
    return near


@metric(
    "hotspots_touched", "hotspots with CB of a generated residue within 8 A of theirs, or backbone atoms within 5 A",
    good="high", column=22, tile="hotspots touched",
)  # fmt: skip
def _(s: Subject) -> int | None:
    if s.given is None or not s.given.hotspots.any():
        return None
    return int(_touching(s, s.made, s.given.hotspots, atoms=True).any(axis=0).sum())


@metric("target_contacts", "pairs of a generated and a target residue with CB within 8 A", good="high", column=23)
def _(s: Subject) -> int | None:
    target = _target(s)
    return None if target is None else int(_touching(s, s.made, target, atoms=False).sum())


@metric("target_clashes", f"CA pairs of generated and target residues closer than {APART} A", good="low", column=24)
def _(s: Subject) -> At | None:
    target = _target(s)
    if target is None:
        return None
    ours = np.flatnonzero(s.made)
    close = cdist(s.coords[ours, 1], s.coords[target, 1]) < APART
    return At(int(close.sum()), int(ours[close.any(axis=1)][0]) if close.any() else None)


def _target(s: Subject) -> NDArray[np.bool_] | None:
    target = None if s.given is None else s.given.parts == "target"
    return target if target is not None and target.any() else None


# --- symmetry ---------------------------------------------------------------------------------------------------------


def _units(s: Subject) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Rotations of the group (K, 3, 3) and atoms of its units (K, N, 4, 3); None where there is no symmetry."""
    if s.given is None or s.given.group is None:
        return None
    from protgm.lie.point_groups import point_group

    group = point_group(s.given.group).numpy()
    return (group, s.coords.reshape(len(group), -1, 4, 3)) if len(s) % len(group) == 0 else None


@metric(
    "off_orbit", "largest distance of an atom from where the symmetry puts it",
    unit="A", good="low", at_most=0.01, column=25, tile="off the orbit (A)",
)  # fmt: skip
def _(s: Subject) -> At | None:
    if s.given is None or s.given.group is None:
        return None
    if (found := _units(s)) is None:
        return At(math.nan, None)
    group, units = found
    wanted = np.einsum("kij,naj->knai", group, units[0])
    off = np.nan_to_num(np.linalg.norm(units - wanted, axis=-1).max(axis=-1).ravel(), nan=-1.0)
    return worst(np.where(off < 0, np.nan, off), np.arange(len(s)))


@metric("unit_contacts", "CA pairs of the first unit and the others within 8 A", good="high")
def _(s: Subject) -> int | None:
    found = _units(s)
    return None if found is None else int((_apart(found[1]) < TOUCH).sum())


@metric("unit_clashes", f"CA pairs of the first unit and the others closer than {APART} A", good="low", column=26)
def _(s: Subject) -> int | None:
    found = _units(s)
    return None if found is None else int((_apart(found[1]) < APART).sum())


def _apart(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """CA distances of the first unit to the others."""
    distances: NDArray[np.float64] = cdist(units[0, :, 1], units[1:, :, 1].reshape(-1, 3))
    return distances
