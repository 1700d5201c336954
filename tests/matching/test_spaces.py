"""State spaces: moves and tangents invert each other, noise is standard, products act component by component."""

from __future__ import annotations

import math

import pytest
import torch

from protgm.lie import so3
from protgm.matching import grids
from protgm.matching.generators import Flow, Jump
from protgm.matching.geodesic import GeodesicPath
from protgm.matching.mixture import MixturePath
from protgm.matching.predictions import Known
from protgm.matching.simulate import simulate
from protgm.matching.spaces import (
    Categorical,
    CentredPoints,
    Euclidean,
    ProductSpace,
    Rotations,
    Space,
    Torus,
    rigid_frames,
)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(space: Space, n: int, seed: int) -> torch.Tensor:
    """A few points, shape (n, *event), or (n, 4, 3) of centred point sets."""
    if isinstance(space, Rotations):
        return space.uniform((n,), generator=source(seed), dtype=torch.float64)
    if isinstance(space, Torus):
        return space.uniform((n, 2), generator=source(seed)).double()
    x = torch.randn(n, 4, 3, generator=source(seed), dtype=torch.float64)
    return space.project(x) if isinstance(space, CentredPoints) else x


@pytest.mark.parametrize("space", [Euclidean(), CentredPoints(), Rotations(), Torus()], ids=lambda s: type(s).__name__)
def test_moving_toward_a_point_arrives(space):
    x, y = points(space, 50, 0), points(space, 50, 1)
    tangent = space.toward(x, y)
    assert torch.allclose(space.move(x, tangent), y, atol=1e-10)
    halfway = space.move(x, tangent / 2)
    rest = space.toward(halfway, y)
    assert torch.allclose(rest, space.transport(tangent / 2, x, halfway), atol=1e-9)
    assert isinstance(space, Space)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("space", [Euclidean(), CentredPoints(), Rotations(), Torus()], ids=lambda s: type(s).__name__)
def test_noise_is_standard_and_keeps_its_dtype(space, dtype):
    x = points(space, 5_000, 2).to(dtype)
    v = space.noise(x, generator=source(3))
    assert v.dtype == dtype
    size = v[0].numel() - (3 if isinstance(space, CentredPoints) else 0)
    assert float(v.square().flatten(1).sum(-1).mean()) == pytest.approx(size, rel=0.05)
    if isinstance(space, CentredPoints):
        assert v.mean(-2).abs().max() < 1e-5
    assert torch.equal(v, space.noise(x, generator=source(3)))


def test_angles_go_the_shorter_way_and_stay_in_their_range():
    torus = Torus()
    x, y = torch.tensor([3.0, -3.0]), torch.tensor([-3.0, 3.0])
    assert torch.allclose(torus.toward(x, y), torch.tensor([2 * math.pi - 6, 6 - 2 * math.pi]), atol=1e-6)
    moved = torus.move(x, torch.tensor([100.0, -100.0]))
    assert (moved.abs() <= math.pi).all()
    assert torch.allclose(torch.cos(moved), torch.cos(x + torch.tensor([100.0, -100.0])), atol=1e-5)


def test_flow_and_jump_on_a_torus():
    torus = Torus()

    def prior(shape, generator):
        return torus.uniform((*shape, 2), generator=generator)

    z = torch.tensor([3.1, -3.0]).expand(4_000, 2)
    x = prior((4_000,), source(4))
    path = GeodesicPath(torus, prior)
    there = simulate(Flow(path), Known(path, z), x, grids.uniform(20, 0, 0.9))
    assert torch.allclose(torus.toward(there, z), 0.1 * torus.toward(x, z), atol=1e-4)
    mixture = MixturePath(torus, prior)
    jumped = simulate(Jump(mixture), Known(mixture, z), x, grids.uniform(20, 0, 0.7), source=source(5))
    assert float((jumped == z).all(-1).float().mean()) == pytest.approx(0.7, abs=0.03)


def test_rigid_frames_are_centred_positions_and_rotations():
    space = rigid_frames()
    x = (points(CentredPoints(), 3, 6), so3.random_uniform((3, 4), generator=source(7), dtype=torch.float64))
    y = (points(CentredPoints(), 3, 8), so3.random_uniform((3, 4), generator=source(9), dtype=torch.float64))
    tangent = space.toward(x, y)
    for moved, target in zip(space.move(x, tangent), y, strict=True):
        assert torch.allclose(moved, target, atol=1e-9)
    for carried, whole in zip(space.transport(tangent, x, y), tangent, strict=True):
        assert torch.equal(carried, whole)
    assert [v.shape for v in space.noise(x, generator=source())] == [(3, 4, 3), (3, 4, 3)]


def test_tokens_in_a_product_have_no_tangents():
    space = ProductSpace((Euclidean(), Categorical(4)))
    x, y = (torch.zeros(5, 2), torch.zeros(5).long()), (torch.ones(5, 2), torch.ones(5).long())
    tangent = space.toward(x, y)
    assert tangent[1] is None
    assert space.noise(x)[1] is None
    assert space.transport(tangent, x, y)[1] is None
    moved = space.move(x, tangent)
    assert torch.equal(moved[0], y[0])
    assert torch.equal(moved[1], x[1])
    with pytest.raises(ValueError, match="at least one space"):
        ProductSpace(())
