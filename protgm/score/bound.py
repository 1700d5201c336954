"""How far the jump of predicted mixtures of kernels is from that toward the clean rotations.

`protgm.matching.elbo` tells what it bounds. There a posterior is a sum over data points, here intensities are integrals
over kernels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from protgm.lie import so3, vmf
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.model import RotationPosterior
from protgm.streams import Source

__all__ = ["mixture_jump_divergence"]


def mixture_jump_divergence(
    path: AntipodalVMFPath,
    x: Tensor,
    z: Tensor,
    t: Tensor,
    posterior: RotationPosterior,
    *,
    draws: int = 64,
    source: Source = None,
) -> Tensor:
    """Divergence of the conditional jump toward z from the marginal one of a predicted mixture.

    One draw of where a jump lands, and integrals over the mixture by importance, by equally many draws from each of its
    kernels and from one about the landing, where the conditional intensity is. The logarithm of an estimate without
    bias is too low in the mean, so that a divergence is too large, and the bound still one.

    Parameters
    ----------
    path : AntipodalVMFPath
    x, z : Tensor, shape (B, L, 3, 3)
        Where the rotations are, and the clean ones.
    t : Tensor, shape (B, L)
    posterior : RotationPosterior
    draws : int
        From each kernel.
    source : torch.Generator, optional

    Returns
    -------
    Tensor, shape (B, L)
        Nats per unit time.
    """
    kappa = path.schedule.kappa(t)
    rate, landed = path.jump_rate(x, z, t), path.sample_jump(x, z, t, generator=source)
    # One more kernel, that of no weight: (B, L, K + 1).
    places = torch.cat((posterior.rotations, landed[:, :, None]), 2)
    kappas = torch.cat((posterior.concentration, kappa[..., None].to(posterior.concentration.dtype)), 2)
    clean = (places @ so3.exp(vmf.sample(kappas, shape=(draws,), generator=source))).movedim(-3, 1).flatten(0, 1)
    log_kernels = vmf.log_density(so3.angle(so3.relative(places, clean[..., None, :, :])), kappas)
    log_weight = posterior.log_density(clean) - torch.logsumexp(log_kernels, -1) - math.log(draws)
    log_rates = torch.log(path.jump_rate(x, clean, t))
    total = torch.exp(torch.logsumexp(log_weight + log_rates, 0))
    log_all = torch.logsumexp(log_weight + log_rates + path.destination_log_density(landed, clean, t), 0)
    log_conditional = torch.log(rate) + path.destination_log_density(landed, z, t)
    # A destination is drawn within rounding of where its density ends: there, once in a million draws, it has none.
    counts = (rate > 0) & log_conditional.isfinite()
    return total - rate + torch.where(counts, rate * (log_conditional - log_all), 0.0)
