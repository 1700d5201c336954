"""The marginal velocity of a protein's probability flow, as a smooth function of its frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from protgm.lie import so3, vmf
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.model import Prediction, RotationPosterior

__all__ = ["posterior_velocity", "rotation_velocity"]

_RADII, _SLOPES = (np.polynomial.legendre.leggauss(n) for n in (24, 16))
#: Nothing of a kernel lies further out than this many standard deviations of one component.
_WIDEST = 5.0


def rotation_velocity(path: AntipodalVMFPath, x: Tensor, t: Tensor, prediction: Prediction) -> Tensor:
    """Marginal velocity of rotations x (B, L, 3, 3) at times t (B, L), tangents (B, L, 3).

    Raises
    ------
    ValueError
        If a network predicts neither velocity nor posterior.
    """
    if prediction.velocity is not None:
        return path.velocity_scale(t).unsqueeze(-1) * prediction.velocity
    if prediction.posterior is None:
        raise ValueError("a flow needs weights that predict the velocity or the posterior of rotations")
    return posterior_velocity(path, x, t, prediction.posterior)


def posterior_velocity(path: AntipodalVMFPath, x: Tensor, t: Tensor, posterior: RotationPosterior) -> Tensor:
    """Mean of the conditional velocity over a mixture of kernels, by quadrature, (B, L, 3).

    The mean over a kernel points along the axis to its middle, so that two angles are left to integrate over: how far
    the clean rotation lies from the middle, and in which direction to that axis. Unlike a mean over draws it can be
    differentiated.
    """
    toward = so3.log(so3.relative(x[:, :, None], posterior.rotations))
    apart = torch.sqrt(toward.square().sum(-1) + 1e-12)
    along = _mean_speed(apart, posterior.concentration, path.schedule.kappa(t)[..., None])
    weight = torch.softmax(posterior.logits, dim=-1) * along / apart
    return path.schedule.derivative(t).unsqueeze(-1) * (weight[..., None] * toward).sum(2)


def _mean_speed(apart: Tensor, concentration: Tensor, kappa: Tensor) -> Tensor:
    """Mean over a kernel of the flow's speed along the axis to its middle, ``apart`` away; per unit kappa, (...)."""
    nodes, weights = (torch.as_tensor(v, dtype=apart.dtype, device=apart.device) for v in _RADII)
    cosines, shares = (torch.as_tensor(v, dtype=apart.dtype, device=apart.device) for v in _SLOPES)
    top = (2 * _WIDEST / torch.sqrt(concentration)).clamp(max=torch.pi)
    radius = (0.5 * (nodes + 1)) * top[..., None]
    # The law of the distance, up to a constant, which the weights' sum takes out.
    log_law = vmf.angle_log_density(radius, concentration[..., None])
    law = torch.softmax(log_law + torch.log(weights), dim=-1)
    half, out = apart[..., None, None] / 2, radius[..., None] / 2
    # The quaternion of (turn by `apart` about the axis) (turn by `radius` about a direction of this cosine to it).
    real = torch.cos(half) * torch.cos(out) - torch.sin(half) * torch.sin(out) * cosines
    axial = torch.cos(half) * torch.sin(out) * cosines + torch.sin(half) * torch.cos(out)
    beside = torch.sin(out).square() * (1 - cosines.square())
    length = torch.sqrt(axial.square() + beside + 1e-14)
    angle = 2 * torch.atan2(length, real.abs())
    speed = vmf.flow_speed(angle, kappa[..., None, None]) * torch.sign(real) * axial / length
    return ((speed * shares).sum(-1) / 2 * law).sum(-1)
