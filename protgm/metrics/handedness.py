"""Phi and psi as metrics: where natives have them, and whether a chain is the mirror image of one."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from protgm.metrics.geometry import first, mean, share, worst
from protgm.metrics.metric import At, metric
from protgm.metrics.subject import Subject

__all__: list[str] = []

#: Residues that ``left_handed`` averages over: two turns of a helix.
_STRETCH = 7


@metric("phi_positive", "share of residues with phi > 0, glycine left out", unit="share", good="low", at_most=0.18)
def _(s: Subject) -> float:
    return share(s.angles.phi > 0, np.isfinite(s.angles.phi) & (s.kind != 2) & s.turned)


@metric("handedness", "mean log ratio of native phi/psi density to the mirror image's", good="high", at_least=1.5)
def _(s: Subject) -> float:
    return mean(s.mirrored)


@metric("left_handed", "lowest mean of that log ratio over seven residues in a row", good="high", at_least=-1.0)
def _(s: Subject) -> At:
    if len(s) < _STRETCH:
        return At(math.nan, None)
    # A stretch across a break, or with a residue that is not judged, has a NaN in it and does not count.
    found = worst(-sliding_window_view(s.mirrored, _STRETCH).mean(axis=-1), np.arange(len(s)) + _STRETCH // 2)
    return At(-found.value, found.residue)


@metric("d_residues", "share of residues with CB on the D side", unit="share", good="low", at_most=0.0)
def _(s: Subject) -> At | float:
    if s.cb is None:
        return math.nan
    n, ca, c = (s.coords[:, a] for a in range(3))
    # Looking along CB -> CA, the three others run N, C, H clockwise in an L residue: a positive triple product.
    side = np.einsum("li,li->l", np.cross(n - ca, c - ca), np.asarray(s.cb, dtype=np.float64) - ca)
    side = np.where(s.made, side, np.nan)
    return first(share(side < 0, np.isfinite(side)), np.arange(len(s)), side < 0)


@metric(
    "rama_favoured", "share of residues where 90 % of natives' residues are",
    unit="share", good="high", at_least=0.5, column=10, title="Favoured phi/psi", tile="favoured phi/psi",
)  # fmt: skip
def _(s: Subject) -> float:
    return share(s.grade == 2, s.grade >= 0)


@metric(
    "rama_outliers", "share of residues where fewer than 1 % of natives' residues are",
    unit="share", good="low", at_most=0.2,
)  # fmt: skip
def _(s: Subject) -> At:
    return first(share(s.grade == 0, s.grade >= 0), np.arange(len(s)), s.grade == 0)
