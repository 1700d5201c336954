"""Backbones that are in memory, to be judged as those of a folder are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from protgm.structure import Backbone

__all__ = ["named_apart"]


def named_apart(backbones: Backbone | Sequence[Backbone]) -> list[Backbone]:
    """The backbones with names of their own: those that others have before get a number.

    Raises
    ------
    ValueError
        If there is none, or something else is among them.
    """
    given = [backbones] if isinstance(backbones, Backbone) else list(backbones)
    if not given:
        raise ValueError("evaluate: no backbone is given")
    taken: set[str] = set()
    found = []
    for place, backbone in enumerate(given):
        if not isinstance(backbone, Backbone):
            kind = type(backbone).__name__
            raise ValueError(f"evaluate: item {place} is of type {kind}; a folder or Backbone objects are wanted")
        name, number = backbone.name, 1
        while name in taken:
            number += 1
            name = f"{backbone.name}_{number}"
        taken.add(name)
        found.append(backbone if name == backbone.name else replace(backbone, name=name))
    return found
