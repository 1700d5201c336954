"""Marginal generators of finite data on point sets, strings and products: joint laws are kept."""

from __future__ import annotations

import pytest
import torch

from protgm.lie import so3
from protgm.matching import grids
from protgm.matching.ctmc import MaskingPath
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import (
    Diffusion,
    Flow,
    Jump,
    Langevin,
)
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.predictions import FiniteData, FiniteProduct
from protgm.matching.product import ProductGenerator, ProductPath
from protgm.matching.simulate import Euler, simulate
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.spaces import CentredPoints

MODES, SHARES = torch.tensor([[-1.0], [0.3], [1.4]]), torch.tensor([0.5, 0.2, 0.3])


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


SHAPES = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


SHAPES = SHAPES - SHAPES.mean(1, keepdim=True)


@pytest.mark.parametrize("name", ["flow", "diffusion", "flow + Langevin"])
@pytest.mark.slow
def test_point_sets_of_finite_data_keep_their_weights(name):
    """Three sets of five points, shares .5/.2/.3: one posterior per set, and no centre of mass at any time."""
    path, count = GaussianPath(space=CentredPoints(), scale=2.0), 6_000
    predict = FiniteData(path, SHAPES, SHARES.double())
    generators = {
        "flow": Flow(path),
        "diffusion": Diffusion(path),
        "flow + Langevin": Flow(path) + Langevin(path, lambda t: 1 - t),
    }
    x = path.prior((count, 5, 3), generator=source(8), dtype=torch.float64)
    assert predict.posterior(x, torch.tensor(0.3).double()).shape == (3, count)
    x = simulate(generators[name], predict, x, grids.log_remaining(100, 0.0, 0.995), source=source(9))
    assert x.shape == (count, 5, 3)
    assert x.mean(1).abs().max() < 1e-10
    gaps = (x[:, None] - SHAPES).square().sum((-1, -2))
    assert gaps.min(1).values.max() < 0.1
    found = torch.bincount(gaps.argmin(1), minlength=3) / count
    assert (found - SHARES).abs().max() < 4 * (0.25 / count) ** 0.5


def test_strings_of_finite_data_keep_their_joint_law():
    """Four strings of three letters whose letters depend on each other: nothing but these four comes out."""
    strings, weights = torch.tensor([[0, 1, 2], [2, 1, 0], [1, 1, 1], [0, 0, 2]]), torch.tensor([0.4, 0.3, 0.2, 0.1])
    path, count = MaskingPath(3), 8_000
    grid = grids.uniform(60)
    x = simulate(Jump(path), FiniteData(path, strings, weights), path.prior((count, 3)), grid, solver=Euler(),
                 source=source(10))  # fmt: skip
    same = (x[:, None] == strings).all(-1)
    assert (same.float().mean(0) - weights).abs().max() < 0.03  # letters that change in one step are one draw
    assert same.any(1).float().mean() > 0.97


@pytest.mark.slow
def test_a_posterior_over_products_couples_the_components():
    """A position, a rotation and a letter that belong together stay together under a flow, a mixture and a jump."""
    paths = ProductPath((GaussianPath(), AntipodalVMFPath(QuadraticKappa()), MaskingPath(3)))
    turns = so3.exp(torch.tensor([[0.0, 0, 0], [1.6, 0, 0], [0, 2.0, 1.0]]))
    predict, count = FiniteProduct(paths, (MODES, turns, torch.arange(3)), SHARES), 4_000
    line, turn, letter = paths.paths
    generator = ProductGenerator(Flow(line), 0.5 * Flow(turn) + 0.5 * Jump(turn), Jump(letter))
    start = paths.prior(((count, 1), (count,), (count,)), generator=source(11))
    x, r, s = simulate(generator, predict, start, grids.log_remaining(150, 0.0, 0.998), source=source(12))
    near = (x - MODES.T).abs().argmin(1)
    turned = torch.stack([so3.angle(so3.relative(r, m.expand_as(r))) for m in turns]).argmin(0)
    assert (near == turned).float().mean() > 0.98
    assert ((near == s) | (s == 3)).float().mean() > 0.98
    found = torch.bincount(near, minlength=3) / count
    assert (found - SHARES).abs().max() < 4 * (0.25 / count) ** 0.5
