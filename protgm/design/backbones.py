"""Sequences for many backbones, spread over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from protgm.checks import several
from protgm.design.base import Design, Designer
from protgm.design.kept import kept_of
from protgm.design.mpnn import ProteinMPNN
from protgm.progress import Stage, quiet
from protgm.structure.backbone import Backbone
from protgm.workers import chunked_map

__all__ = ["design_backbones"]


def design_backbones(
    backbones: Sequence[Backbone],
    *,
    num_seqs: int = 8,
    seed: int = 0,
    designer: Designer | None = None,
    kept: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int = 1,
    stage: Stage = quiet,
) -> list[list[Design]]:
    """Sequences for each backbone, sorted by likelihood, best first; none where the atoms do not allow a design.

    Every backbone has random numbers of its own, so that its sequences do not depend on the others.
    """
    backbones = several("backbones", backbones, Backbone)
    job = partial(_design_chunk, designer or ProteinMPNN(), num_seqs, seed, kept or {})
    advance = stage("sequences", len(backbones))
    # A worker takes seconds to start.
    used = workers if sum(map(len, backbones)) * num_seqs > 5_000 else 1
    found: list[list[Design]] = []
    for done, part in chunked_map(job, backbones, _no_design, workers=used, chunk=4):
        found.extend(part)
        advance(done)
    return found


def _design_chunk(
    designer: Designer,
    num_seqs: int,
    seed: int,
    kept: Mapping[str, Mapping[str, Any]],
    backbones: Sequence[Backbone],
) -> list[list[Design]]:
    found = []
    for backbone in backbones:
        try:
            given = kept_of(backbone, kept.get(backbone.name))
            # Designers that know nothing of what is given are asked nothing about it.
            asked = {} if given is None else {"kept": given}
            made = designer.design(backbone, num_seqs, seed=seed, **asked)
        except ValueError:
            made = []
        found.append(sorted(made, key=lambda one: one.nll))
    return found


def _no_design(backbone: Backbone) -> list[list[Design]]:
    return [[]]
