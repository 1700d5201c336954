"""Likelihoods of known densities by the probability-flow ODE on R^d, point sets and rotations, exact and Hutchinson."""

from __future__ import annotations

import math

import pytest
import torch

from protgm.lie import so3
from protgm.matching import grids
from protgm.matching.euclidean import GaussianPath
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.likelihood import Exact, Hutchinson, log_likelihood, normal_log_density
from protgm.matching.predictions import FiniteData
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.spaces import CentredPoints, Euclidean, Rotations

POINTS = torch.tensor([[-1.0, 0.5], [1.0, 0.0]], dtype=torch.float64)
SHARES = torch.tensor([0.3, 0.7], dtype=torch.float64)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def marginal(path, points, t, x):
    logs = torch.stack([math.log(w) + path.log_density(x, p, t) for p, w in zip(points, SHARES, strict=True)])
    return torch.logsumexp(logs, 0)


@pytest.mark.parametrize(("divergence", "tolerance"), [(Exact(), 5e-3), (Hutchinson(8), 1.0)])
@pytest.mark.slow
def test_density_of_a_mixture_in_the_plane(divergence, tolerance):
    path, end = GaussianPath(), 0.7
    predict = FiniteData(path, POINTS, SHARES)
    x = path.sample(POINTS[torch.arange(12) % 2], torch.tensor(end, dtype=torch.float64), generator=source())
    found = log_likelihood(
        Euclidean(), lambda y, t: predict(y, t).velocity(), x, grids.uniform(60, 0, end), normal_log_density,
        divergence=divergence, source=source(1),
    )  # fmt: skip
    error = found - marginal(path, POINTS, torch.tensor(end, dtype=torch.float64), x)
    assert error.abs().max() < tolerance
    assert abs(float(error.mean())) < 0.2


@pytest.mark.slow
def test_density_of_a_rotation_law_with_respect_to_haar_measure():
    path = AntipodalVMFPath(QuadraticKappa())
    z = so3.exp(torch.tensor([[0.2, 0.1, 0.0], [1.5, -0.5, 0.3]], dtype=torch.float64))
    predict, end = FiniteData(path, z, SHARES), torch.tensor(0.6, dtype=torch.float64)
    x = path.sample(z[torch.arange(8) % 2], end, generator=source(2))

    def velocity(y, t):
        return predict(y, t).velocity()

    found = log_likelihood(
        Rotations(), velocity, x, grids.uniform(40, 0, 0.6), lambda y: marginal(path, z, torch.zeros(()).double(), y)
    )
    assert (found - marginal(path, z, end, x)).abs().max() < 0.02


@pytest.mark.slow
def test_centred_point_sets_count_their_dimensions():
    """One data point: the flow is linear, and the law at t a normal one on 3 (N - 1) dimensions."""
    path = GaussianPath(space=CentredPoints())
    z = path.space.project(torch.randn(4, 3, generator=source(), dtype=torch.float64))
    x = path.space.project(0.5 * z + 0.5 * torch.randn(6, 4, 3, generator=source(1), dtype=torch.float64))
    found = log_likelihood(
        path.space,
        lambda y, t: path.velocity(y, z, t),
        x,
        grids.uniform(50, 0, 0.5),
        lambda y: normal_log_density(y, joint=2, centred=True),
        joint=2,
    )
    assert torch.allclose(found, normal_log_density(x - 0.5 * z, 0.5, joint=2, centred=True), atol=2e-3)
