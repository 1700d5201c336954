"""Random numbers from one generator, or from one stream per sample so that a sample does not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["Source", "Streams", "rand", "randn"]


class Streams:
    """One random stream per row of a batch.

    Row b of whatever is drawn comes from the b-th generator alone, for its own length only: neither the other rows of
    the batch nor the padding change it.

    Parameters
    ----------
    seeds : sequence of int
        One per row.
    lengths : sequence of int
        How many entries of the second dimension belong to the row; the rest is padding and gets zeros.
    """

    def __init__(self, seeds: Sequence[int], lengths: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.lengths = list(lengths)

    def draw(self, function: Callable[..., Tensor], shape: Sequence[int], dtype: torch.dtype | None) -> Tensor:
        """Fill a tensor of ``shape`` (B, L, ...) row by row with ``torch.rand`` or ``torch.randn``."""
        if shape[0] != len(self._generators):
            raise ValueError(f"{len(self._generators)} random streams cannot fill a batch of {shape[0]}")
        out = torch.zeros(*shape, dtype=dtype)
        for row, generator, length in zip(out, self._generators, self.lengths, strict=True):
            count = min(length, shape[1])  # a second dimension of one stands for the whole row
            row[:count] = function(count, *shape[2:], generator=generator, dtype=dtype)
        return out


Source = torch.Generator | Streams | None


def rand(
    shape: Sequence[int],
    source: Source = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Uniform numbers in [0, 1) of ``shape`` from a generator, per-sample streams, or torch's global state."""
    return _draw(torch.rand, shape, source, dtype, device)


def randn(
    shape: Sequence[int],
    source: Source = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Standard normal numbers; as `rand`."""
    return _draw(torch.randn, shape, source, dtype, device)


def _draw(
    function: Callable[..., Tensor],
    shape: Sequence[int],
    source: Source,
    dtype: torch.dtype | None,
    device: torch.device | str | None,
) -> Tensor:
    if isinstance(source, Streams):
        return source.draw(function, shape, dtype).to(device)
    return function(tuple(shape), generator=source, dtype=dtype, device=device)
