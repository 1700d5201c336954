"""Every generator satisfies the Kolmogorov forward equation on its path; the check notices those that do not."""

from __future__ import annotations

import math

import pytest
import torch

from protgm.lie import so3
from protgm.matching.ctmc import MaskingPath, UniformPath
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import (
    BackwardFlow,
    BackwardJump,
    Balance,
    Circulation,
    Diffusion,
    Flow,
    Jump,
    Langevin,
)
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.mixture import MixturePath
from protgm.matching.product import ProductGenerator
from protgm.matching.schedules import Cosine, Polynomial, VarianceExploding, VariancePreserving
from protgm.matching.so3_heat import HeatKernelPath
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.spaces import Euclidean
from protgm.testing import assert_equivariant, assert_satisfies_kfe, kfe_residual
from protgm.testing.kfe import default_functions

POINT = torch.tensor([0.7, -0.4], dtype=torch.float64)
ROTATION = so3.exp(torch.tensor([0.4, -1.0, 0.8], dtype=torch.float64))
GAUSSIAN = [
    GaussianPath(),
    GaussianPath(scale=2.0),
    GaussianPath(Polynomial(2.0)),
    GaussianPath(Cosine()),
    GaussianPath(VariancePreserving(0.1, 5.0)),
    GaussianPath(VarianceExploding(0.05, 3.0)),
]


def all_terms(path):
    return {
        "flow": Flow(path),
        "diffusion": Diffusion(path, noise=0.6),
        "jump": Jump(path),
        "superposition": 0.3 * Flow(path) + 0.7 * Jump(path),
        "weights of t": (lambda t: t) * Flow(path) + (lambda t: 1 - t) * Jump(path),
        "langevin": Flow(path) + 0.5 * Langevin(path, noise=0.8),
        "corrector": 1.5 * Jump(path) + 0.5 * BackwardJump(path),
        "to and fro": 1.5 * Flow(path) + 0.5 * BackwardFlow(path),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", list(all_terms(GAUSSIAN[0])))
def test_gaussian_generators(name):
    assert_satisfies_kfe(all_terms(GAUSSIAN[0])[name], POINT, (0.3, 0.7))


def test_a_flow_without_divergence_leaves_every_marginal():
    turn = torch.tensor([[0.0, 1.5], [-1.5, 0.0]])
    assert_satisfies_kfe(Flow(GAUSSIAN[0]) + 2.0 * Circulation(GAUSSIAN[0], turn), POINT, (0.3, 0.7))
    lopsided = torch.tensor([[0.0, 1.5], [-1.5, 0.0]])
    crooked = Circulation(GAUSSIAN[0], lopsided)
    lopsided[0, 0] = 1.0  # what the constructor would refuse
    assert kfe_residual(Flow(GAUSSIAN[0]) + crooked, POINT, 0.5, samples=20_000).abs().max() > 6


@pytest.mark.parametrize("path", GAUSSIAN, ids=str)
def test_every_gaussian_schedule_with_flow_and_jump(path):
    assert_satisfies_kfe(0.5 * Flow(path) + 0.5 * Jump(path), POINT, (0.5,))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(all_terms(GAUSSIAN[0])))
@pytest.mark.parametrize("path", [AntipodalVMFPath(QuadraticKappa()), HeatKernelPath()], ids=["vmf", "heat"])
def test_rotation_generators(path, name):
    assert_satisfies_kfe(all_terms(path)[name], ROTATION, (0.4,))


@pytest.mark.parametrize("path", [HeatKernelPath(), GaussianPath()], ids=["heat", "condot"])
def test_exact_reversal(path):
    z = ROTATION if isinstance(path, HeatKernelPath) else POINT
    assert_satisfies_kfe(Diffusion(path), z, (0.5,))


@pytest.mark.parametrize("path", [MaskingPath(5), UniformPath(5)], ids=["masking", "uniform"])
def test_token_generators(path):
    z = torch.tensor(3)
    for generator in (Jump(path), Jump(path) + 2.0 * Balance(path)):
        assert_satisfies_kfe(generator, z)


def test_mixture_path_jumps_to_its_point():
    """``d/dt <p_t, f> = kappa' (f(z) - <p_0, f>)`` equals the mean of the rate times ``f(z) - f(x)``."""
    path = MixturePath(Euclidean(), lambda shape, generator: torch.randn(*shape, 2, generator=generator).double())
    z, t, source = POINT.expand(200_000, 2), torch.tensor(0.6, dtype=torch.float64), torch.Generator().manual_seed(0)
    x, noise = path.sample(z, t, generator=source), path.prior((200_000,), generator=source)
    for f in default_functions((2,)):
        growth = f(POINT) - f(noise).mean()
        acted = path.jump_rate(x, z, t) * (f(z) - f(x))
        assert abs(float(acted.mean() - growth)) < 5 * float(acted.std()) / 200_000**0.5


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_geodesic_flow_and_boundary_jump_by_quadrature(t):
    """Functions of the angle, whose density is ``(1 - cos(w / s)) / (pi s)`` up to pi s, with s = 1 - t."""
    s = 1 - t
    u = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    w, law = s * u, (1 - torch.cos(u)) / math.pi
    for m in (1, 2, 5):
        f, slope = torch.cos(m * w), -m * torch.sin(m * w)
        growth = torch.trapezoid(law * slope * -u, u)  # d/dt of <law, f(s u)>
        flow = torch.trapezoid(law * slope * (-w / s), u)
        assert abs(float(growth - flow)) < 1e-12
        swept = 2 / (math.pi * s) * math.pi  # density at the boundary times its speed
        landing = (1 - torch.cos(u) + u * torch.sin(u)) / (2 * math.pi)
        jump = swept * (torch.trapezoid(landing * f, u) - f[-1])
        assert float(jump) == pytest.approx(float(growth), rel=1e-6, abs=1e-7)


def test_the_check_notices_wrong_generators():
    """Half the velocity, a jump that lands elsewhere, noise without its score: each is many standard errors off."""

    class Slow(GaussianPath):
        def velocity(self, x, z, t):
            return 0.9 * super().velocity(x, z, t)

    class Astray(GaussianPath):
        def sample_jump(self, x, z, t, *, generator=None):
            return super().sample_jump(x, z, t, generator=generator) + 0.2

    class Deaf(GaussianPath):
        def score(self, x, z, t):
            return 0.5 * super().score(x, z, t)

    for generator in (Flow(Slow()), Jump(Astray()), Diffusion(Deaf(), noise=1.0)):
        assert kfe_residual(generator, POINT, 0.5, samples=20_000).abs().max() > 6
    with pytest.raises(AssertionError, match=r"does not satisfy the Kolmogorov forward equation at t = 0\.5"):
        assert_satisfies_kfe(Flow(Slow()), POINT, (0.5,), samples=20_000)


class Hasty(GaussianPath):
    """A velocity that is 2 % too fast."""

    def velocity(self, x, z, t):
        return 1.02 * super().velocity(x, z, t)


class HastyTurn(AntipodalVMFPath):
    """The same on rotations."""

    def velocity(self, x, z, t):
        return 1.02 * super().velocity(x, z, t)


@pytest.mark.parametrize(
    ("right", "hasty", "z", "time"),
    [
        (GaussianPath(), Hasty(), POINT, 0.3),
        (GaussianPath(), Hasty(), POINT, 0.8),
        (AntipodalVMFPath(QuadraticKappa()), HastyTurn(QuadraticKappa()), ROTATION, 0.4),
    ],
    ids=["early", "late", "rotations"],
)
def test_a_velocity_two_percent_too_fast_is_refused_and_the_right_one_is_not(right, hasty, z, time):
    assert assert_satisfies_kfe(Flow(right), z, (time,)) <= 0.0205
    with pytest.raises(AssertionError, match="standard errors"):
        assert_satisfies_kfe(Flow(hasty), z, (time,))


def test_tokens_that_appear_two_percent_too_early_are_refused():
    class Early(UniformPath):
        def hazard(self, x, z, t, h):
            return 1.02 * super().hazard(x, z, t, h)

    assert assert_satisfies_kfe(Jump(UniformPath(5)), torch.tensor(3), (0.5,)) <= 0.0205
    with pytest.raises(AssertionError, match="standard errors"):
        assert_satisfies_kfe(Jump(Early(5)), torch.tensor(3), (0.5,))


@pytest.mark.long
def test_false_alarms_and_power_are_as_stated():
    """400 right generators at a false-alarm rate of .05, and 150 that are a tenth too fast at a power of .9.

    Bonferroni's bound makes alarms rarer than stated, since test functions depend on each other.
    """

    class Tenth(GaussianPath):
        def velocity(self, x, z, t):
            return 1.1 * super().velocity(x, z, t)

    def refused(path, seed):
        try:
            assert_satisfies_kfe(
                Flow(path), POINT, (0.5,), refuse=0.1, power=0.9, false_alarm=0.05, seed=10 * seed, most=20_000
            )
        except AssertionError:
            return True
        return False

    alarms = sum(refused(GaussianPath(), seed) for seed in range(400))
    assert 0 < alarms <= 400 * 0.05 + 3 * (400 * 0.05 * 0.95) ** 0.5
    found = sum(refused(Tenth(), seed) for seed in range(150))
    assert found >= 150 * 0.9 - 3 * (150 * 0.9 * 0.1) ** 0.5


def test_what_could_have_been_found_is_said():
    few = assert_satisfies_kfe(Flow(GAUSSIAN[0]), POINT, (0.5,), samples=2_000)
    many = assert_satisfies_kfe(Flow(GAUSSIAN[0]), POINT, (0.5,), samples=50_000)
    assert few == pytest.approx(5 * many)  # the pilot is the same
    assert 0.03 < many < 0.1
    with pytest.raises(ValueError, match="one component"):
        assert_satisfies_kfe(ProductGenerator(Flow(GAUSSIAN[0])), POINT)
    with pytest.raises(ValueError, match="cannot be tested"):
        kfe_residual(Jump(MixturePath(Euclidean(), lambda n, generator: torch.zeros(*n, 2))), POINT, 0.5)


def test_assert_equivariant_accepts_and_names_the_culprit():
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def move(inputs, rotation, translation):
        return (inputs[0] @ rotation.mT + translation,)

    def move_back(output, rotation, translation):
        return output[0] @ rotation.mT + translation, output[1]

    def good(x):
        return x.mean(0, keepdim=True) + 0.1 * (x - x.mean(0)) * x.std(0).norm(), torch.cdist(x, x)

    def bad(x):
        return x.clamp_min(0), torch.cdist(x, x)

    def measured(x):  # invariants only
        return torch.cdist(x, x)

    assert assert_equivariant(measured, (points,), move) < 1e-10
    with pytest.raises(AssertionError, match="output 0 is not equivariant"):
        assert_equivariant(bad, (points,), move, move_back)
    assert assert_equivariant(good, (points,), move, move_back) < 1e-10
