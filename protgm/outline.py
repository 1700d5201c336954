"""Outlines: every fourth residue of a chain, which shows its fold at a sixteenth of the pairs.

A sampler may make the outline first and then fill in the rest of the chain around it; training shows the network both
tasks. The outline is a chain like any other, with gaps in its residue numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from protgm.data.batches import Batch
from protgm.process import centre

__all__ = ["HEAD_START", "STRIDE", "outline_mask", "thin"]

#: Residues from one of the outline to the next.
STRIDE = 4
#: Time at which the outline's frames enter the second part, where the others are noise still: they may yet be mended.
HEAD_START = 0.9


def outline_mask(mask: Tensor, phase: Tensor | int) -> Tensor:
    """The residues of the outlines that begin at place ``phase`` (B, 1) of each chain; shape (B, L)."""
    index = torch.arange(mask.shape[1], device=mask.device)
    return mask & ((index - phase) % STRIDE == 0)


def thin(batch: Batch) -> Batch:
    """All outlines of every protein of a batch: B proteins of L residues become 4 B of L / 4.

    Parameters
    ----------
    batch : Batch
        Padded to a multiple of `STRIDE`.

    Returns
    -------
    Batch
        Row ``4 b + p`` is the outline of protein b that begins at its place p.
    """

    def dealt(values: Tensor) -> Tensor:
        size, length = values.shape[:2]
        parts = values.reshape(size, length // STRIDE, STRIDE, *values.shape[2:]).transpose(1, 2)
        return parts.reshape(size * STRIDE, length // STRIDE, *values.shape[2:])

    mask = dealt(batch.mask)
    return Batch(
        rotations=dealt(batch.rotations),
        translations=centre(dealt(batch.translations), mask),
        mask=mask,
        sequence=dealt(batch.sequence),
        secondary=dealt(batch.secondary),
        residue_index=dealt(batch.residue_index),
        chain_index=dealt(batch.chain_index),
        names=tuple(name for name in batch.names for _ in range(STRIDE)),
    )
