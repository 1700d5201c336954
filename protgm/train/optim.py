"""Learning-rate schedule and the running average of the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["EMA", "Schedule", "make_optimizer"]


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


def make_optimizer(model: nn.Module, schedule: Schedule, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; biases, norms and embeddings are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.peak, betas=(0.9, 0.98), fused=True)
