"""Secondary structure as metrics."""

from __future__ import annotations

from protgm.metrics.metric import metric
from protgm.metrics.subject import Subject

__all__: list[str] = []


@metric("helix", "share of residues in helices", unit="share", good="native", column=8, tile="helix")
def _(s: Subject) -> float:
    return s.secondary.helix


@metric("strand", "share of residues in strands", unit="share", good="native", column=9, tile="strand")
def _(s: Subject) -> float:
    return s.secondary.strand


@metric("coil", "share of residues in neither", unit="share", good="native")
def _(s: Subject) -> float:
    return s.secondary.coil


@metric("helices", "helices")
def _(s: Subject) -> int:
    return s.secondary.helices


@metric("strands", "strands of two residues and more")
def _(s: Subject) -> int:
    return s.secondary.strands


@metric("helix_length", "mean residues of a helix", good="native", title="Helix length")
def _(s: Subject) -> float:
    return s.secondary.helix_length


@metric("strand_length", "mean residues of a strand", good="native", title="Strand length")
def _(s: Subject) -> float:
    return s.secondary.strand_length


@metric("parallel", "residue pairs in parallel bridges")
def _(s: Subject) -> float:
    return _pairs(s.secondary.parallel)


@metric("antiparallel", "residue pairs in antiparallel bridges")
def _(s: Subject) -> float:
    return _pairs(s.secondary.antiparallel)


def _pairs(count: int | None) -> float:
    return float("nan") if count is None else count
