"""Is a backbone sound? Bonds, angles, planarity, handedness, Ramachandran, clashes, breaks and size in figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from protgm.checks import points
from protgm.metrics.gate import Gate
from protgm.metrics.packing import packing
from protgm.metrics.ramachandran import kinds_of, regions
from protgm.metrics.torsions import Torsions, angle, dihedral, links, norm, torsions

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["Gate", "Geometry", "geometry"]

# Engh & Huber (1991), Acta Cryst. A47:392, general residue: Angstrom and degrees.
_C_N, _N_CA, _CA_C, _C_O = 1.329, 1.458, 1.525, 1.231
_CA_C_N, _C_N_CA, _N_CA_C, _CA_C_O = 116.2, 121.7, 111.0, 120.8

# Residues that `Geometry.left_handed` averages over: two turns of a helix.
_STRETCH = 7


@dataclass(frozen=True)
class Geometry:
    """Figures of one backbone: Angstrom, degrees, shares in [0, 1]; NaN where a figure needs atoms that are missing."""

    length: int
    chains: int
    missing: float  #: share of residues without N, CA or C
    gaps: int  #: jumps in the numbering: residues the file itself leaves out
    breaks: int  #: neighbours by number that are not bonded
    cn_ok: float  #: share of peptide bonds within 0.15 A of 1.329 A
    cn_mad: float  #: mean absolute deviation of C-N
    cn_worst: float  #: largest deviation of C-N
    bond_mad: float  #: N-CA and CA-C, mean absolute deviation
    bond_worst: float
    ca_c_n: float  #: mean bond angle
    c_n_ca: float  #: mean bond angle
    n_ca_c: float  #: mean bond angle
    angle_mad: float  #: the three angles together, mean absolute deviation
    angle_worst: float
    trans: float  #: share of |omega| > 150
    cis: float  #: share of |omega| < 30
    cis_nonpro: float  #: share of cis peptides before residues whose types are said, proline left out; NaN without such
    twisted: float  #: share of 30 <= |omega| <= 150
    omega_mad: float  #: mean deviation from the nearer of trans and cis
    phi_positive: float  #: share of phi > 0, residues known to be glycine left out
    handedness: float  #: mean log ratio of native density at (phi, psi) and at the mirror image's (-phi, -psi)
    left_handed: float  #: the lowest mean of that log ratio over seven residues in a row: a mirrored stretch
    d_residues: float  #: share of residues whose CB lies on the D side; NaN without CB
    co_mad: float  #: C-O, mean absolute deviation from 1.231 A
    co_worst: float
    o_planarity: float  #: mean angle of O out of the plane of CA, C and the next N
    o_worst: float
    o_wrong: float  #: share of O on the next N's side of C (out of plane by more than 90)
    rama_favoured: float
    rama_outliers: float
    ca_ok: float  #: share of CA-CA steps within 0.25 A of 3.80 (trans) or 2.95 (cis)
    ca_clashes: float  #: CA pairs below 3.5 A, three or more residues apart, per residue
    clashes: float  #: overlapping N, CA, C, O pairs two or more residues apart, per residue
    ca_closest: float  #: smallest CA-CA distance three or more residues apart, 8 A at most
    rg: float
    rg_ratio: float  #: Rg over 2.2 L^0.38
    end_to_end: float  #: CA to CA, mean over chains
    contact_order: float  #: mean sequence separation of CA contacts below 8 A (three or more apart), over L
    helix: float
    strand: float
    coil: float
    where: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)  #: residue of each worst figure

    def to_dict(self) -> dict[str, float | int | None]:
        """The figures by name, None for NaN (JSON has no NaN); ``where`` is left out."""
        pairs = asdict(self)
        del pairs["where"]
        return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in pairs.items()}


def _mean(values: NDArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _share(mask: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    total = int(known.sum())
    return float((mask & known).sum() / total) if total else math.nan


def geometry(
    backbone: Backbone,
    *,
    secondary: str | None = None,
    cb: NDArray[np.floating] | None = None,
    angles: Torsions | None = None,
) -> Geometry:
    """Measure one backbone.

    Parameters
    ----------
    backbone : Backbone
        One or more chains; missing atoms (NaN) leave out the figures that need them.
    secondary : str, length L, optional
        Secondary structure of H, E, C; assigned by `protgm.structure.secondary` when not given.
    cb : ndarray, shape (L, 3), optional
        CB positions in Angstrom (NaN for glycine), for the handedness of CA itself; a bare backbone does not show it.
    angles : Torsions, optional
        If known already.

    Returns
    -------
    Geometry

    Raises
    ------
    ValueError
        If ``backbone`` is none, or ``secondary`` or ``cb`` does not have one entry per residue.
    """
    from protgm.structure.backbone import Backbone

    if not isinstance(backbone, Backbone):
        raise ValueError(f"geometry of {type(backbone).__name__}: a Backbone is wanted, as from Backbone.from_coords")
    length = len(backbone)
    cb = None if cb is None else points("cb", cb, "L", 3)
    for name, given in (("secondary", secondary), ("cb", cb)):
        if given is not None and len(given) != length:
            raise ValueError(f"{backbone.name}: {name} has {len(given)} entries for {length} residues")
    if secondary is None:
        from protgm.metrics.secondary import assign_backbone

        secondary = assign_backbone(backbone)
    angles = torsions(backbone) if angles is None else angles
    where: dict[str, str] = {}
    figures: dict[str, Any] = {"length": length, "chains": len(set(backbone.chain_ids))}
    figures["missing"] = float(1.0 - backbone.complete.mean()) if length else math.nan
    # Infinite coordinates count as missing: they would only turn into warnings.
    coords = np.where(np.isfinite(backbone.coords), backbone.coords, np.nan).astype(np.float64)
    with np.errstate(invalid="ignore"):
        figures |= _peptides(backbone, coords, angles, where)
        figures |= _residues(backbone, coords, angles, cb, where)
        figures |= packing(backbone, coords, where)
    counted = max(sum(secondary.count(s) for s in "HEC"), 1)
    for name, letter in (("helix", "H"), ("strand", "E"), ("coil", "C")):
        figures[name] = secondary.count(letter) / counted
    return Geometry(**figures, where=where)


def _worst(values: NDArray[np.floating], name: str, backbone: Backbone, index: NDArray, where: dict[str, str]) -> float:
    """Largest known value; notes whose it is."""
    if not np.isfinite(values).any():
        return math.nan
    best = int(np.nanargmax(values))
    i = int(index[best])
    where[name] = backbone.label(i)
    return float(values[best])


def _peptides(
    backbone: Backbone, coords: NDArray[np.float64], angles: Torsions, where: dict[str, str]
) -> dict[str, float | int]:
    """Figures of the links between residues."""
    should, bonded, gaps = links(backbone) if len(backbone) > 1 else (np.zeros(0, dtype=bool),) * 3
    i = np.flatnonzero(should)
    n, ca, c, o = (coords[:, a] for a in range(4))
    c_n = np.abs(norm(n[i + 1] - c[i]) - _C_N)
    step = norm(ca[i + 1] - ca[i])
    if (broken := np.flatnonzero(should & ~bonded)).size:
        where["breaks"] = backbone.label(int(broken[0]))
    j = np.flatnonzero(bonded)
    ca_c_n = angle(ca[j] - c[j], n[j + 1] - c[j])
    c_n_ca = angle(c[j] - n[j + 1], ca[j + 1] - n[j + 1])
    n_ca_c = angle(n - ca, c - ca)
    off = np.abs(np.concatenate((ca_c_n - _CA_C_N, c_n_ca - _C_N_CA, n_ca_c - _N_CA_C)))
    whose = np.concatenate((j, j + 1, np.arange(len(backbone))))
    omega = np.abs(angles.omega[j])
    known = np.isfinite(omega)
    to_proline = np.frombuffer(backbone.sequence.encode("ascii", "replace"), dtype=np.uint8)[j + 1] == ord("P")
    said = kinds_of(backbone.sequence)[j + 1] != 0
    cis = omega < 30
    twist = np.minimum(omega, 180 - omega)
    # O against the next N about the axis CA-C: opposite when all is well.
    out_of_plane = 180 - np.abs(dihedral(n[j + 1], ca[j], c[j], o[j]))
    for name, mask in (("cis_nonpro", cis & said & ~to_proline), ("twisted", twist >= 30), ("trans", omega <= 150)):
        if (site := np.flatnonzero(mask)).size:
            where[name] = backbone.label(int(j[site[0]]))
    return {
        "gaps": int(gaps.sum()),
        "breaks": int((should & ~bonded).sum()),
        "cn_ok": _share(c_n <= 0.15, np.isfinite(c_n)),
        "cn_mad": _mean(c_n),
        "cn_worst": _worst(c_n, "cn_worst", backbone, i, where),
        "ca_c_n": _mean(ca_c_n),
        "c_n_ca": _mean(c_n_ca),
        "n_ca_c": _mean(n_ca_c),
        "angle_mad": _mean(off),
        "angle_worst": _worst(off, "angle_worst", backbone, whose, where),
        "trans": _share(omega > 150, known),
        "cis": _share(cis, known),
        "cis_nonpro": _share(cis & ~to_proline, known & said & ~to_proline),
        "twisted": _share(twist >= 30, known),
        "omega_mad": _mean(twist),
        "o_planarity": _mean(out_of_plane),
        "o_worst": _worst(out_of_plane, "o_worst", backbone, j, where),
        "o_wrong": _share(out_of_plane > 90, np.isfinite(out_of_plane)),
        "ca_ok": _share((np.abs(step - 3.80) <= 0.25) | (np.abs(step - 2.95) <= 0.25), np.isfinite(step)),
    }


def _residues(
    backbone: Backbone,
    coords: NDArray[np.float64],
    angles: Torsions,
    cb: NDArray[np.floating] | None,
    where: dict[str, str],
) -> dict[str, float | int]:
    """Figures inside residues, and of phi and psi."""
    n, ca, c, o = (coords[:, a] for a in range(4))
    every = np.arange(len(backbone))
    bond = np.concatenate((np.abs(norm(ca - n) - _N_CA), np.abs(norm(c - ca) - _CA_C)))
    c_o = np.abs(norm(o - c) - _C_O)
    kind = kinds_of(backbone.sequence)
    tables = regions()
    phi, psi = angles.phi, angles.psi
    grade = tables.classify(phi, psi, kind)
    mirrored = tables.lookup(phi, psi, kind) - tables.lookup(-phi, -psi, kind)
    known = np.isfinite(phi) & (kind != 2)
    # A stretch across a break has a NaN in it and does not count.
    stretch = sliding_window_view(mirrored, _STRETCH).mean(axis=-1) if len(backbone) >= _STRETCH else np.zeros(0)
    d_residues = math.nan
    if cb is not None:
        # Looking along CB -> CA, the three others run N, C, H clockwise in an L residue: a positive triple product.
        side = np.einsum("li,li->l", np.cross(n - ca, c - ca), np.asarray(cb, dtype=np.float64) - ca)
        d_residues = _share(side < 0, np.isfinite(side))
        if (site := np.flatnonzero(side < 0)).size:
            where["d_residues"] = backbone.label(int(site[0]))
    if (site := np.flatnonzero(grade == 0)).size:
        where["rama_outliers"] = backbone.label(int(site[0]))
    return {
        "bond_mad": _mean(bond),
        "bond_worst": _worst(bond, "bond_worst", backbone, np.concatenate((every, every)), where),
        "co_mad": _mean(c_o),
        "co_worst": _worst(c_o, "co_worst", backbone, every, where),
        "phi_positive": _share(phi > 0, known),
        "handedness": _mean(mirrored),
        "left_handed": _worst(-stretch, "left_handed", backbone, every + _STRETCH // 2, where) * -1.0,
        "d_residues": d_residues,
        "rama_favoured": _share(grade == 2, grade >= 0),
        "rama_outliers": _share(grade == 0, grade >= 0),
    }
