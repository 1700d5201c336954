"""What tests of trained generators share: a small network that takes any kind of point."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class Net(nn.Module):
    """A perceptron of a flattened (x, t), tokens one-hot, angles as circles, giving ``size`` numbers per element."""

    def __init__(
        self, inputs: int, size: int, elements: tuple[int, ...] = (), tokens: int = 0, angles: bool = False
    ) -> None:
        super().__init__()
        self.elements, self.size, self.tokens, self.angles = elements, size, tokens, angles
        outputs = size * max(1, torch.Size(elements).numel())
        self.layers = nn.Sequential(
            nn.Linear(inputs + 3, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, outputs)
        )

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        flat = nn.functional.one_hot(x, self.tokens).float() if self.tokens else x
        flat = torch.cat((flat.cos(), flat.sin()), -1) if self.angles else flat
        times = torch.stack((t, t * t, torch.sqrt(1 - t)), -1)
        out = self.layers(torch.cat((flat.flatten(1), times), -1))
        return out.reshape(len(x), *self.elements, self.size)


@pytest.fixture(scope="session")
def perceptron() -> type[Net]:
    """The class of such networks."""
    return Net
