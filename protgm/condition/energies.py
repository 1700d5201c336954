"""Energies for `protgm.condition.Potential`: differentiable numbers of the predicted clean frames, one per protein."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.layout import Layout
from protgm.structure.frames import Frames
from protgm.structure.size import globular_radius

__all__ = ["Contacts", "Energy", "HotspotContacts", "RadiusOfGyration"]

#: From frames (B, L) and their layout to (B,).
Energy = Callable[[Frames, Layout], Tensor]


@dataclass(frozen=True)
class RadiusOfGyration:
    """Half the squared difference of a protein's radius of gyration from ``target``, times its length.

    Parameters
    ----------
    target : float, optional
        Angstrom; by default that of a globular protein of its length (`protgm.structure.size.globular_radius`).
    """

    target: float | None = None

    def __call__(self, frames: Frames, layout: Layout) -> Tensor:
        """The energy, (B,)."""
        weight = layout.mask[..., None].to(frames.translations.dtype)
        count = weight.sum((1, 2))
        middle = (frames.translations * weight).sum(1, keepdim=True) / count[:, None, None]
        radius = torch.sqrt(((frames.translations - middle).square() * weight).sum((1, 2)) / count)
        wanted = globular_radius(count) if self.target is None else self.target
        return 0.5 * count * (radius - wanted).square()


@dataclass(frozen=True)
class Contacts:
    """Minus the number of CA contacts, softly counted: between chains, or within them.

    Parameters
    ----------
    between : bool
    distance, width : float
        A pair counts half at ``distance`` Angstrom, and falls to nothing over ``width``.
    """

    between: bool = True
    distance: float = 8.0
    width: float = 2.0

    def __call__(self, frames: Frames, layout: Layout) -> Tensor:
        """The energy, (B,)."""
        same = layout.chain_index[:, :, None] == layout.chain_index[:, None]
        far = (layout.residue_index[:, :, None] - layout.residue_index[:, None]).abs() > 3
        pairs = (~same if self.between else same & far) & layout.mask[:, :, None] & layout.mask[:, None]
        return -0.5 * _soft(frames, pairs, self.distance, self.width)


@dataclass(frozen=True)
class HotspotContacts:
    """Minus the number of hotspots that a new residue touches, softly counted: each counts once, by its nearest.

    Parameters
    ----------
    distance, width : float
        Of CA atoms, as for `Contacts`.
    """

    distance: float = 8.0
    width: float = 2.0

    def __call__(self, frames: Frames, layout: Layout) -> Tensor:
        """The energy, (B,); 0 where there are no hotspots."""
        apart = torch.cdist(frames.translations, frames.translations)
        new = (layout.mask & ~layout.known)[:, None].expand_as(apart)
        # A soft minimum over new residues has a gradient for the second nearest too.
        nearest = -self.width * torch.logsumexp((-apart / self.width).masked_fill(~new, -1e4), dim=-1)
        return -(torch.sigmoid((self.distance - nearest) / self.width) * layout.hotspot).sum(1)


def _soft(frames: Frames, pairs: Tensor, distance: float, width: float) -> Tensor:
    apart = torch.cdist(frames.translations, frames.translations)
    return (torch.sigmoid((distance - apart) / width) * pairs).sum((1, 2))
