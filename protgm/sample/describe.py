"""Layouts in words, and as a manifest keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from protgm.layout import Layout, Site
from protgm.model.state import MASK_TOKEN
from protgm.structure.contig import chain_prefix

__all__ = ["given_residues", "kept_types", "layout_lines"]


def layout_lines(layout: Layout) -> list[str]:
    """A line for each chain: its segments in order, new ones by their number, given ones by their source.

    >>> layout_lines(Layout.chain(60))
    ['chain A: 60 residues: 60 new']
    """
    lines = []
    bodies = layout.body.tolist()
    rows = list(zip(layout.chain_index.tolist(), layout.sites, bodies, strict=True))
    for _, group in groupby(rows, key=lambda row: row[0]):
        chain = list(group)
        words = [_segment([row[1] for row in part], part[0][2]) for part in _runs(chain)]
        lines.append(f"chain {chain[0][1].chain}: {len(chain)} residues: {', '.join(words)}")
    if bool(layout.hotspot.any()):
        spots = [site.source for site, hot in zip(layout.sites, layout.hotspot.tolist(), strict=True) if hot]
        lines.append(f"hotspots: {', '.join(spots)}")
    return lines


def given_residues(layout: Layout) -> dict[str, dict[str, str]]:
    """Residues that come from a file, by part: name in the output to name in the source, such as ``A13`` to ``A92``."""
    found: dict[str, dict[str, str]] = {}
    for site in layout.sites:
        if site.part != "new":
            found.setdefault(site.part, {})[f"{chain_prefix(site.chain)}{site.number}{site.code}"] = site.source
    return found


def kept_types(layout: Layout, copies: int = 1) -> dict[str, object]:
    """What a sequence design has to keep: residues whose types are given, chains of a target, copies of a unit."""
    kept: dict[str, object] = {}
    rows = list(zip(layout.sites, layout.sequence.tolist(), layout.design.tolist(), strict=True))
    chains = list(dict.fromkeys(site.chain for site in layout.sites))
    targets = [c for c in chains if all(site.part == "target" for site in layout.sites if site.chain == c)]
    types = [
        f"{chain_prefix(site.chain)}{site.number}{site.code}"
        for site, token, free in rows
        if token != MASK_TOKEN and not free and site.chain not in targets
    ]
    if types:
        kept["types"] = types
    if targets:
        kept["chains"] = targets
    if copies > 1:
        kept["copies"] = copies
    return kept


def _runs(chain: Sequence[tuple[int, Site, int]]) -> list[list[tuple[int, Site, int]]]:
    """Stretches of a chain that are alike: new, or consecutive residues of one source."""
    runs: list[list[tuple[int, Site, int]]] = []
    for row in chain:
        before = runs[-1][-1] if runs else None
        if before is not None and _follows(before, row):
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def _follows(before: tuple[int, Site, int], row: tuple[int, Site, int]) -> bool:
    one, other = before[1], row[1]
    if one.part != other.part or before[2] != row[2]:
        return False
    return other.part == "new" or _number(other.source) - _number(one.source) in (0, 1)


def _number(source: str) -> int:
    # Of A95, 1_95, A-2_95, A95B.
    found = re.fullmatch(r"(?:.*_|[A-Za-z]+)(-?\d+)[A-Za-z]?", source)
    return int(found[1]) if found else 0


def _segment(sites: Sequence[Site], body: int) -> str:
    first, last = sites[0], sites[-1]
    if first.part == "new":
        return f"{len(sites)} new"
    name = first.source if len(sites) == 1 else f"{first.source}-{last.source}"
    moves = f", body {body}, moves" if body > 0 else ""
    return f"{name} ({first.part}{moves})"
