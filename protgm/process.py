"""The process that turns a protein into noise: one prior and one path per modality, shared by training and sampling.

Translations follow the conditional optimal-transport path from a centred Gaussian, rotations the antipodal
von Mises-Fisher path from the uniform law, sequence tokens the masking path. Time is a field over residues.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from protgm.lie.random import Source, randn
from protgm.lie.vmf import ratio
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.so3_paths import AntipodalVMFPath

__all__ = ["MAX_CONCENTRATION", "ProteinProcess", "align", "centre", "superposed"]

#: Rotations are handed to the network as no cleaner than this: a hundredth of a radian is beyond what it resolves.
MAX_CONCENTRATION = 1e5


def centre(translations: Tensor, mask: Tensor) -> Tensor:
    """Translations (B, L, 3) moved so that the mean over ``mask`` (B, L) is zero; padding becomes zero."""
    weight = mask[..., None].to(translations.dtype)
    mean = (translations * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
    return (translations - mean) * weight


def align(mobile: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Rotation (B, 3, 3) that best superposes centred ``mobile`` (B, L, 3) on ``target`` (Kabsch 1976)."""
    weight = mask[..., None].to(mobile.dtype)
    u, _, vh = torch.linalg.svd((target * weight).transpose(1, 2) @ mobile)
    handed = torch.linalg.det(u @ vh)
    u = torch.cat((u[..., :2], u[..., 2:] * handed[:, None, None]), dim=-1)
    return u @ vh


def superposed(mobile: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Centred ``mobile`` (B, L, 3) turned as `align` says, shape (B, L, 3)."""
    return torch.einsum("bij,blj->bli", align(mobile, target, mask), mobile)


@dataclass(frozen=True)
class ProteinProcess:
    """Priors and paths.

    Parameters
    ----------
    noise_scale : float
        Standard deviation of the translation prior, Angstrom.
    rotation_path : AntipodalVMFPath
    """

    noise_scale: float = 10.0
    rotation_path: AntipodalVMFPath = field(default_factory=lambda: AntipodalVMFPath(QuadraticKappa()))

    def concentration(self, time: Tensor) -> Tensor:
        """Concentration of the rotation kernel at ``time``, bounded by `MAX_CONCENTRATION`; same shape."""
        return self.rotation_path.schedule.kappa(time).clamp(max=MAX_CONCENTRATION)

    def flow_share(self, time: Tensor, later: Tensor) -> Tensor:
        """Integral over [time, later] of the rotation path's velocity scale: how much of a rotation flow is taken.

        The velocity is the flow times a scale that only depends on the concentration; Simpson's rule in log kappa.
        """
        schedule = self.rotation_path.schedule
        begin, end = torch.log(schedule.kappa(time)), torch.log(schedule.kappa(later))
        total = torch.zeros_like(begin)
        for position, weight in ((0.0, 1), (0.25, 4), (0.5, 2), (0.75, 4), (1.0, 1)):
            kappa = torch.exp(torch.lerp(begin, end, position))
            total = total + weight / 12 * 0.5 * ratio(kappa) * torch.tanh(kappa)
        return total * (end - begin)

    def sample_prior(self, mask: Tensor, generator: Source = None) -> Tensor:
        """Centred Gaussian translations, shape (B, L, 3), Angstrom."""
        noise = randn((*mask.shape, 3), generator, device=mask.device) * self.noise_scale
        return centre(noise, mask)
