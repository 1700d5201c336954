"""A layer for batches whose rows are all alike."""

from __future__ import annotations

import torch

__all__ = ["Once"]


class Once(torch.nn.Module):
    """Computes the first row of a batch and repeats what comes out, without a copy.

    Parameters
    ----------
    inner : torch.nn.Module
        Takes tensors and returns several, all with the batch as first axis.
    """

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """``inner`` of the first rows, as often as there are rows."""
        size = len(arguments[0])
        return tuple(x.expand(size, *x.shape[1:]) for x in self.inner(*(x[:1] for x in arguments)))
