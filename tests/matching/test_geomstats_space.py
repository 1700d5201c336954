"""Manifolds of geomstats as state spaces, without a trace in torch or numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from protgm.lie import so3
from protgm.matching import grids
from protgm.matching.generators import Flow, Jump
from protgm.matching.geodesic import GeodesicPath
from protgm.matching.geomstats_space import Manifold, manifold
from protgm.matching.mixture import MixturePath
from protgm.matching.predictions import Known
from protgm.matching.simulate import Euler, Midpoint, simulate
from protgm.matching.spaces import Space


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_import_changes_no_global_state():
    names, state = set(vars(np)), np.random.get_state()[1][:4].copy()  # noqa: NPY002
    sphere = manifold("Hypersphere", dim=2)
    sphere.uniform((3,), generator=source())
    assert set(vars(np)) == names
    assert torch.get_default_dtype() == torch.float32
    assert (np.random.get_state()[1][:4] == state).all()  # noqa: NPY002


ALL = [
    ("Hypersphere", {"dim": 2}),
    ("Hyperboloid", {"dim": 2}),
    ("PoincareBall", {"dim": 2}),
    ("SPDMatrices", {"n": 2}),
    ("Grassmannian", {"n": 3, "p": 1}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), ALL)
def test_flow_on_a_geodesic_path_arrives(name, settings):
    space = manifold(name, **settings)
    assert isinstance(space, Space)
    path = GeodesicPath(space, space.uniform)
    x0, z = space.uniform((16,), generator=source(1)).double(), space.uniform((16,), generator=source(2)).double()
    halfway = path.sample(z, torch.tensor(0.5, dtype=torch.float64), noise=x0)
    there, back = space.toward(halfway, z), space.toward(halfway, x0)
    assert torch.allclose(there, -back, atol=1e-6)
    for solver in (Euler(), Midpoint()):
        x = simulate(Flow(path), Known(path, z), x0, grids.uniform(10, 0, 0.9), solver=solver)
        assert torch.allclose(x, path.sample(z, torch.tensor(0.9, dtype=torch.float64), noise=x0), atol=1e-5)


@pytest.mark.parametrize(("name", "settings"), ALL)
def test_noise_is_standard_in_the_metric_of_the_manifold(name, settings):
    """The squared length of a standard normal tangent has its dimension as its mean, whatever the metric."""
    space = manifold(name, **settings)
    point = space.uniform((), generator=source(5)).double()
    x = point.expand(4_000, *point.shape)
    v = space.noise(x, generator=source(6))
    inside = space._space
    squares = inside.metric.squared_norm(v.numpy().copy(), x.numpy().copy())
    assert squares.mean() == pytest.approx(inside.dim, rel=0.06)
    assert np.abs(inside.to_tangent(v.numpy().copy(), x.numpy().copy()) - v.numpy()).max() < 1e-6
    assert repr(space) == f"Manifold({name}, dimension {inside.dim})"


def test_the_mixture_jump_works_on_any_manifold():
    sphere = manifold("Hypersphere", dim=2)
    x = sphere.uniform((32,), generator=source(7)).double()
    pole = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(32, 3)
    path = GeodesicPath(sphere, sphere.uniform)
    jumped = simulate(
        Jump(MixturePath(sphere, sphere.uniform)), Known(path, pole), x, grids.uniform(10), source=source(8)
    )
    assert torch.allclose(jumped, pole)
    assert torch.allclose(path.sample(pole, torch.tensor(0.3).double(), noise=x).norm(dim=-1), torch.ones(32).double())


def test_noise_is_tangent_and_standard():
    sphere = manifold("Hypersphere", dim=2)
    x = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64).expand(20_000, 3)
    v = sphere.noise(x, generator=source(3))
    assert ((v * x).sum(-1).abs() < 1e-12).all()
    assert float(v.square().sum(-1).mean()) == pytest.approx(2, abs=0.06)


def test_rotations_agree_with_geomstats():
    """The group of geomstats as an oracle: exponential and logarithm to 1e-6 in float32."""
    from protgm.matching.geomstats_space import _lent_names

    with _lent_names():
        from geomstats.geometry.special_orthogonal import SpecialOrthogonal

    group = SpecialOrthogonal(n=3, point_type="vector")
    axis = torch.nn.functional.normalize(torch.randn(21, 3, generator=source(4)), dim=-1)
    v = torch.pi * axis * torch.linspace(0, 1, 21)[:, None]  # from 0 to a half turn, both ends included
    theirs = torch.from_numpy(group.matrix_from_rotation_vector(v.double().numpy()))
    assert (so3.exp(v) - theirs).abs().max() < 1e-6
    logs = torch.from_numpy(np.stack([group.rotation_vector_from_matrix(m.numpy()) for m in theirs])).float()
    error = torch.minimum(
        (so3.log(theirs.float()) - logs).abs().amax(-1), (so3.log(theirs.float()) + logs).abs().amax(-1)
    )
    assert error.max() < 1e-6


def test_bad_requests_are_named(monkeypatch):
    with pytest.raises(ValueError, match="unknown 'Torus'"):
        manifold("Torus", dim=2)
    with pytest.raises(ValueError, match="has no metric"):
        Manifold(object())
    monkeypatch.setenv("GEOMSTATS_BACKEND", "pytorch")
    with pytest.raises(ValueError, match="only numpy is supported"):
        manifold("Hypersphere", dim=2)
