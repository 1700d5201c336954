"""Muon (Jordan et al. 2024) in the precision that the processor is fast in, shared by the processes of a run.

`torch.optim.Muon` orthogonalises in bfloat16 on every device; a processor without instructions for that emulates it,
and a training step takes six times as long. Hence the thirty lines of the rule itself here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from protgm.device import bfloat16_is_fast

__all__ = ["Muon", "orthogonalised"]

#: Coefficients of the quintic iteration, chosen for the steepest slope at zero (Jordan et al. 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrices: Tensor, rounds: int) -> Tensor:
    """Matrices with about the same singular vectors and all singular values near one, by Newton-Schulz iteration.

    Parameters
    ----------
    matrices : Tensor, shape (..., M, N)
        The result has their precision.
    rounds : int
        After four or five, singular values that were not tiny lie between 0.6 and 1.3.

    Returns
    -------
    Tensor, shape (..., M, N)
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if tall else matrices
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(rounds):
        gram = wide @ wide.mT
        wide = _A * wide + (_B * gram + _C * gram @ gram) @ wide
    whole: Tensor = wide.mT if tall else wide
    return whole


class Muon(torch.optim.Optimizer):
    """Steps along the nearest orthogonal matrix to each matrix's momentum, as long as AdamW's (Liu et al. 2025).

    Making a momentum orthogonal takes several rounds of matrix products, a good part of a training step, and is the
    same on every process, as the averaged gradients are: each matrix is stepped by one process, which sends the result
    to the others. The momenta themselves are cheap and kept everywhere, so that any process can write a checkpoint and
    any number of processes can go on from it.

    Parameters
    ----------
    params : sequence of Tensor
        Matrices.
    lr, weight_decay, momentum : float
    rounds : int
        Of `orthogonalised`. Four give the same loss at equal steps as five (docs/training.md).
    half : bool, optional
        Multiply in bfloat16; by default where the device has instructions for it.
    rank, size : int
        This process among those that hold the same parameters and gradients; they are joined by torch.distributed.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        rounds: int = 4,
        half: bool | None = None,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.rounds, self.rank = rounds, rank
        self.half = bfloat16_is_fast(params[0].device) if half is None else half
        # Dealt out from the largest to the smallest: alike ones follow one another, and every process gets as many.
        order = sorted(range(len(params)), key=lambda i: -params[i].numel())
        self.shares = [[params[i] for i in order[first::size]] for first in range(size)]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step every matrix that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for owner, share in enumerate(self.shares):
            alike: dict[tuple[int, ...], list[Tensor]] = {}
            for parameter in share:
                if parameter.grad is not None:
                    self._remember(parameter)
                    alike.setdefault(tuple(parameter.shape), []).append(parameter)
            if owner == self.rank:
                for matrices in alike.values():
                    self._move(matrices)
        if len(self.shares) > 1:
            for owner, share in enumerate(self.shares):
                self._send(owner, share)
        return loss

    def _remember(self, parameter: Tensor) -> None:
        """Take the gradient into the momentum."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter.grad)
        state["momentum_buffer"].lerp_(parameter.grad, 1 - self.param_groups[0]["momentum"])

    def _move(self, matrices: list[Tensor]) -> None:
        """Step matrices of one shape."""
        group = self.param_groups[0]
        # Nesterov: the gradient counts once more.
        ahead = [p.grad.lerp(self.state[p]["momentum_buffer"], group["momentum"]) for p in matrices]  # type: ignore[union-attr]
        update = torch.stack(ahead).to(torch.bfloat16 if self.half else torch.float32)
        length = group["lr"] * 0.2 * max(matrices[0].shape) ** 0.5
        update = orthogonalised(update, self.rounds).to(matrices[0].dtype) * length
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_sub_(matrices, list(update.unbind()))

    def _send(self, owner: int, share: list[Tensor]) -> None:
        """Every process takes over a share's matrices from its owner (one message)."""
        if not share:
            return
        flat = torch.cat([p.reshape(-1) for p in share])
        dist.broadcast(flat, owner)
        if owner != self.rank:
            parts = flat.split([p.numel() for p in share])
            torch._foreach_copy_(list(share), [part.view_as(p) for part, p in zip(parts, share, strict=True)])
