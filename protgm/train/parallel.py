"""Data-parallel training on one machine: one single-threaded process per core beats threads in one process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

__all__ = ["World", "launch"]


@dataclass(frozen=True)
class World:
    """This process among those of a run."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def average_gradients(self, model: nn.Module) -> None:
        """Replace each gradient by its mean over the processes (one message for all)."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        parts = flat.split([g.numel() for g in gradients])
        torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])

    def agree(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared.item())

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        shared = torch.tensor([float(flag)])
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared.item())


def launch(run: Callable[[World], None], processes: int) -> None:
    """Call ``run(world)`` in this process, or in ``processes`` spawned ones joined by gloo.

    ``run`` must be picklable when there is more than one process. An exception in any of them ends all.
    """
    if processes == 1:
        run(World())
        return
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        torch.multiprocessing.start_processes(
            _worker, args=(run, processes, store), nprocs=processes, start_method="spawn"
        )


def _worker(rank: int, run: Callable[[World], None], size: int, store: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    try:
        run(World(rank, size))
    finally:
        dist.destroy_process_group()
