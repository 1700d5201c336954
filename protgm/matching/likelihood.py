"""Log-likelihoods by the probability-flow ODE.

``log p_1(x_1) = log p_0(x_0) - int div u dt`` along the flow run backward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.lie.random import Source, rand
from protgm.matching.spaces import Space, expand

__all__ = ["Exact", "Hutchinson", "log_likelihood", "normal_log_density"]

Field = Callable[[Tensor, Tensor], Tensor]


def _along(space: Space, field: Field, x: Tensor, t: Tensor, direction: Tensor, joint: int) -> tuple[Tensor, Tensor]:
    """The field at x, and its derivative along a direction, in the frame that moves with x."""
    batch = direction.shape[: direction.dim() - joint]
    zero = torch.zeros(batch, dtype=x.dtype, device=x.device)

    def at(s: Tensor) -> Tensor:
        return field(space.move(x, expand(s, joint) * direction), t)

    value, slope = torch.func.jvp(at, (zero,), (torch.ones_like(zero),))[:2]
    return value, slope


@dataclass(frozen=True)
class Exact:
    """The divergence as a sum over all directions: as many derivatives as dimensions."""

    def __call__(
        self, space: Space, field: Field, x: Tensor, t: Tensor, joint: int, source: Source
    ) -> tuple[Tensor, Tensor]:
        """The field and its divergence, shape (...).

        In body-frame coordinates of a unimodular group such as SO(3) the Riemannian divergence has the same form as on
        R^d.
        """
        like = torch.zeros_like(space.noise(x))
        shape = like.shape[like.dim() - joint :]
        total = torch.zeros(like.shape[: like.dim() - joint], dtype=x.dtype, device=x.device)
        for i in range(shape.numel()):
            unit = torch.zeros(shape.numel(), dtype=x.dtype, device=x.device)
            unit[i] = 1
            direction = (like.flatten(-joint) + unit).unflatten(-1, shape)
            value, slope = _along(space, field, x, t, direction, joint)
            total = total + slope.flatten(-joint)[..., i]
        return value, total


@dataclass(frozen=True)
class Hutchinson:
    """An unbiased estimate of the divergence from random signs (Hutchinson 1990; Grathwohl et al. 2019).

    Parameters
    ----------
    probes : int
        Directions per evaluation; the variance falls with their number.
    """

    probes: int = 1

    def __post_init__(self) -> None:
        if self.probes < 1:
            raise ValueError(f"Hutchinson: probes must be at least 1, got {self.probes}")

    def __call__(
        self, space: Space, field: Field, x: Tensor, t: Tensor, joint: int, source: Source
    ) -> tuple[Tensor, Tensor]:
        """The field and an estimate of its divergence, shape (...)."""
        shape = space.noise(x).shape
        total = torch.zeros(shape[: len(shape) - joint], dtype=x.dtype, device=x.device)
        for _ in range(self.probes):
            signs = torch.where(rand(shape, source, dtype=x.dtype, device=x.device) < 0.5, -1.0, 1.0).to(x.dtype)
            value, slope = _along(space, field, x, t, signs, joint)
            total = total + (slope * signs).flatten(-joint).sum(-1) / self.probes
        return value, total


def normal_log_density(x: Tensor, scale: float = 1.0, *, joint: int = 1, centred: bool = False) -> Tensor:
    """Log density of isotropic normal noise on the last ``joint`` dimensions, shape (...).

    Parameters
    ----------
    x : Tensor
    scale : float
    joint : int
    centred : bool
        The points (..., N, d) have no centre of mass: d (N - 1) dimensions.
    """
    size = x.shape[x.dim() - joint :].numel() - (x.shape[-1] if centred else 0)
    constant = torch.log(torch.tensor(2 * torch.pi * scale**2, dtype=x.dtype))
    return -0.5 * (x / scale).square().flatten(-joint).sum(-1) - 0.5 * size * constant


def log_likelihood(
    space: Space,
    velocity: Field,
    x: Tensor,
    times: Tensor,
    log_prior: Callable[[Tensor], Tensor],
    *,
    divergence: Exact | Hutchinson | None = None,
    joint: int | None = None,
    source: Source = None,
) -> Tensor:
    """Log density of points at ``times[-1]`` with respect to the space's measure.

    Parameters
    ----------
    space : Space
    velocity : callable
        The marginal velocity u(x, t), differentiable by `torch.func.jvp`.
    x : Tensor, shape (..., *event)
    times : Tensor, shape (steps + 1,)
        Increasing; followed backward by the midpoint rule.
    log_prior : callable
        Log density at ``times[0]``, from points to (...).
    divergence : Exact or Hutchinson, optional
        `Exact` where not given.
    joint : int, optional
        Trailing tangent dimensions that make one point; 2 for point sets (..., N, 3), the space's own where not given.
    source : torch.Generator, optional

    Returns
    -------
    Tensor, shape (...)
    """
    divergence = divergence or Exact()
    joint = space.tangent_dim if joint is None else joint
    change: Tensor | float = 0.0
    with torch.no_grad():
        for t, later in zip(times[:-1].flip(0), times[1:].flip(0), strict=True):
            h = (later - t).to(x.dtype)
            now, middle_time = later.to(x.dtype), ((t + later) / 2).to(x.dtype)
            middle = space.move(x, -0.5 * h * velocity(x, now))
            u, slope = divergence(space, velocity, middle, middle_time, joint, source)
            x = space.move(x, -h * space.transport(u, middle, x))
            change = change + h * slope
        return log_prior(x) - change
