"""Which noise goes with which data.

Independent pairs, optimal transport within a batch, entropic plans, Schroedinger bridges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from protgm.lie.points import kabsch
from protgm.matching.ctmc import draw_tokens
from protgm.matching.spaces import Euclidean, check_time
from protgm.streams import Source, randn

__all__ = [
    "SchroedingerBridgePath",
    "assign",
    "entropic_pairs",
    "independent",
    "kabsch",
    "kabsch_cost",
    "optimal",
    "sinkhorn",
    "squared_cost",
]

Cost = Callable[[Tensor, Tensor], Tensor]
"""From noise (B, ...) and data (C, ...) to the cost of every pair, shape (B, C)."""
_FLOOR = 1e-6
"""``t (1 - t)`` is taken for no less than this."""


def squared_cost(noise: Tensor, data: Tensor) -> Tensor:
    """Squared distances between all pairs of points (B, d) and (C, d), shape (B, C)."""
    return torch.cdist(noise, data).square()


def kabsch_cost(noise: Tensor, data: Tensor) -> Tensor:
    """Squared distances after the best rotation, all pairs of centred sets (B, N, 3), (C, N, 3), shape (B, C)."""
    covariance = torch.einsum("cni,bnj->bcij", data, noise)
    singular = torch.linalg.svdvals(covariance)
    sign = torch.where(torch.linalg.det(covariance) < 0, -1.0, 1.0)
    overlap = singular[..., 0] + singular[..., 1] + sign * singular[..., 2]
    norms = noise.square().sum((-1, -2))[:, None] + data.square().sum((-1, -2))[None]
    out: Tensor = (norms - 2 * overlap).clamp_min(0)
    return out


def independent(noise: Tensor, data: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs as they come."""
    return noise, data


def assign(noise: Tensor, data: Tensor, cost: Cost = squared_cost) -> Tensor:
    """The order of the noise whose summed cost is least, int64 of shape (B,): ``noise[order]`` belongs to ``data``.

    For states of several parts, such as the frames of proteins of one length, whose other parts take the same order.

    Parameters
    ----------
    noise, data : Tensor, shape (B, ...)
    cost : callable
    """
    if noise.shape != data.shape:
        raise ValueError(f"noise and data must have one shape, got {tuple(noise.shape)} and {tuple(data.shape)}")
    from scipy.optimize import linear_sum_assignment  # on demand: half a second

    rows, columns = linear_sum_assignment(cost(noise, data).detach().cpu().double().numpy())
    order = torch.empty(len(noise), dtype=torch.long)
    order[torch.from_numpy(columns)] = torch.from_numpy(rows)
    return order.to(noise.device)


def optimal(noise: Tensor, data: Tensor, cost: Cost = squared_cost) -> tuple[Tensor, Tensor]:
    """The noise permuted so that the summed cost is least, minibatch OT; with `kabsch_cost` also rotated.

    Parameters
    ----------
    noise, data : Tensor, shape (B, ...)
    cost : callable

    Returns
    -------
    noise, data : Tensor, shape (B, ...)
        Row i of one belongs to row i of the other (Tong et al. 2024).
    """
    return _turned(noise[assign(noise, data, cost)], data, cost), data


def _turned(noise: Tensor, data: Tensor, cost: Cost) -> Tensor:
    """Noise turned onto its data where the cost is that after a rotation."""
    return noise @ kabsch(noise, data).mT if cost is kabsch_cost else noise


def sinkhorn(cost: Tensor, regularisation: float, *, iterations: int = 500, tolerance: float = 1e-6) -> Tensor:
    """Entropic transport plan between uniform marginals, in log space.

    Parameters
    ----------
    cost : Tensor, shape (B, C)
    regularisation : float
        In the units of the cost.
    iterations : int
    tolerance : float
        Stop when the row sums are this close, relatively.

    Returns
    -------
    Tensor, shape (B, C)
        Sums to one.
    """
    if not regularisation > 0:
        raise ValueError(f"sinkhorn: regularisation must be positive, got {regularisation}")
    scaled = -cost / regularisation
    log_b, log_c = -torch.log(torch.tensor(float(cost.shape[0]))), -torch.log(torch.tensor(float(cost.shape[1])))
    f, g = torch.zeros_like(cost[:, 0]), torch.zeros_like(cost[0])
    for _ in range(iterations):
        f = log_b - torch.logsumexp(scaled + g, dim=1)
        g = log_c - torch.logsumexp(scaled + f[:, None], dim=0)
        rows = torch.logsumexp(scaled + f[:, None] + g, dim=1)
        if (rows - log_b).abs().max() < tolerance:
            break
    return torch.exp(scaled + f[:, None] + g)


def entropic_pairs(
    noise: Tensor, data: Tensor, regularisation: float, cost: Cost = squared_cost, *, generator: Source = None
) -> tuple[Tensor, Tensor]:
    """Pairs drawn from the entropic plan: row i of the noise with a draw of its partners, shapes (B, ...).

    With `kabsch_cost` the noise is turned onto its partner.
    """
    plan = sinkhorn(cost(noise, data), regularisation)
    partners = data[draw_tokens(plan, generator=generator)]
    return _turned(noise, partners, cost), partners


@dataclass(frozen=True)
class SchroedingerBridgePath:
    """Brownian bridges between coupled pairs: ``x_t ~ N((1 - t) x_0 + t x_1, sigma^2 t (1 - t))``.

    The clean point of this path is a pair of both ends, ``pair(x_0, x_1)`` of shape (..., 2 d). Its diffusion with
    noise ``sigma`` is the bridge itself; the flow has the same marginals. Over pairs of the entropic plan of
    regularisation ``2 sigma^2`` the marginal diffusion is the Schroedinger bridge (Tong et al. 2024, section 4).

    Parameters
    ----------
    sigma : float
    """

    sigma: float = 0.5

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"SchroedingerBridgePath: sigma must be positive, got {self.sigma}")

    @property
    def regularisation(self) -> float:
        """What to give to `entropic_pairs`."""
        return 2 * self.sigma**2

    @property
    def space(self) -> Euclidean:
        """R^d."""
        return Euclidean()

    def pair(self, noise: Tensor, data: Tensor) -> Tensor:
        """Both ends, (..., d) each, as the clean point (..., 2 d) of this path."""
        return torch.cat((noise, data), dim=-1)

    def _mean_and_spread(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (noise, data), t = z.chunk(2, dim=-1), t.unsqueeze(-1)
        variance = (t * (1 - t)).clamp_min(_FLOOR)
        return noise + t * (data - noise), self.sigma * torch.sqrt(variance), data - noise, t

    def sample(self, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Draw ``x_t`` on the bridge of a pair z, shape (..., d), for times (...)."""
        check_time(z, 1, t)
        mean, spread, _, _ = self._mean_and_spread(z, t)
        return mean + spread * randn(mean.shape, generator, dtype=mean.dtype, device=mean.device)

    def log_density(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Log density of ``x_t`` given the pair, shape (...); at the ends as if ``t (1 - t)`` were 1e-6."""
        mean, spread, _, _ = self._mean_and_spread(z, t)
        normal = -0.5 * ((x - mean) / spread).square() - torch.log(spread) - 0.5 * math.log(2 * math.pi)
        return normal.sum(-1)

    def log_density_derivative(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``d log p_t(x | z) / dt`` of each coordinate, shape (..., d)."""
        mean, spread, speed, t = self._mean_and_spread(z, t)
        r = (x - mean) / spread
        return speed * r / spread + (1 - 2 * t) / (2 * t * (1 - t)).clamp_min(2 * _FLOOR) * (r * r - 1)

    def velocity(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``(1 - 2 t) / (2 t (1 - t)) (x - mean) + x_1 - x_0``, shape (..., d)."""
        mean, _, speed, t = self._mean_and_spread(z, t)
        return (1 - 2 * t) / (2 * t * (1 - t)).clamp_min(2 * _FLOOR) * (x - mean) + speed

    def score(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``(mean - x) / (sigma^2 t (1 - t))``, shape (..., d)."""
        mean, spread, _, _ = self._mean_and_spread(z, t)
        return (mean - x) / spread.square()

    def velocity_scale(self, t: Tensor) -> Tensor:
        """Over it the velocity is of order one at every t, for ends that lie about one apart; shape (...)."""
        return torch.sqrt(1 + (self.sigma * (1 - 2 * t)).square() / (4 * (t * (1 - t)).clamp_min(_FLOOR)))

    def score_scale(self, t: Tensor) -> Tensor:
        """Over it the score is standard normal: ``1 / (sigma sqrt(t (1 - t)))``, shape (...)."""
        return 1 / (self.sigma * torch.sqrt((t * (1 - t)).clamp_min(_FLOOR)))

    def reverse_noise(self, t: Tensor) -> Tensor:
        """sigma, with which the diffusion of a pair is its Brownian bridge, shape (...)."""
        return torch.full_like(t, self.sigma)
