"""Muon whose work is divided among the processes of a data-parallel run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["SharedMuon"]


class SharedMuon(torch.optim.Muon):
    """`torch.optim.Muon`, each matrix stepped by one process, which sends the result to the others.

    Making a momentum orthogonal takes five rounds of matrix products, a good part of a training step, and is the same
    on every process, as the averaged gradients are. The momenta themselves are cheap and kept everywhere, so that any
    process can write a checkpoint and any number of processes can go on from it.

    Parameters
    ----------
    params : sequence of Tensor
        Matrices.
    rank, size : int
        This process among those that hold the same parameters and gradients; they are joined by torch.distributed.
    **settings
        As those of `torch.optim.Muon`.
    """

    def __init__(self, params: Sequence[Tensor], *, rank: int = 0, size: int = 1, **settings: Any) -> None:
        super().__init__(params, **settings)
        self.rank = rank
        # Dealt out from the largest to the smallest: alike ones follow one another, and every process gets as many.
        order = sorted(range(len(params)), key=lambda i: -params[i].numel())
        self.shares = [[params[i] for i in order[first::size]] for first in range(size)]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step every matrix that has a gradient."""
        if len(self.shares) == 1:
            return super().step(closure)
        loss = None if closure is None else torch.enable_grad()(closure)()
        others = [p for owner, share in enumerate(self.shares) if owner != self.rank for p in share]
        gradients = [p.grad for p in others]
        for parameter, gradient in zip(others, gradients, strict=True):
            if gradient is not None:
                self._follow(parameter, gradient)
            parameter.grad = None  # nothing to step for `super`
        super().step()
        for parameter, gradient in zip(others, gradients, strict=True):
            parameter.grad = gradient
        for owner, share in enumerate(self.shares):
            self._send(owner, share)
        return loss

    def _follow(self, parameter: Tensor, gradient: Tensor) -> None:
        """The momentum of a matrix that another process steps."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        state["momentum_buffer"].lerp_(gradient, 1 - self.param_groups[0]["momentum"])

    def _send(self, owner: int, share: list[Tensor]) -> None:
        """Every process takes over a share's matrices from its owner (one message)."""
        if not share:
            return
        flat = torch.cat([p.reshape(-1) for p in share])
        dist.broadcast(flat, owner)
        if owner != self.rank:
            parts = flat.split([p.numel() for p in share])
            torch._foreach_copy_(list(share), [part.view_as(p) for part, p in zip(parts, share, strict=True)])
