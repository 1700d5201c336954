"""From what is asked to a work list: every protein's layout, and which proteins are made together."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Several
from dataclasses import replace
from itertools import groupby

import torch

from protgm.condition.base import Condition, Conditions, Draw
from protgm.condition.secondary import NATIVE, SecondaryStructure, check_secondary
from protgm.condition.sequence import Sequence
from protgm.condition.symmetry import Symmetry
from protgm.device import own_defaults
from protgm.layout import Layout
from protgm.sample.lengths import MAX_LENGTH, Item, parse_length, work_list
from protgm.sample.settings import Execution

__all__ = ["batches", "doubt", "lay_out", "requested", "with_labels"]

#: Residues denoised together when nobody says how many proteins: enough to keep a core busy, few enough to go round.
_TOKENS = 512


def with_labels(conditions: Condition | None, secondary: str | None) -> Conditions:
    """The conditions with the secondary structure that is asked for; natives' labels are for whole new chains only."""
    conditions = Conditions() & (conditions or Conditions())
    asked = conditions.sizes or any(isinstance(part, SecondaryStructure) for part in conditions)
    if secondary is None or (secondary == NATIVE and asked):
        return conditions
    return conditions & SecondaryStructure(secondary)


def requested(conditions: Conditions, length: int | str | Several[int] | None, num: int, seed: int) -> list[Item]:
    """The work list of a request, its layouts tried once, so that what cannot be made is refused before computing.

    Parameters
    ----------
    conditions : Conditions
    length : int, str or sequence of int, optional
        As `protgm.sample.lengths.parse_length` takes it; if not given as long as the sequence that is, or 100. None
        where a condition says how long the protein is.
    num, seed : int

    Returns
    -------
    list of Item
        Longest first.

    Raises
    ------
    ValueError
        If something is out of range or cannot be laid out.
    """
    if conditions.sizes:
        if length is not None:
            raise ValueError(
                f"length={length}: what is asked for says itself how long the protein is; bounds for the scaffold of a "
                "motif are Motif(..., length=(60, 80))"
            )
        items = [
            replace(item, length=len(lay_out(conditions, item, seed))) for item in work_list((MAX_LENGTH,), num, seed)
        ]
        return sorted((replace(item, residues=item.length) for item in items), key=lambda i: (-i.length, i.index))
    if length is None:
        length = next((len(part.letters) for part in conditions if isinstance(part, Sequence)), 100)
    lengths = parse_length(length)
    for part in conditions:
        if isinstance(part, SecondaryStructure):
            check_secondary(part.text, lengths)
    items = work_list(lengths, num, seed)
    # Chains that conditions add are the same for all samples of a length.
    residues = {item.length: len(lay_out(conditions, item, seed)) for item in items}
    return [replace(item, residues=residues[item.length]) for item in items]


def doubt(conditions: Condition, items: Several[Item]) -> str | None:
    """A word where what is asked can be made, and will hardly be good."""
    rings = [part for part in Conditions() & conditions if isinstance(part, Symmetry)]
    return rings[0].doubt(min(item.residues for item in items) // rings[0].units) if rings else None


@own_defaults()
def lay_out(conditions: Condition, item: Item, seed: int) -> Layout:
    """The layout of one protein of a request.

    Raises
    ------
    ValueError
        If what is asked for cannot be laid out, or is too long.
    """
    layout = conditions.lay_out(Layout.chain(item.length), Draw(seed, item.index))
    if len(layout) > MAX_LENGTH:
        raise ValueError(f"{len(layout)} residues in all are more than the {MAX_LENGTH} that can be made")
    if bool(layout.known.all()) and not bool(layout.design.any()):
        raise ValueError("everything is given, and nothing is left to be made")
    if not torch.equal(layout.chain_index, layout.chain_index.sort().values):
        raise ValueError("the chains of a layout must be numbered in their order")
    return layout if bool(layout.anchor.any()) else layout.anchored()


def batches(items: Several[Item], execution: Execution | None = None) -> Iterator[list[Item]]:
    """Cut a work list (longest first) into batches of at most the size asked, or of about five hundred residues.

    Chains whose residues attend to all others and chains whose residues do not never share a batch: a protein must not
    depend on what is made with it.
    """
    execution = execution or Execution()
    for _, alike in groupby(items, key=lambda item: execution.attended(item.residues)):
        rest = list(alike)
        while rest:
            most = execution.batch or max(1, _TOKENS // rest[0].residues)
            yield rest[:most]
            rest = rest[most:]
