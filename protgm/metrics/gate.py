"""The gate: limits a backbone must keep to be worth a second look, and the reason when it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protgm.metrics.geometry import Geometry

__all__ = ["Gate"]

# Figure, whether the limit is the largest ("<=") or the smallest (">=") value that passes, and its words.
_RULES: tuple[tuple[str, str, str, str], ...] = (
    ("missing", "<=", "missing", "share of residues without N, CA or C"),
    ("breaks", "<=", "breaks", "neighbouring residues that are not bonded"),
    ("cn_ok", ">=", "cn_ok", "share of C-N bonds within 0.15 A of 1.329 A"),
    ("cn_worst", "<=", "cn_worst", "worst C-N bond is off by this many A"),
    ("bond_mad", "<=", "bond_mad", "N-CA and CA-C bonds are off by a mean of this many A"),
    ("bond_worst", "<=", "bond_worst", "worst N-CA or CA-C bond is off by this many A"),
    ("angle_mad", "<=", "angle_mad", "bond angles are off by a mean of this many degrees"),
    ("angle_worst", "<=", "angle_worst", "worst bond angle is off by this many degrees"),
    ("trans", ">=", "trans", "share of trans peptides"),
    ("cis_nonpro", "<=", "cis_nonpro", "share of cis peptides not before proline"),
    ("cis", "<=", "cis", "share of cis peptides"),
    ("twisted", "<=", "twisted", "share of peptides neither trans nor cis"),
    ("co_worst", "<=", "co_worst", "worst C-O bond is off by this many A"),
    ("o_planarity", "<=", "o_planarity", "carbonyl O out of the peptide plane by a mean of this many degrees"),
    ("o_worst", "<=", "o_worst", "worst carbonyl O is out of the peptide plane by this many degrees"),
    ("o_wrong", "<=", "o_wrong", "share of carbonyl O on the wrong side of C"),
    ("handedness", ">=", "handedness", "mean log ratio of phi/psi density to the mirror image's"),
    ("left_handed", ">=", "left_handed", "lowest mean of that ratio over seven residues in a row"),
    ("phi_positive", "<=", "phi_positive", "share of left-handed residues (phi > 0)"),
    ("d_residues", "<=", "d_residues", "share of residues with CB on the D side"),
    ("rama_favoured", ">=", "rama_favoured", "share of residues in favoured Ramachandran regions"),
    ("rama_outliers", "<=", "rama_outliers", "share of Ramachandran outliers"),
    ("ca_ok", ">=", "ca_ok", "share of CA-CA steps of a trans or cis peptide's length"),
    ("ca_clashes", "<=", "ca_clashes", "CA clashes per residue"),
    ("ca_closest", ">=", "ca_closest", "closest CA pair in A"),
    ("clashes", "<=", "clashes", "backbone atom clashes per residue"),
    ("rg_ratio", ">=", "rg_ratio_min", "radius of gyration over natives'"),
    ("rg_ratio", "<=", "rg_ratio_max", "radius of gyration over natives'"),
)


@dataclass(frozen=True)
class Gate:
    """Limits on the figures of `Geometry`; lengths in Angstrom, angles in degrees.

    The defaults pass 95 % and more of the natives that were not used to set them. Natives from old or
    low-resolution entries are why single-site limits are wide; a limit of ``inf`` (or ``-inf``) switches a rule off.
    """

    missing: float = 0.0
    breaks: float = 0
    cn_ok: float = 0.95
    cn_worst: float = 0.35
    bond_mad: float = 0.05
    bond_worst: float = 0.30
    angle_mad: float = 5.0
    angle_worst: float = 32.0
    trans: float = 0.93
    cis_nonpro: float = 0.02
    cis: float = 0.04
    twisted: float = 0.03
    co_worst: float = 0.30
    o_planarity: float = 10.0
    o_worst: float = 60.0
    o_wrong: float = 0.0
    handedness: float = 1.5
    left_handed: float = -1.0
    phi_positive: float = 0.18
    d_residues: float = 0.0
    rama_favoured: float = 0.5
    rama_outliers: float = 0.2
    ca_ok: float = 0.95
    ca_clashes: float = 0.03
    ca_closest: float = 3.0
    clashes: float = 0.12
    rg_ratio_min: float = 0.75
    rg_ratio_max: float = 3.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not isinstance(value, (int, float)) or math.isnan(value):
                raise ValueError(f"gate: {limit.name} must be a number, got {value!r}")

    def check(self, geometry: Geometry) -> tuple[str, ...]:
        """Reasons why the backbone fails, empty when it passes.

        Each reason starts with the name of the figure; a figure that could not be measured (NaN) is not judged.
        """
        reasons = []
        for figure, sense, name, words in _RULES:
            value, limit = getattr(geometry, figure), getattr(self, name)
            if math.isnan(value) or (value <= limit if sense == "<=" else value >= limit):
                continue
            site = geometry.where.get(figure)
            place = f" (at {site})" if site else ""
            reasons.append(f"{figure}: {words} is {value:.3g}{place}, limit {sense} {limit:g}")
        if geometry.length == 0:
            reasons.append("missing: no residues")
        return tuple(reasons)
