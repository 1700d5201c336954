"""Batches of examples for training: which examples go together, and the tensors a model takes.

A plan of batches is a pure function of (seed, epoch): a training that stopped at a step goes on there without any other
state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protgm.checks import several
from protgm.data.dataset import Dataset, DatasetError, Example
from protgm.data.schema import STATES, UNKNOWN
from protgm.structure.frames import Frames
from protgm.structure.geometry import frames_from_atoms

__all__ = ["Batch", "EpochSampler", "collate"]


@dataclass(frozen=True, eq=False)
class Batch:
    """B chains, padded to L residues.

    Parameters
    ----------
    frames : Frames, shape (B, L)
        Residue frames, Angstrom, the mean of their CA positions over ``mask`` at the origin; where ``mask`` is False
        the identity at the origin.
    mask : Tensor of bool, shape (B, L)
        Residues that are there with N, CA and C: False for padding and for residues with missing atoms.
    sequence, secondary, residue_index, chain_index : Tensor of long, shape (B, L)
        As in `Example`; padding is 20 (unknown), 2 (coil), 0 and 0.
    names : tuple of str, length B
    """

    frames: Frames
    mask: Tensor
    sequence: Tensor
    secondary: Tensor
    residue_index: Tensor
    chain_index: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def padded_length(self) -> int:
        """L, the number of residues that every chain is padded to."""
        return self.mask.shape[1]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Batch:
        """The batch on another device; ``dtype`` applies to the frames only."""
        moved: dict[str, Any] = {"frames": self.frames.map(lambda x: x.to(device=device, dtype=dtype))}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Tensor):
                moved[item.name] = value.to(device=device)
        return replace(self, **moved)


def _padded(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def collate(examples: Sequence[Example], *, padded_length: int | None = None, multiple: int = 16) -> Batch:
    """Stack examples into one batch.

    Parameters
    ----------
    examples : sequence of Example
    padded_length : int, optional
        L of the batch; by default the longest example, rounded up to ``multiple``.

    Raises
    ------
    ValueError
        If there is no example, one is longer than ``padded_length``, or one has no complete residue.
    """
    examples = several("examples", examples, Example)
    if not examples:
        raise ValueError("examples: at least one example is wanted")
    longest = max(examples, key=len)
    size = _padded(len(longest), multiple) if padded_length is None else padded_length
    if len(longest) > size:
        raise ValueError(f"{longest.name}: {len(longest)} residues do not fit a batch padded to {size}")
    shape = (len(examples), size)
    coords = np.zeros((*shape, 3, 3), dtype=np.float32)
    mask = np.zeros(shape, dtype=bool)
    whole = {
        "sequence": np.full(shape, UNKNOWN, dtype=np.int64),
        "secondary": np.full(shape, STATES.index("C"), dtype=np.int64),
        "residue_index": np.zeros(shape, dtype=np.int64),
        "chain_index": np.zeros(shape, dtype=np.int64),
    }
    for i, example in enumerate(examples):
        if not example.complete.any():
            raise ValueError(f"{example.name}: no residue has all of N, CA and C")
        length = len(example)
        mask[i, :length] = example.complete
        coords[i, :length] = np.where(example.complete[:, None, None], example.coords[:, :3], 0)
        for key, array in whole.items():
            array[i, :length] = getattr(example, key)
    present = torch.from_numpy(mask)
    rotations, translations = frames_from_atoms(torch.from_numpy(coords))
    eye = torch.eye(3, dtype=rotations.dtype)
    weight = present[..., None].to(translations.dtype)
    centre = (translations * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    return Batch(
        frames=Frames(torch.where(present[..., None, None], rotations, eye), (translations - centre) * weight),
        mask=present,
        names=tuple(example.name for example in examples),
        **{key: torch.from_numpy(array) for key, array in whole.items()},
    )


class EpochSampler:
    """The batches of every epoch: one random member of each cluster, grouped by length.

    A batch padded to L residues holds ``max(1, tokens // L)`` examples, L a multiple of ``multiple``. Examples are
    sorted by L (in random order within one L), cut into batches and the batches shuffled; with several ranks, a cut
    serves all of them, so that at every step all ranks have batches of the same shape. The last cut may be short;
    examples that do not fill it evenly wait for another epoch, which deals them anew.

    Parameters
    ----------
    dataset : Dataset
    tokens : int
        Residues per batch and rank, padding included.
    min_length, max_length : int
        Entries outside are left out.
    multiple : int
        Padded lengths are multiples of this.
    seed : int
    rank, world_size : int
        This process, and how many there are.

    Raises
    ------
    ValueError
        If a number is out of range.
    DatasetError
        If too few clusters have an entry within the lengths.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        tokens: int,
        min_length: int = 1,
        max_length: int = 1_000_000,
        multiple: int = 16,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        for name, value in (("tokens", tokens), ("multiple", multiple), ("world_size", world_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be from 0 to {world_size - 1}, got {rank}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.dataset, self.tokens, self.multiple, self.seed = dataset, tokens, multiple, seed
        self.rank, self.world_size = rank, world_size
        inside = np.flatnonzero((dataset.lengths >= min_length) & (dataset.lengths <= max_length))
        names = dataset.clusters
        labels = np.unique(np.asarray([names[i] for i in inside], dtype=str), return_inverse=True)[1]
        # Members of cluster k: self._members[self._start[k] : self._start[k + 1]].
        order = np.argsort(labels, kind="stable")
        self._members = inside[order]
        self._start = np.concatenate(([0], np.cumsum(np.bincount(labels)))).astype(np.int64)
        if self.clusters < world_size:
            raise DatasetError(
                f"{dataset!r}: {self.clusters} clusters have an entry of {min_length} to {max_length} residues, "
                f"{world_size} at least are needed"
            )
        self._planned: tuple[int, list[tuple[int, NDArray[np.int64]]]] | None = None

    @property
    def clusters(self) -> int:
        """Clusters with at least one entry within the lengths: samples per epoch."""
        return len(self._start) - 1

    def plan(self, epoch: int) -> list[tuple[int, NDArray[np.int64]]]:
        """(padded length, dataset indices of shape (world_size, B)) of every step of an epoch."""
        if self._planned is not None and self._planned[0] == epoch:
            return self._planned[1]
        rng = np.random.default_rng((self.seed, epoch))
        members = self._members[rng.integers(self._start[:-1], self._start[1:])]
        rng.shuffle(members)
        padded = -(-self.dataset.lengths[members] // self.multiple) * self.multiple
        # Longest first, so that a batch across two lengths takes its filling from the next shorter one.
        order = np.argsort(-padded, kind="stable")
        members, padded = members[order], padded[order]
        steps: list[tuple[int, NDArray[np.int64]]] = []
        start = 0
        while len(members) - start >= self.world_size:
            size = int(padded[start])
            per_rank = min(max(1, self.tokens // size), (len(members) - start) // self.world_size)
            taken = members[start : start + per_rank * self.world_size]
            # Dealt in turn: every rank gets the same share of the shorter ones.
            steps.append((size, taken.reshape(per_rank, self.world_size).T))
            start += len(taken)
        steps = [steps[i] for i in rng.permutation(len(steps))]
        self._planned = (epoch, steps)
        return steps

    def steps(self, epoch: int) -> int:
        """Number of batches of an epoch, the same for every rank."""
        return len(self.plan(epoch))

    def batch(self, epoch: int, step: int) -> Batch:
        """This rank's batch at a step of an epoch."""
        size, indices = self.plan(epoch)[step]
        return collate([self.dataset[int(i)] for i in indices[self.rank]], padded_length=size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """This rank's batches of an epoch, from step ``start`` on."""
        for step in range(start, self.steps(epoch)):
            yield self.batch(epoch, step)
