"""Secondary structure of a whole backbone: chains, breaks, missing atoms and CA-only files included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protgm.structure.secondary import assign

if TYPE_CHECKING:
    from protgm.structure.backbone import Backbone

__all__ = ["assign_backbone"]


def assign_backbone(backbone: Backbone) -> str:
    """Three-state secondary structure, length L: H, E, C."""
    return assign(backbone.coords)
