"""Which Bregman divergence each modality is trained by.

Every one of them has its minimum at the same marginal quantity (Holderrieth et al. 2024, proposition 2); they differ in
how errors are weighed against each other where the network cannot reach it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from protgm.lie.so3 import angle
from protgm.lie.vmf import log_overlap
from protgm.matching.bregman import Bregman, Hyperbola, RadialCosh, SquaredError
from protgm.model import RotationPosterior
from protgm.model.products import compose

__all__ = ["DivergenceConfig", "position_error", "posterior_error", "token_error"]

_POSITIONS: dict[str, Bregman] = {"squared": SquaredError(), "cosh": RadialCosh(2.0), "hyperbola": Hyperbola(1.0)}
_POSTERIORS = ("kl", "squared")


@dataclass(frozen=True)
class DivergenceConfig:
    """A divergence for each modality.

    Parameters
    ----------
    positions : {"squared", "cosh", "hyperbola"}
        Of the conditional velocity in units of the prior. ``cosh`` weighs errors of large velocities more,
        ``hyperbola`` less.
    rotations : {"kl", "squared"}
        Of the posterior of clean rotations, from which the jump's rates follow: minus its logarithm at the clean one,
        or the integral of the squared difference of densities, which forgives what is unlikely anyway.
    tokens : {"kl", "squared"}
        The same for residue types: cross-entropy, or Brier's score.

    Raises
    ------
    ValueError
        If one is none of these.
    """

    positions: str = "squared"
    rotations: str = "kl"
    tokens: str = "kl"

    def __post_init__(self) -> None:
        for name, known in (("positions", _POSITIONS), ("rotations", _POSTERIORS), ("tokens", _POSTERIORS)):
            if getattr(self, name) not in known:
                raise ValueError(f"divergence.{name}={getattr(self, name)!r}: must be one of {', '.join(known)}")


def position_error(kind: str, clean: Tensor, predicted: Tensor, noisy: Tensor, unit: Tensor) -> Tensor:
    """Divergence of the velocities towards clean and predicted positions, shape (...).

    Parameters
    ----------
    kind : str
        As `DivergenceConfig.positions`.
    clean, predicted, noisy : Tensor, shape (..., 3)
        Angstrom.
    unit : Tensor, shape (...)
        Length of a velocity of one: the time that remains times the width of the prior.
    """
    per = unit.unsqueeze(-1)
    return _POSITIONS[kind]((clean - noisy) / per, (predicted - noisy) / per)


def posterior_error(kind: str, posterior: RotationPosterior, rotations: Tensor, concentration: Tensor) -> Tensor:
    """Divergence of the predicted posterior from the clean rotation, but for what does not depend on it, (B, L).

    Parameters
    ----------
    kind : str
        As `DivergenceConfig.rotations`.
    posterior : RotationPosterior
    rotations : Tensor, shape (B, L, 3, 3)
    concentration : Tensor, shape (B, L)
        Of the noise: errors are relative to the density of its kernel, so that those of different times compare.
    """
    narrow = 1.5 * torch.log1p(concentration)
    found = posterior.log_density(rotations)
    if kind == "kl":
        return narrow - found
    first, second = posterior.rotations[:, :, :, None], posterior.rotations[:, :, None]
    weights = torch.log_softmax(posterior.logits, dim=-1)
    overlap = log_overlap(
        angle(compose(first, second, invert_first=True)),
        posterior.concentration[..., :, None],
        posterior.concentration[..., None, :],
    )
    square = torch.logsumexp((overlap + weights[..., :, None] + weights[..., None, :]).flatten(-2), dim=-1)
    return torch.exp(square - narrow) - 2 * torch.exp(found - narrow)


def token_error(kind: str, logits: Tensor, sequence: Tensor) -> Tensor:
    """Divergence of predicted residue types (B, L, 20) from the true ones (B, L), shape (B, L)."""
    if kind == "kl":
        return F.cross_entropy(logits.movedim(-1, 1), sequence, reduction="none")
    return (torch.softmax(logits, dim=-1) - F.one_hot(sequence, logits.shape[-1])).square().sum(-1)
