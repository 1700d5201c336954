"""Learning-rate schedule and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from protgm.train.muon import Muon

__all__ = ["EMA", "Optimizer", "Schedule", "descend", "make_optimizer"]


@dataclass(frozen=True)
class Schedule:
    """Warm-up, a plateau, and a cosine decay to zero over the last part of the run.

    Parameters
    ----------
    peak : float
        Learning rate of the plateau.
    warmup_steps : int
    decay_share : float
        Part of the whole run over which the rate falls to zero.
    """

    peak: float = 8e-4
    warmup_steps: int = 500
    decay_share: float = 0.4

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a step of a run that is ``progress`` (0 to 1) done."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        left = min(1.0, max(0.0, (1.0 - progress) / self.decay_share)) if self.decay_share > 0 else 1.0
        return self.peak * warm * 0.5 * (1 - math.cos(math.pi * left))


class EMA:
    """Exponential moving average of a model's parameters.

    The decay grows with the number of updates, min(decay, (1 + n) / (10 + n)), so that early weights are forgotten.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        names, values = zip(*((n, p.detach()) for n, p in model.named_parameters()), strict=True)
        torch._foreach_lerp_([self.shadow[n] for n in names], list(values), 1 - decay)

    def copy_to(self, model: nn.Module) -> None:
        """Overwrite the model's weights with the average."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.shadow[name])

    def state(self) -> dict[str, Tensor]:
        """The averaged weights by name."""
        return dict(self.shadow)


class Optimizer:
    """Several optimizers, each with its own parameters of one model, that step as one.

    Parameters
    ----------
    parts : sequence of torch.optim.Optimizer
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = tuple(parts)

    def step(self, rate: float) -> None:
        """Move every parameter that has a gradient, at this learning rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def state(self, parameter: Tensor) -> dict[str, Any]:
        """What is remembered of a parameter (moments, counts); empty before its first step."""
        for part in self.parts:
            if parameter in part.state:
                found: dict[str, Any] = part.state[parameter]
                return found
        return {}

    def restore(self, parameter: Tensor, state: dict[str, Any]) -> None:
        """Put back what `state` gave.

        Raises
        ------
        KeyError
            If no optimizer moves this parameter.
        """
        for part in self.parts:
            if any(parameter is p for group in part.param_groups for p in group["params"]):
                part.state[parameter] = state
                return
        raise KeyError("no optimizer moves this parameter")


def make_optimizer(model: nn.Module, kind: str, weight_decay: float, *, rank: int = 0, processes: int = 1) -> Optimizer:
    """AdamW for everything, or Muon for the weight matrices of the blocks and AdamW for the rest.

    Biases, norms and embeddings are not decayed. Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest
    orthogonal one; its steps are scaled to the size of AdamW's (Liu et al. 2025), so that both share one learning rate.

    Parameters
    ----------
    model : nn.Module
    kind : str
        ``adamw`` or ``muon``.
    weight_decay : float
    rank, processes : int
        This process among those that hold the same model and gradients, and share Muon's work.
    """
    named = dict(model.named_parameters())
    inner = [n for n, p in named.items() if kind == "muon" and ".blocks." in n and p.ndim == 2]
    matrices = [p for n, p in named.items() if p.ndim >= 2 and n not in inner]
    vectors = [p for p in named.values() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)]
    if inner:
        matrices = [named[n] for n in inner]
        parts.append(Muon(matrices, weight_decay=weight_decay, rank=rank, size=processes))
    return Optimizer(parts)


def descend(
    loss: Tensor,
    model: nn.Module,
    optimizer: Optimizer,
    ema: EMA,
    rate: float,
    clip: float,
    average: Callable[[nn.Module], None] | None = None,
) -> Tensor:
    """One step down the gradient of a loss; nothing moves where the gradient is not finite.

    Parameters
    ----------
    loss : Tensor
        Scalar.
    model : nn.Module
    optimizer : Optimizer
    ema : EMA
        Takes in the new weights.
    rate : float
    clip : float
        Norm above which the gradient is scaled down.
    average : callable, optional
        Replaces the model's gradients by their means over the processes of a run.

    Returns
    -------
    Tensor
        The gradient's norm before it was clipped.
    """
    model.zero_grad(set_to_none=True)
    loss.backward()
    for parameter in model.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if average is not None:
        average(model)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    if torch.isfinite(norm):
        optimizer.step(rate)
        ema.update(model)
    return norm
