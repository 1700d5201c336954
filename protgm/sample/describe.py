"""Layouts in words, and as a manifest keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from itertools import groupby

import numpy as np

from protgm.condition import Conditions, Symmetry
from protgm.layout import FIXED, Layout, Site
from protgm.lie.point_groups import point_group
from protgm.metrics.given import NEW, Conditioned, Given
from protgm.model.state import MASK_TOKEN
from protgm.structure import Backbone

__all__ = ["facts", "given_of", "knowing", "layout_lines"]


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


def facts(layout: Layout, backbone: Backbone, group: str | None = None) -> dict[str, object]:
    """What a manifest keeps of a layout: what is given, and what a sequence design has to keep.

    Returns
    -------
    dict
        Of these what there is: ``given``, by part, names of residues in the output to names in the source (``A13`` to
        ``A92``; ``2:A92`` in the second file); ``bodies``, numbers of the bodies of given residues that moved;
        ``hotspots``; and ``keep``: ``types`` (residues), ``chains`` (of a target) and ``copies`` (of a unit).
    """
    found: dict[str, object] = {}
    given: dict[str, dict[str, str]] = {}
    for site in layout.sites:
        if site.part != "new":
            source = site.source if site.file == 1 else f"{site.file}:{site.source}"
            given.setdefault(site.part, {})[site.label] = source
    # A target is written whole, whatever of it the network was shown.
    unseen = [label for label in backbone.labels if label not in {site.label for site in layout.sites}]
    if unseen:
        given.setdefault("target", {}).update({label: label for label in unseen})
    if given:
        found["given"] = given
    moved = {site.label: body for site, body in zip(layout.sites, layout.body.tolist(), strict=True) if body > FIXED}
    if moved:
        found["bodies"] = moved
    if bool(layout.hotspot.any()):
        found["hotspots"] = [site.label for site, hot in zip(layout.sites, layout.hotspot.tolist(), strict=True) if hot]
    if kept := _kept(layout, set(given.get("target", ())), backbone, group):
        found["keep"] = kept
    return found


def _kept(layout: Layout, target: set[str], backbone: Backbone, group: str | None) -> dict[str, object]:
    chains = dict(zip(backbone.labels, backbone.chain_ids, strict=True))
    made = {chain for label, chain in chains.items() if label not in target}
    targets = [chain for chain in dict.fromkeys(chains.values()) if chain not in made]
    rows = zip(layout.sites, layout.sequence.tolist(), layout.design.tolist(), strict=True)
    types = [site.label for site, token, free in rows if token != MASK_TOKEN and not free and site.chain not in targets]
    copies = 1 if group is None else len(point_group(group))
    kept: dict[str, object] = {"types": types, "chains": targets}
    return {key: value for key, value in kept.items() if value} | ({"copies": copies} if copies > 1 else {})


def given_of(layout: Layout, backbone: Backbone, group: str | None = None) -> Given | None:
    """What was given of a protein, as metrics take it; None where nothing was and there is no symmetry."""
    sites = {site.label: i for i, site in enumerate(layout.sites)}
    rows = [sites.get(label) for label in backbone.labels]
    parts = np.array(["target" if i is None else layout.sites[i].part for i in rows])
    if group is None and (parts == "new").all():
        return None
    atoms, body, hot = layout.to_atoms(layout.frames).numpy(), layout.body.tolist(), layout.hotspot.tolist()
    # Whole residues of the target, which the network was not shown, are where they were.
    source = np.stack([backbone.coords[k] if i is None else atoms[i] for k, i in enumerate(rows)])
    known = np.array([i is None or bool(layout.given_atoms[i].any()) for i in rows])
    return Given(
        parts=parts,
        source=np.where((known & ~np.isin(parts, NEW))[:, None, None], source, np.nan).astype(np.float32),
        bodies=np.array([0 if i is None else max(body[i], FIXED) for i in rows]),
        hotspots=np.array([i is not None and bool(hot[i]) for i in rows]),
        group=group,
    )


def knowing(layout: Layout, backbone: Backbone, conditions: Conditions) -> Conditioned:
    """A backbone that knows what was given of it, and what a sequence design has to keep."""
    group = next((part.group for part in conditions.parts if isinstance(part, Symmetry)), None)
    own = {one.name: getattr(backbone, one.name) for one in fields(Backbone)}
    keep = facts(layout, backbone, group).get("keep")
    return Conditioned(**own, given=given_of(layout, backbone, group), keep=keep if isinstance(keep, dict) else {})


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
    if first.file > 1:
        name = f"{first.file}:{name}"
    moves = f", body {body}, moves" if body > 0 else ""
    return f"{name} ({first.part}{moves})"
