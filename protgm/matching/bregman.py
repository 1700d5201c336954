"""Bregman divergences ``D(a, b) = phi(a) - phi(b) - <a - b, grad phi(b)>`` as objects.

A is the target, b the prediction; the last dimension is summed. Exactly for these does the conditional loss have the
gradient of the marginal one (Holderrieth et al. 2024, proposition 2): the minimiser over b of the mean of D(A, b) is
the mean of A.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Bregman", "Convex", "Cosh", "GeneralisedKL", "Hyperbola", "Logistic", "RadialCosh", "SquaredError"]


class Bregman(ABC):
    """A divergence between targets and predictions, both (..., d), giving (...)."""

    @abstractmethod
    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """D(target, prediction), shape (...)."""


@dataclass(frozen=True)
class SquaredError(Bregman):
    """``phi = |x|^2``; for velocities, scores, clean data."""

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """|a - b|^2, shape (...)."""
        return (target - prediction).square().sum(-1)


@dataclass(frozen=True)
class GeneralisedKL(Bregman):
    """``phi = sum x log x - x`` on positive numbers: the loss of rates, whose integral over time is an ELBO.

    Parameters
    ----------
    floor : float
        Predictions below this are taken for it.
    """

    floor: float = 1e-12

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """sum a log(a / b) - a + b, shape (...)."""
        b = prediction.clamp_min(self.floor)
        return (torch.xlogy(target, target) - target * torch.log(b) - target + b).sum(-1)


@dataclass(frozen=True)
class Cosh(Bregman):
    """``phi = sum cosh(x / scale)``: quadratic for small errors and predictions, exponential for large ones.

    Parameters
    ----------
    scale : float
        In the units of the target; errors well below it are squared errors.
    """

    scale: float = 1.0

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Shape (...)."""
        a, b = target / self.scale, prediction / self.scale
        return (torch.cosh(a) - torch.cosh(b) - (a - b) * torch.sinh(b)).sum(-1)


@dataclass(frozen=True)
class RadialCosh(Bregman):
    """``phi = 2 scale^2 cosh(|x| / scale)``: as `Cosh`, but alike in all directions, for vectors in space.

    Parameters
    ----------
    scale : float
        In the units of the target; errors at values well below it are squared errors.
    """

    scale: float = 1.0

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Shape (...)."""
        a, b = target / self.scale, prediction / self.scale
        length = _length(b)
        slope = torch.sinh(length) / length
        value = torch.cosh(_length(a)) - torch.cosh(length) - slope * ((a - b) * b).sum(-1)
        return 2 * self.scale**2 * value


@dataclass(frozen=True)
class Hyperbola(Bregman):
    """``phi = 2 scale^2 sqrt(1 + |x|^2 / scale^2)``: quadratic for small vectors, and ever flatter for large ones.

    Parameters
    ----------
    scale : float
        In the units of the target.
    """

    scale: float = 1.0

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Shape (...)."""
        a, b = target / self.scale, prediction / self.scale
        root = torch.sqrt(1 + b.square().sum(-1))
        value = torch.sqrt(1 + a.square().sum(-1)) - root - ((a - b) * b).sum(-1) / root
        return 2 * self.scale**2 * value


def _length(x: Tensor) -> Tensor:
    """Norm (...) of vectors (..., d), with a gradient at zero."""
    return torch.sqrt(x.square().sum(-1) + 1e-12)


@dataclass(frozen=True)
class Logistic(Bregman):
    """``phi = sum x log x + (1 - x) log(1 - x)`` on [0, 1]: the binary cross-entropy, for probabilities.

    Parameters
    ----------
    floor : float
        Predictions are kept this far from 0 and 1.
    """

    floor: float = 1e-7

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Shape (...)."""
        b = prediction.clamp(self.floor, 1 - self.floor)
        entropy = torch.xlogy(target, target) + torch.xlogy(1 - target, 1 - target)
        return (entropy - target * torch.log(b) - (1 - target) * torch.log1p(-b)).sum(-1)


@dataclass(frozen=True)
class Convex(Bregman):
    """The divergence of any differentiable convex function, its gradient taken by autograd.

    Parameters
    ----------
    phi : callable
        From (..., d) to (...).
    """

    phi: Callable[[Tensor], Tensor]

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Shape (...)."""
        with torch.enable_grad():
            b = prediction if prediction.requires_grad else prediction.detach().requires_grad_()
            value = self.phi(b)
            (slope,) = torch.autograd.grad(value.sum(), b, create_graph=prediction.requires_grad)
        if not prediction.requires_grad:
            value, slope = value.detach(), slope.detach()
        return self.phi(target) - value - ((target - prediction) * slope).sum(-1)
