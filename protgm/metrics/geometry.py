"""Is a backbone sound? Bonds, angles, planarity and breaks as metrics."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from protgm.metrics.metric import At, Figures, measure, metric
from protgm.metrics.subject import Subject
from protgm.metrics.torsions import Torsions, angle, norm
from protgm.structure import ideal
from protgm.structure.backbone import Backbone

__all__ = ["first", "geometry", "mean", "share", "worst"]


def geometry(
    backbone: Backbone,
    *,
    secondary: str | None = None,
    cb: NDArray[np.floating] | None = None,
    angles: Torsions | None = None,
) -> Figures:
    """Measure one backbone: all registered metrics, the whole of it taken to be generated.

    Parameters
    ----------
    backbone, secondary, cb, angles
        As for `Subject`.

    Returns
    -------
    Figures

    Raises
    ------
    ValueError
        As `Subject` does.
    """
    return measure(Subject(backbone, secondary=secondary, cb=cb, angles=angles))


def mean(values: NDArray[np.floating]) -> float:
    """Mean of the known values, NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def share(mask: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    """Share of the known that the mask holds for, NaN where nothing is known."""
    total = int(known.sum())
    return float((mask & known).sum() / total) if total else math.nan


def worst(values: NDArray[np.floating], residues: NDArray[np.integer]) -> At:
    """The largest known value, and whose it is."""
    if not np.isfinite(values).any():
        return At(math.nan, None)
    best = int(np.nanargmax(values))
    return At(float(values[best]), int(residues[best]))


def first(value: float, residues: NDArray[np.integer], mask: NDArray[np.bool_]) -> At:
    """A value, and the first residue that the mask holds for."""
    site = np.flatnonzero(mask)
    return At(value, int(residues[site[0]]) if site.size else None)


@metric("length", "residues", column=2)
def _(s: Subject) -> int:
    return int(s.own.sum())


@metric("chains", "chains in the file")
def _(s: Subject) -> int:
    return len(set(s.backbone.chain_ids))


@metric("missing", "share of residues without N, CA or C", unit="share", good="low", at_most=0.0)
def _(s: Subject) -> float:
    return float(1.0 - s.backbone.complete[s.made].mean()) if s.made.any() else math.nan


@metric("gaps", "jumps in the residue numbering")
def _(s: Subject) -> int:
    return s.peptides.gaps


@metric("breaks", "neighbours by number that are not bonded", good="low", at_most=0)
def _(s: Subject) -> At:
    p = s.peptides
    broken = ~np.isin(p.should, p.bonded)
    return first(int(broken.sum()), p.should, broken)


# --- the peptide bond -------------------------------------------------------------------------------------------------


@metric("cn_ok", f"share of C-N bonds within 0.15 A of {ideal.C_N} A", unit="share", good="high", at_least=0.95)
def _(s: Subject) -> float:
    return share(s.peptides.c_n <= 0.15, np.isfinite(s.peptides.c_n))


@metric("cn_mad", "mean deviation of C-N bonds from Engh & Huber", unit="A", good="low")
def _(s: Subject) -> float:
    return mean(s.peptides.c_n)


@metric("cn_worst", "largest deviation of a C-N bond", unit="A", good="low", at_most=0.35)
def _(s: Subject) -> At:
    return worst(s.peptides.c_n, s.peptides.should)


# --- bonds and angles -------------------------------------------------------------------------------------------------


def _bonds(s: Subject) -> NDArray[np.float64]:
    n, ca, c = (s.coords[s.made, a] for a in range(3))
    return np.concatenate((np.abs(norm(ca - n) - ideal.N_CA), np.abs(norm(c - ca) - ideal.CA_C)))


@metric("bond_mad", "mean deviation of N-CA and CA-C bonds from Engh & Huber", unit="A", good="low", at_most=0.05)
def _(s: Subject) -> float:
    return mean(_bonds(s))


@metric("bond_worst", "largest deviation of an N-CA or CA-C bond", unit="A", good="low", at_most=0.30)
def _(s: Subject) -> At:
    return worst(_bonds(s), np.tile(np.flatnonzero(s.made), 2))


@metric("ca_c_n", "mean bond angle CA-C-N", unit="degrees", good="native")
def _(s: Subject) -> float:
    return mean(s.peptides.ca_c_n)


@metric("c_n_ca", "mean bond angle C-N-CA", unit="degrees", good="native")
def _(s: Subject) -> float:
    return mean(s.peptides.c_n_ca)


def _n_ca_c(s: Subject) -> NDArray[np.floating]:
    n, ca, c = (s.coords[s.made, a] for a in range(3))
    return angle(n - ca, c - ca)


@metric("n_ca_c", "mean bond angle N-CA-C", unit="degrees", good="native")
def _(s: Subject) -> float:
    return mean(_n_ca_c(s))


def _angles(s: Subject) -> NDArray[np.floating]:
    p = s.peptides
    off = (p.ca_c_n - ideal.CA_C_N, p.c_n_ca - ideal.C_N_CA, _n_ca_c(s) - ideal.N_CA_C)
    return np.abs(np.concatenate(off))


@metric(
    "angle_mad", "mean deviation of bond angles from Engh & Huber",
    unit="degrees", good="low", at_most=5.0, title="Bond angles",
)  # fmt: skip
def _(s: Subject) -> float:
    return mean(_angles(s))


@metric("angle_worst", "largest deviation of a bond angle", unit="degrees", good="low", at_most=32.0)
def _(s: Subject) -> At:
    j = s.peptides.bonded
    return worst(_angles(s), np.concatenate((j, j + 1, np.flatnonzero(s.made))))


# --- omega ------------------------------------------------------------------------------------------------------------


@metric("trans", "share of peptides with |omega| > 150", unit="share", good="high", at_least=0.93)
def _(s: Subject) -> At:
    p = s.peptides
    return first(share(p.omega > 150, np.isfinite(p.omega)), p.bonded, p.omega <= 150)


@metric("cis", "share of peptides with |omega| < 30", unit="share", good="native", at_most=0.04)
def _(s: Subject) -> float:
    return share(s.peptides.omega < 30, np.isfinite(s.peptides.omega))


@metric(
    "cis_nonpro", "share of cis peptides before other residues than proline, of those whose types are said",
    unit="share", good="low", at_most=0.02,
)  # fmt: skip
def _(s: Subject) -> At:
    p = s.peptides
    letters = np.frombuffer(s.backbone.sequence.encode("ascii", "replace"), dtype=np.uint8)
    asked = (s.kind[p.bonded + 1] != 0) & (letters[p.bonded + 1] != ord("P"))
    cis = p.omega < 30
    return first(share(cis, np.isfinite(p.omega) & asked), p.bonded, cis & asked)


def _twist(s: Subject) -> NDArray[np.floating]:
    off: NDArray[np.floating] = np.minimum(s.peptides.omega, 180 - s.peptides.omega)
    return off


@metric("twisted", "share of peptides neither trans nor cis", unit="share", good="low", at_most=0.03)
def _(s: Subject) -> At:
    twist = _twist(s)
    return first(share(twist >= 30, np.isfinite(twist)), s.peptides.bonded, twist >= 30)


@metric("omega_mad", "mean deviation of omega from the nearer of trans and cis", unit="degrees", good="low")
def _(s: Subject) -> float:
    return mean(_twist(s))


# --- the carbonyl O ---------------------------------------------------------------------------------------------------


def _c_o(s: Subject) -> NDArray[np.float64]:
    off: NDArray[np.float64] = np.abs(norm(s.coords[s.made, 3] - s.coords[s.made, 2]) - ideal.C_O)
    return off


@metric("co_mad", f"mean deviation of C-O bonds from {ideal.C_O} A", unit="A", good="low")
def _(s: Subject) -> float:
    return mean(_c_o(s))


@metric("co_worst", "largest deviation of a C-O bond", unit="A", good="low", at_most=0.30)
def _(s: Subject) -> At:
    return worst(_c_o(s), np.flatnonzero(s.made))


@metric("o_planarity", "mean angle of carbonyl O out of the peptide plane", unit="degrees", good="low", at_most=10.0)
def _(s: Subject) -> float:
    return mean(s.peptides.out_of_plane)


@metric("o_worst", "largest angle of a carbonyl O out of the peptide plane", unit="degrees", good="low", at_most=60.0)
def _(s: Subject) -> At:
    return worst(s.peptides.out_of_plane, s.peptides.bonded)


@metric("o_wrong", "share of carbonyl O on the wrong side of C", unit="share", good="low", at_most=0.0)
def _(s: Subject) -> float:
    return share(s.peptides.out_of_plane > 90, np.isfinite(s.peptides.out_of_plane))


@metric("ca_ok", "share of CA-CA steps of a trans or cis peptide's length", unit="share", good="high", at_least=0.95)
def _(s: Subject) -> float:
    step = s.peptides.step
    near = [np.abs(step - length) <= 0.25 for length in (ideal.CA_CA_TRANS, ideal.CA_CA_CIS)]
    return share(near[0] | near[1], np.isfinite(step))


@metric("confidence", "mean confidence, 0 to 1", good="high", column=13, tile="confidence")
def _(s: Subject) -> float | None:
    found = s.backbone.confidence
    return None if found is None else mean(np.asarray(found, dtype=np.float64)[s.own])
