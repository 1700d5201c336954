"""Point sets: their centre, and the rotation that lays one on another."""

from __future__ import annotations

import torch
from torch import Tensor

from protgm.checks import check_tensor
from protgm.lie import so3

__all__ = ["about_z", "centre", "kabsch", "middle"]


def centre(points: Tensor, mask: Tensor | None = None) -> Tensor:
    """Points (..., N, 3) moved so that their mean is zero.

    Parameters
    ----------
    points : Tensor, shape (..., N, 3)
    mask : Tensor of bool, shape (..., N), optional
        Which points exist; the others are set to 0.

    Returns
    -------
    Tensor, shape (..., N, 3)

    Raises
    ------
    ValueError
        If the shape is another one, that of the mask does not fit, or the points are no floats.
    """
    check_tensor("points", points, "...", "N", 3)
    if mask is not None and mask.shape[-1:] != points.shape[-2:-1]:
        raise ValueError(f"mask: {tuple(mask.shape)} for points {tuple(points.shape)}")
    if mask is None:
        return points - points.mean(-2, keepdim=True)
    return (points - middle(points, mask)) * mask.unsqueeze(-1).to(points.dtype)


def middle(points: Tensor, mask: Tensor) -> Tensor:
    """Mean of points (..., N, 3) over a mask (..., N), shape (..., 1, 3); zero where the mask is empty."""
    weight = mask.unsqueeze(-1).to(points.dtype)
    total: Tensor = (points * weight).sum(-2, keepdim=True)
    return total / weight.sum(-2, keepdim=True).clamp_min(1)


def about_z(mobile: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """The rotation about z that lays points (..., N, 3) on others best, shape (..., 3, 3); weights are (..., N)."""
    over = mobile if weight is None else mobile * weight[..., None]
    along = (over * target)[..., :2].sum((-1, -2))
    across = (over[..., 0] * target[..., 1] - over[..., 1] * target[..., 0]).sum(-1)
    return so3.exp(torch.nn.functional.pad(torch.atan2(across, along)[..., None], (2, 0)))


def kabsch(mobile: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Rotation R of least ``sum w |R mobile - target|^2`` (Kabsch 1976), about the origin.

    Parameters
    ----------
    mobile, target : Tensor, shape (..., N, 3)
    weight : Tensor, shape (..., N), optional
        Of the points; bool or float.

    Returns
    -------
    Tensor, shape (..., 3, 3)

    Raises
    ------
    ValueError
        If the points are no floats of that shape, or not as many in one as in the other, or as there are weights.
    """
    check_tensor("mobile", mobile, "...", "N", 3)
    check_tensor("target", target, "...", mobile.shape[-2], 3)
    if weight is not None and weight.shape[-1:] != mobile.shape[-2:-1]:
        raise ValueError(f"weight: {tuple(weight.shape)} for points {tuple(mobile.shape)}")
    if weight is not None:
        target = target * weight[..., None].to(target.dtype)
    u, _, vh = torch.linalg.svd(target.mT @ mobile)
    handed = torch.linalg.det(u @ vh)
    turn: Tensor = torch.cat((u[..., :2], u[..., 2:] * handed[..., None, None]), dim=-1) @ vh
    return turn
