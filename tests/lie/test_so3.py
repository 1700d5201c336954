"""Rotations: group axioms, inverses at 0 and pi, oracles, gradients, shapes, both precisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from protgm.lie import so3

DTYPES = [torch.float32, torch.float64]
ANGLES = [
    0.0,
    1e-12,
    1e-8,
    1e-5,
    1e-4,
    5e-4,
    1e-3,
    1e-2,
    0.5,
    1.0,
    2.0,
    3.0,
    math.pi - 1e-2,
    math.pi - 1e-4,
    math.pi - 1e-7,
]


def tolerance(dtype: torch.dtype) -> float:
    return 3e-6 if dtype == torch.float32 else 1e-14


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(dtype: torch.dtype, count: int = 64) -> torch.Tensor:
    """Rotation vectors of every angle in ANGLES about random axes, shape (len(ANGLES), count, 3)."""
    axis = torch.nn.functional.normalize(
        torch.randn(len(ANGLES), count, 3, generator=generator(), dtype=torch.float64), dim=-1
    )
    return (axis * torch.tensor(ANGLES, dtype=torch.float64)[:, None, None]).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_is_a_rotation_at_every_angle(dtype):
    rotation = so3.exp(vectors(dtype))
    identity = torch.eye(3, dtype=dtype)
    assert (rotation @ rotation.mT - identity).abs().max() < tolerance(dtype)
    assert (torch.linalg.det(rotation) - 1).abs().max() < tolerance(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_agrees_with_scipy_and_roma(dtype):
    v = vectors(dtype)
    ours = so3.exp(v)
    scipy = torch.from_numpy(Rotation.from_rotvec(v.double().reshape(-1, 3).numpy()).as_matrix()).reshape(*v.shape, 3)
    assert (ours.double() - scipy).abs().max() < (1e-6 if dtype == torch.float32 else 1e-14)
    assert (ours.double() - roma.rotvec_to_rotmat(v.double())).abs().max() < (1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_inverts_exp_from_zero_to_almost_pi(dtype):
    v = vectors(dtype)[:-1]  # within rounding of pi the sign of the axis is free: tested below
    assert (so3.log(so3.exp(v)) - v).abs().max() < (3e-6 if dtype == torch.float32 else 1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_keeps_relative_accuracy_at_small_angles(dtype):
    v = vectors(dtype)[2:9]
    error = torch.linalg.vector_norm(so3.log(so3.exp(v)) - v, dim=-1) / torch.linalg.vector_norm(v, dim=-1)
    assert error.max() < (1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_at_exactly_pi_is_a_logarithm_of_length_pi(dtype):
    axes = torch.nn.functional.normalize(torch.randn(500, 3, generator=generator(1), dtype=torch.float64), dim=-1)
    axes = torch.cat((axes, torch.eye(3, dtype=torch.float64), -torch.eye(3, dtype=torch.float64)))
    half_turn = (2 * axes[:, :, None] * axes[:, None, :] - torch.eye(3, dtype=torch.float64)).to(dtype)
    v = so3.log(half_turn)
    assert (torch.linalg.vector_norm(v, dim=-1) - math.pi).abs().max() < 1e-6
    assert (so3.exp(v) - half_turn).abs().max() < (2e-6 if dtype == torch.float32 else 1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_and_angle_agree_with_scipy_on_uniform_rotations(dtype):
    rotation = so3.random_uniform((20_000,), generator=generator(2), dtype=torch.float64)
    oracle = Rotation.from_matrix(rotation.numpy())
    ours = so3.log(rotation.to(dtype)).double()
    difference = np.minimum(
        np.abs(ours.numpy() - oracle.as_rotvec()).max(-1), np.abs(ours.numpy() + oracle.as_rotvec()).max(-1)
    )
    near_pi = oracle.magnitude() > math.pi - 1e-5
    signed = np.abs(ours.numpy() - oracle.as_rotvec()).max(-1)
    limit = 1e-6 if dtype == torch.float32 else 1e-12
    assert difference.max() < limit
    assert signed[~near_pi].max() < limit
    assert np.abs(so3.angle(rotation.to(dtype)).double().numpy() - oracle.magnitude()).max() < limit


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3, 1.0, 3.0, math.pi - 1e-3, math.pi])
def test_float32_agrees_with_scipy_to_one_millionth_at_every_angle(angle):
    """Exponential and logarithm against scipy in float64; at pi itself either sign of the axis is right."""
    axis = torch.nn.functional.normalize(torch.randn(5_000, 3, generator=generator(10)), dim=-1)
    v = axis * angle
    exact = torch.from_numpy(Rotation.from_rotvec(v.double().numpy()).as_matrix())
    assert (so3.exp(v).double() - exact).abs().max() < 1e-6
    logs, back = (
        torch.from_numpy(Rotation.from_matrix(exact.float().double().numpy()).as_rotvec()),
        so3.log(exact.float()),
    )
    error = (back.double() - logs).abs().amax(-1)
    if angle > math.pi - 1e-4:
        error = torch.minimum(error, (back.double() + logs).abs().amax(-1))
    assert error.max() < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_group_axioms(dtype):
    a, b, c = so3.random_uniform((3, 200), generator=generator(3), dtype=dtype)
    assert torch.allclose((a @ b) @ c, a @ (b @ c), atol=tolerance(dtype))
    assert (so3.relative(a, a) - torch.eye(3, dtype=dtype)).abs().max() < tolerance(dtype)
    assert torch.allclose(a @ so3.relative(a, b), b, atol=tolerance(dtype))
    assert torch.allclose(so3.angle(so3.relative(a, b)), so3.angle(so3.relative(b, a)), atol=1e-6)
    assert torch.allclose(so3.exp(-so3.log(a)), a.mT, atol=tolerance(dtype))


def test_exp_of_whole_turns_is_the_identity():
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    assert torch.allclose(so3.exp(4 * math.pi * axis), torch.eye(3, dtype=torch.float64), atol=1e-14)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0,), (2, 0, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_batch_shape_keeps_dtype(shape, dtype):
    rotation = so3.random_uniform(shape, generator=generator(4), dtype=dtype)
    vector, quaternion = so3.log(rotation), so3.to_quaternion(rotation)
    assert rotation.shape == (*shape, 3, 3)
    assert vector.shape == (*shape, 3)
    assert quaternion.shape == (*shape, 4)
    assert so3.angle(rotation).shape == shape
    assert so3.exp(vector).shape == (*shape, 3, 3)
    for value in (rotation, vector, quaternion, so3.angle(rotation), so3.exp(vector), so3.from_quaternion(quaternion)):
        assert value.dtype == dtype
    assert torch.allclose(so3.from_quaternion(3.7 * quaternion), rotation, atol=tolerance(dtype))


def test_quaternion_has_scipy_order_up_to_sign():
    rotation = so3.random_uniform((1000,), generator=generator(5), dtype=torch.float64)
    ours = so3.to_quaternion(rotation)
    theirs = torch.from_numpy(Rotation.from_matrix(rotation.numpy()).as_quat())[:, [3, 0, 1, 2]]
    assert (ours[:, 0] >= 0).all()
    assert ((ours * theirs).sum(-1).abs() - 1).abs().max() < 1e-12


def test_hat_is_the_cross_product():
    a, b = torch.randn(2, 10, 3, generator=generator(6), dtype=torch.float64)
    assert torch.allclose((so3.hat(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_finite_at_zero_and_pi(dtype):
    v = torch.cat(
        (vectors(dtype, 8).flatten(0, 1), math.pi * torch.eye(3, dtype=dtype), torch.zeros(1, 3, dtype=dtype))
    )
    v.requires_grad_()
    rotation = so3.exp(v)
    for value in (rotation.square().sum() + rotation.sum(), so3.log(rotation).sum(), so3.angle(rotation).sum()):
        (gradient,) = torch.autograd.grad(value, v, retain_graph=True)
        assert gradient.isfinite().all()


def test_gradient_of_log_of_identity_and_of_a_half_turn_are_finite():
    for matrix in (torch.eye(3), torch.diag(torch.tensor([1.0, -1, -1])), torch.diag(torch.tensor([-1.0, -1, 1]))):
        matrix = matrix.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(so3.log(matrix).square().sum(), matrix)
        assert gradient.isfinite().all()


def test_gradients_are_the_derivatives():
    v = vectors(torch.float64, 2)[6:13].flatten(0, 1).requires_grad_()
    assert torch.autograd.gradcheck(so3.exp, v)
    assert torch.autograd.gradcheck(lambda u: so3.log(so3.exp(u)), v)
    assert torch.autograd.gradcheck(lambda u: so3.angle(so3.exp(u)), v)


def test_orthonormalize_repairs_drift_and_is_idempotent():
    rotation = so3.random_uniform((100,), generator=generator(7), dtype=torch.float64)
    drifted = rotation + 1e-4 * torch.randn(100, 3, 3, generator=generator(8), dtype=torch.float64)
    repaired = so3.orthonormalize(drifted)
    assert (repaired @ repaired.mT - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-14
    assert (repaired - rotation).abs().max() < 1e-3
    assert (so3.orthonormalize(repaired) - repaired).abs().max() < 1e-14


def test_uniform_rotations_have_the_haar_angle_law():
    from scipy.stats import kstest

    angle = so3.angle(so3.random_uniform((100_000,), generator=generator(9), dtype=torch.float64)).numpy()
    assert kstest(angle, lambda w: (w - np.sin(w)) / np.pi).statistic < 0.006


def test_batch_of_one_gives_what_it_gives_inside_a_batch():
    v = vectors(torch.float32, 4).flatten(0, 1)
    together = so3.log(so3.exp(v))
    assert torch.equal(together, torch.stack([so3.log(so3.exp(one)) for one in v]))


@pytest.mark.parametrize(
    ("function", "shape"), [(so3.exp, (4,)), (so3.log, (3, 4)), (so3.angle, (3,)), (so3.from_quaternion, (3,))]
)
def test_a_wrong_shape_is_named(function, shape):
    with pytest.raises(ValueError, match="must have shape"):
        function(torch.zeros(shape))
