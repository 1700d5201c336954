"""Rotations of three-dimensional space: exponential, logarithm, quaternions, uniform draws.

Rotation matrices are ``(..., 3, 3)`` tensors acting on column vectors, rotation vectors are ``(..., 3)`` tensors in
radians, quaternions are ``(..., 4)`` tensors ordered ``(w, x, y, z)``. Every function takes any batch shape, keeps
dtype and device, is exact (to rounding) near the angles 0 and pi, has finite gradients there, and has no branch on
data, so that `torch.compile` takes it whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from protgm.streams import Source, randn

__all__ = [
    "angle",
    "exp",
    "from_quaternion",
    "hat",
    "log",
    "orthonormalize",
    "random_uniform",
    "relative",
    "to_quaternion",
]


def _small(dtype: torch.dtype) -> float:
    """Below this square of an angle the first Taylor terms are exact to rounding."""
    return 1e-8 if dtype == torch.float64 else 1e-4


def _check(value: Tensor, shape: tuple[int, ...], what: str) -> None:
    expected = ", ".join(str(n) for n in shape)
    if not isinstance(value, Tensor):
        raise ValueError(f"{what}: a torch tensor of shape (..., {expected}) is wanted, got {type(value).__name__}")
    if tuple(value.shape[-len(shape) :]) != shape:
        raise ValueError(f"{what} must have shape (..., {expected}), got {tuple(value.shape)}")


def hat(vector: Tensor) -> Tensor:
    """The skew matrix of a vector: ``hat(v) @ a == cross(v, a)``.

    Parameters
    ----------
    vector : Tensor, shape (..., 3)

    Returns
    -------
    Tensor, shape (..., 3, 3)
    """
    _check(vector, (3,), "vector")
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    out: Tensor = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))
    return out


def exp(vector: Tensor) -> Tensor:
    """The rotation about a vector, by its length (Rodrigues' formula).

    Parameters
    ----------
    vector : Tensor, shape (..., 3)
        Rotation vector in radians, of any length.

    Returns
    -------
    Tensor, shape (..., 3, 3)
        Rotation matrix.
    """
    _check(vector, (3,), "vector")
    x, y, z = vector.unbind(-1)
    square = x * x + y * y + z * z
    tiny = square < _small(vector.dtype)
    safe = torch.where(tiny, torch.ones_like(square), square)
    theta = torch.sqrt(safe)
    half = torch.sin(0.5 * theta)
    # sin(t)/t and (1 - cos t)/t^2; the latter through the half angle, which loses no digits to 1 - cos.
    first = torch.where(tiny, 1 - square / 6 * (1 - square / 20), torch.sin(theta) / theta)
    second = torch.where(tiny, 0.5 - square / 24 * (1 - square / 30), 2 * half * half / safe)
    xx, yy, zz = second * x * x, second * y * y, second * z * z
    xy, xz, yz = second * x * y, second * x * z, second * y * z
    ax, ay, az = first * x, first * y, first * z
    out: Tensor = torch.stack(
        (1 - yy - zz, xy - az, xz + ay, xy + az, 1 - xx - zz, yz - ax, xz - ay, yz + ax, 1 - xx - yy), dim=-1
    ).unflatten(-1, (3, 3))
    return out


def to_quaternion(rotation: Tensor) -> Tensor:
    """Unit quaternion of a rotation, with non-negative real part.

    The four rows of ``4 q q^T`` are linear in the matrix; the one with the largest diagonal element is normalised, so
    that no digit is lost at any angle (Shepperd 1978).

    Parameters
    ----------
    rotation : Tensor, shape (..., 3, 3)

    Returns
    -------
    Tensor, shape (..., 4)
        ``(w, x, y, z)`` with ``w >= 0``.
    """
    _check(rotation, (3, 3), "rotation")
    a, b, c, d, e, f, g, h, i = rotation.flatten(-2).unbind(-1)
    ww, xx, yy, zz = 1 + a + e + i, 1 + a - e - i, 1 - a + e - i, 1 - a - e + i
    wx, wy, wz = h - f, c - g, d - b
    xy, xz, yz = b + d, c + g, f + h
    upper = torch.maximum(ww, xx)
    lower = torch.maximum(yy, zz)
    w_first, y_first, use_upper = ww >= xx, yy >= zz, upper >= lower

    def pick(w: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return torch.where(use_upper, torch.where(w_first, w, x), torch.where(y_first, y, z))

    qw, qx, qy, qz = pick(ww, wx, wy, wz), pick(wx, xx, xy, xz), pick(wy, xy, yy, yz), pick(wz, xz, yz, zz)
    scale = torch.rsqrt(qw * qw + qx * qx + qy * qy + qz * qz)
    scale = torch.where(qw < 0, -scale, scale)
    return torch.stack((qw * scale, qx * scale, qy * scale, qz * scale), dim=-1)


def from_quaternion(quaternion: Tensor) -> Tensor:
    """Rotation of a quaternion of any non-zero length.

    Parameters
    ----------
    quaternion : Tensor, shape (..., 4)
        ``(w, x, y, z)``.

    Returns
    -------
    Tensor, shape (..., 3, 3)
    """
    _check(quaternion, (4,), "quaternion")
    w, x, y, z = quaternion.unbind(-1)
    scale = 2 / (w * w + x * x + y * y + z * z)
    xx, yy, zz = scale * x * x, scale * y * y, scale * z * z
    xy, xz, yz = scale * x * y, scale * x * z, scale * y * z
    wx, wy, wz = scale * w * x, scale * w * y, scale * w * z
    out: Tensor = torch.stack(
        (1 - yy - zz, xy - wz, xz + wy, xy + wz, 1 - xx - zz, yz - wx, xz - wy, yz + wx, 1 - xx - yy), dim=-1
    ).unflatten(-1, (3, 3))
    return out


def log(rotation: Tensor) -> Tensor:
    """Rotation vector of a rotation; the inverse of `exp` on angles in [0, pi].

    Parameters
    ----------
    rotation : Tensor, shape (..., 3, 3)

    Returns
    -------
    Tensor, shape (..., 3)
        Rotation vector in radians, of length at most pi. At pi either sign is right; one is returned.
    """
    w, x, y, z = to_quaternion(rotation).unbind(-1)
    square = x * x + y * y + z * z
    tiny = square < _small(rotation.dtype)
    safe = torch.where(tiny, torch.ones_like(square), square)
    sine = torch.sqrt(safe)
    real = torch.where(tiny, w, torch.ones_like(w))  # keeps the unused branch away from w = 0
    factor = torch.where(tiny, 2 / real * (1 - square / (3 * real * real)), 2 * torch.atan2(sine, w) / sine)
    return torch.stack((factor * x, factor * y, factor * z), dim=-1)


def angle(rotation: Tensor) -> Tensor:
    """Rotation angle, in [0, pi].

    Parameters
    ----------
    rotation : Tensor, shape (..., 3, 3)

    Returns
    -------
    Tensor, shape (...)
        Radians. The gradient at exactly 0 and pi, where the angle has a kink, is 0.
    """
    _check(rotation, (3, 3), "rotation")
    a, b, c, d, e, f, g, h, i = rotation.flatten(-2).unbind(-1)
    x, y, z = h - f, c - g, d - b
    square = x * x + y * y + z * z
    zero = square == 0
    sine = torch.where(zero, torch.zeros_like(square), torch.sqrt(torch.where(zero, torch.ones_like(square), square)))
    return torch.atan2(sine, a + e + i - 1)


def relative(origin: Tensor, target: Tensor) -> Tensor:
    """``origin^T @ target``: the target seen from the origin's frame, shape (..., 3, 3)."""
    return origin.transpose(-1, -2) @ target


def orthonormalize(matrix: Tensor) -> Tensor:
    """Remove the drift that rounding builds up in a product of many rotations, shape (..., 3, 3)."""
    return from_quaternion(to_quaternion(matrix))


def random_uniform(
    shape: Sequence[int] = (),
    *,
    generator: Source = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Rotations drawn from the uniform (Haar) law.

    Parameters
    ----------
    shape : sequence of int
        Batch shape.
    generator : torch.Generator or Streams, optional
        Source of randomness.
    dtype, device
        Of the result; torch's defaults where not given.

    Returns
    -------
    Tensor, shape (*shape, 3, 3)
    """
    return from_quaternion(randn((*shape, 4), generator, dtype=dtype, device=device))
