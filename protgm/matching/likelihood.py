"""Log-likelihoods by the probability-flow ODE, on one space or on a product of several.

``log p_1(x_1) = log p_0(x_0) - int div u dt`` along the flow run backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from protgm.matching.spaces import Categorical, ProductSpace, Space, expand
from protgm.streams import Source, rand

__all__ = ["Divergence", "Exact", "Hutchinson", "log_likelihood", "normal_log_density"]

Parts = tuple[Tensor, ...]
Field = Callable[[Parts, Tensor], Parts]
"""From points and a time to velocities, component by component."""


@dataclass(frozen=True)
class _Place:
    """The components of a state: their spaces, and how many trailing dimensions of each tangent make one point."""

    spaces: tuple[Space, ...]
    joints: tuple[int, ...]

    def move(self, x: Parts, tangent: Parts) -> Parts:
        return tuple(s.move(a, v) for s, a, v in zip(self.spaces, x, tangent, strict=True))

    def transport(self, tangent: Parts, x: Parts, y: Parts) -> Parts:
        return tuple(s.transport(v, a, b) for s, v, a, b in zip(self.spaces, tangent, x, y, strict=True))

    def zeros(self, x: Parts) -> Parts:
        """Tangents of length zero."""
        return tuple(torch.zeros_like(s.noise(a)) for s, a in zip(self.spaces, x, strict=True))

    def batch(self, tangent: Parts) -> torch.Size:
        return tangent[0].shape[: tangent[0].dim() - self.joints[0]]

    def along(self, field: Field, x: Parts, t: Tensor, direction: Parts) -> tuple[Parts, Parts]:
        """The field at x, and its derivative along a direction, in the frame that moves with x."""
        zero = torch.zeros(self.batch(direction), dtype=x[0].dtype, device=x[0].device)

        def at(s: Tensor) -> Parts:
            steps = tuple(expand(s, j) * v for j, v in zip(self.joints, direction, strict=True))
            return field(self.move(x, steps), t)

        value, slope = torch.func.jvp(at, (zero,), (torch.ones_like(zero),))[:2]
        return value, slope

    def against(self, field: Field, x: Parts, t: Tensor, direction: Parts) -> tuple[Parts, Parts]:
        """The field at x, and the gradient of its product with a direction, in the frame that moves with x."""
        graph = torch.is_grad_enabled()
        with torch.enable_grad():
            steps = tuple(zero.requires_grad_() for zero in self.zeros(x))
            value = field(self.move(x, steps), t)
            product = sum(((v * e).sum() for v, e in zip(value, direction, strict=True)), value[0].new_zeros(()))
            slope = torch.autograd.grad(product, steps, create_graph=graph, materialize_grads=True)
        return value if graph else tuple(v.detach() for v in value), slope


class Divergence(Protocol):
    """How the divergence of a velocity is found."""

    def __call__(self, place: _Place, field: Field, x: Parts, t: Tensor, source: Source) -> tuple[Parts, Tensor]:
        """The field at x and its divergence, shape (...)."""
        ...


@dataclass(frozen=True)
class Exact:
    """The divergence as a sum over all directions: as many derivatives as dimensions."""

    def __call__(self, place: _Place, field: Field, x: Parts, t: Tensor, source: Source) -> tuple[Parts, Tensor]:
        """The field and its divergence, shape (...).

        In body-frame coordinates of a unimodular group such as SO(3) the Riemannian divergence has the same form as on
        R^d.
        """
        none = place.zeros(x)
        total = torch.zeros(place.batch(none), dtype=x[0].dtype, device=x[0].device)
        value: Parts = ()
        for component, joint in enumerate(place.joints):
            flat = none[component].flatten(none[component].dim() - joint)
            for i in range(flat.shape[-1]):
                unit = torch.zeros(flat.shape[-1], dtype=flat.dtype, device=flat.device)
                unit[i] = 1
                direction = list(none)
                direction[component] = (flat + unit).reshape(none[component].shape)
                value, slope = place.along(field, x, t, tuple(direction))
                total = total + slope[component].flatten(slope[component].dim() - joint)[..., i]
        return value, total


@dataclass(frozen=True)
class Hutchinson:
    """An unbiased estimate of the divergence from random signs (Hutchinson 1990; Grathwohl et al. 2019).

    Parameters
    ----------
    probes : int
        Directions per evaluation; the variance falls with their number.
    reverse : bool
        Differentiate backward, as training does, in the place of `torch.func.jvp`: the same number for a velocity that
        forward derivatives do not go through.
    """

    probes: int = 1
    reverse: bool = False

    def __post_init__(self) -> None:
        if self.probes < 1:
            raise ValueError(f"Hutchinson: probes must be at least 1, got {self.probes}")

    def __call__(self, place: _Place, field: Field, x: Parts, t: Tensor, source: Source) -> tuple[Parts, Tensor]:
        """The field and an estimate of its divergence, shape (...); all components share their derivatives."""
        none = place.zeros(x)
        total = torch.zeros(place.batch(none), dtype=x[0].dtype, device=x[0].device)
        value: Parts = ()
        for _ in range(self.probes):
            signs = tuple(
                torch.where(rand(v.shape, source, dtype=v.dtype, device=v.device) < 0.5, -1.0, 1.0).to(v.dtype)
                for v in none
            )
            value, slope = (place.against if self.reverse else place.along)(field, x, t, signs)
            for v, e, joint in zip(slope, signs, place.joints, strict=True):
                total = total + (v * e).flatten(v.dim() - joint).sum(-1) / self.probes
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
    space: Space | ProductSpace,
    velocity: Callable[[Any, Tensor], Any],
    x: Tensor | Sequence[Tensor],
    times: Tensor,
    log_prior: Callable[[Any], Tensor],
    *,
    divergence: Divergence | None = None,
    joint: int | Sequence[int] | None = None,
    source: Source = None,
    gradients: bool = False,
) -> Tensor:
    """Log density of points at ``times[-1]`` with respect to the space's measure.

    Parameters
    ----------
    space : Space or ProductSpace
        Of spaces with tangents; tokens have no flow (see `protgm.matching.elbo`).
    velocity : callable
        The marginal velocity u(x, t), differentiable by `torch.func.jvp`; on a product it takes and gives a tuple.
    x : Tensor, shape (..., *event), or a tuple of them
    times : Tensor, shape (steps + 1,)
        Increasing; followed backward by the midpoint rule.
    log_prior : callable
        Log density at ``times[0]``, from points to (...).
    divergence : Exact or Hutchinson, optional
        `Exact` where not given.
    joint : int or sequence of int, optional
        Trailing tangent dimensions that make one point; 2 for point sets (..., N, 3) and for N rotations, the space's
        own where not given. One for each component of a product.
    source : torch.Generator, optional
    gradients : bool
        Keep the graph, to differentiate by x and by the parameters of the velocity (maximum likelihood).

    Returns
    -------
    Tensor, shape (...)
    """
    single = not isinstance(space, ProductSpace)
    spaces = (space,) if not isinstance(space, ProductSpace) else space.spaces
    flowing = tuple(s for s in spaces if not isinstance(s, Categorical))
    if len(flowing) < len(spaces):
        raise ValueError("log_likelihood: tokens have no flow; their bound is protgm.matching.token_elbo")
    if joint is None:
        joint = [s.tangent_dim for s in flowing]
    place = _Place(flowing, (joint,) * len(flowing) if isinstance(joint, int) else tuple(joint))
    point: Parts = (x,) if isinstance(x, Tensor) else tuple(x)

    def field(at: Parts, t: Tensor) -> Parts:
        value = velocity(at[0] if single else at, t)
        return (value,) if single else tuple(value)

    divergence, change = divergence or Exact(), torch.zeros((), dtype=point[0].dtype, device=point[0].device)
    with torch.set_grad_enabled(gradients and torch.is_grad_enabled()):
        for t, later in zip(times[:-1].flip(0), times[1:].flip(0), strict=True):
            h = (later - t).to(change.dtype)
            now, half = later.to(change.dtype), ((t + later) / 2).to(change.dtype)
            middle = place.move(point, tuple(-0.5 * h * u for u in field(point, now)))
            u, slope = divergence(place, field, middle, half, source)
            point = place.move(point, tuple(-h * v for v in place.transport(u, middle, point)))
            change = change + h * slope
        return log_prior(point[0] if single else point) - change
