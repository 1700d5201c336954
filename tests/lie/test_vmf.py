"""The antipodal von Mises-Fisher law against quadrature, Bessel functions and draws, in both precisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import ive
from scipy.stats import kstest

from protgm.lie import so3, vmf

KAPPAS = [0.01, 0.3, 2.0, 11.0, 90.0, 3e3, 1e5]


def density_of_angle(w: float, kappa: float) -> float:
    """The obvious formula, ``kappa cosh(kappa c) / (2 I_1(kappa)) (1 - cos w) / pi``, scaled so as not to overflow."""
    c = math.cos(w / 2)
    scaled_cosh = 0.5 * (math.exp(kappa * (c - 1)) + math.exp(-kappa * (c + 1)))
    return kappa * scaled_cosh / (2 * ive(1, kappa)) * (1 - math.cos(w)) / math.pi


def scale_of(kappa: float) -> float:
    """An angle within which about all of the law lies."""
    return min(math.pi, 2 * 6.5 / math.sqrt(kappa))


def cdf_by_quad(w: float, kappa: float) -> float:
    return quad(density_of_angle, 0, w, args=(kappa,), epsabs=1e-13, epsrel=1e-12, limit=400)[0]


def tensors(*values: float) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(v, dtype=torch.float64) for v in values)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_density_and_distribution_function_are_those_of_quadrature(kappa):
    top = scale_of(kappa)
    assert cdf_by_quad(top, kappa) == pytest.approx(1, abs=1e-7)
    for w in np.linspace(0.05, 0.9, 7) * top:
        angle, k = tensors(w, kappa)
        assert vmf.angle_log_density(angle, k).exp().item() == pytest.approx(density_of_angle(w, kappa), rel=1e-8)
        assert vmf.angle_cdf(angle, k).item() == pytest.approx(cdf_by_quad(w, kappa), abs=1e-9)


@pytest.mark.parametrize("kappa", [*KAPPAS, 1e7])
def test_ratio_is_that_of_bessel_functions(kappa):
    (k,) = tensors(kappa)
    assert vmf.ratio(k).item() == pytest.approx(ive(2, kappa) / ive(1, kappa), rel=1e-10)
    if kappa > 1e4:
        assert vmf.ratio_complement(k).item() == pytest.approx(1.5 / kappa - 0.375 / kappa**2, rel=1e-9)


def test_density_rate_and_score_are_derivatives_of_the_log_density():
    angle, kappa = torch.meshgrid(
        torch.linspace(0.01, 3.13, 40, dtype=torch.float64),
        torch.logspace(-2, 4, 30, dtype=torch.float64),
        indexing="ij",
    )
    angle, kappa = angle.clone().requires_grad_(), kappa.clone().requires_grad_()
    by_angle, by_kappa = torch.autograd.grad(vmf.log_density(angle, kappa).sum(), (angle, kappa))
    assert torch.allclose(vmf.score(angle, kappa), by_angle, rtol=1e-9, atol=1e-12)
    assert torch.allclose(vmf.density_rate(angle, kappa), by_kappa, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_flow_speed_is_the_quotient_of_quadratures(kappa):
    step = 1e-4 * kappa
    for w in np.linspace(0.1, 0.6, 5) * scale_of(kappa):
        slope = (cdf_by_quad(w, kappa + step) - cdf_by_quad(w, kappa - step)) / (2 * step)
        angle, k = tensors(w, kappa)
        assert vmf.flow_speed(angle, k).item() == pytest.approx(slope / density_of_angle(w, kappa), rel=2e-5)


def test_flow_speed_at_its_ends():
    kappa = torch.logspace(-2, 6, 9, dtype=torch.float64)
    assert (vmf.flow_speed(torch.zeros(()).double(), kappa) == 0).all()
    assert (vmf.flow_speed(torch.tensor(math.pi, dtype=torch.float64), kappa).abs() < 1e-12).all()
    large, w = torch.tensor(1e7, dtype=torch.float64), torch.tensor(1e-3, dtype=torch.float64)
    assert vmf.flow_speed(w, large).item() == pytest.approx(1e-3 / 2e7, rel=1e-5)


def test_crossing_is_where_the_rate_changes_sign():
    w = torch.linspace(0.001, 2.09, 200, dtype=torch.float64)
    kappa = vmf.crossing_kappa(w)
    assert (vmf.density_rate(w, kappa * (1 - 1e-4)) > 0).all()
    assert (vmf.density_rate(w, kappa * (1 + 1e-4)) < 0).all()
    assert (vmf.crossing_kappa(torch.tensor([2.1, 3.0, math.pi])) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kappa", KAPPAS)
def test_draws_have_the_angle_law(kappa, dtype):
    generator = torch.Generator().manual_seed(7)
    k = torch.tensor(kappa, dtype=dtype)
    v = vmf.sample(k, shape=(100_000,), generator=generator)
    assert v.shape == (100_000, 3)
    assert v.dtype == dtype
    angle = torch.linalg.vector_norm(v, dim=-1).double()
    grid = torch.linspace(0, scale_of(kappa), 4001, dtype=torch.float64)
    cumulative = vmf.angle_cdf(grid, k.double())
    assert kstest(angle.numpy(), lambda w: np.interp(w, grid.numpy(), cumulative.numpy())).statistic < 0.005
    # A uniform axis: each component of the direction is uniform on [-1, 1] (Archimedes).
    for component in (v / v.norm(dim=-1, keepdim=True)).unbind(-1):
        assert kstest(component.numpy(), lambda c: (c + 1) / 2).statistic < 0.006


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kappa", KAPPAS)
def test_destinations_have_the_law_of_the_positive_rate(kappa, dtype):
    generator = torch.Generator().manual_seed(8)
    angle = torch.linalg.vector_norm(
        vmf.sample_destination(torch.full((100_000,), kappa, dtype=dtype), generator=generator), dim=-1
    ).double()
    grid = torch.linspace(0, scale_of(kappa), 20_001, dtype=torch.float64)
    k = torch.tensor(kappa, dtype=torch.float64)
    mass = vmf.density_rate(grid, k).clamp_min(0) * vmf.angle_log_density(grid, k).exp()
    cumulative = torch.cumulative_trapezoid(mass, grid)
    cumulative = torch.cat((torch.zeros(1), cumulative)) / cumulative[-1]
    assert kstest(angle.numpy(), lambda w: np.interp(w, grid.numpy(), cumulative.numpy())).statistic < 0.006


def test_small_concentration_is_the_uniform_law():
    angle = vmf.sample(torch.tensor(0.01), shape=(100_000,), generator=torch.Generator().manual_seed(9)).norm(dim=-1)
    assert kstest(angle.double().numpy(), lambda w: (w - np.sin(w)) / np.pi).statistic < 0.006


def test_float32_stays_accurate_over_the_whole_range():
    angle = torch.cat((torch.linspace(0, math.pi, 401), torch.logspace(-6, 0, 100)))[:, None]
    kappa = torch.logspace(-2, 6, 81)[None]
    # Where the law has mass (r = 2 sqrt(kappa) sin(w / 4) below 8), figures are good to five digits.
    inside = 2 * kappa.sqrt() * torch.sin(angle / 4) < 8
    for function in (vmf.log_density, vmf.score, vmf.flow_speed, vmf.density_rate):
        single, double = function(angle, kappa), function(angle.double(), kappa.double())
        assert single.isfinite().all()
        assert double.isfinite().all()
        error = (single.double() - double).abs()
        if function is not vmf.log_density:
            error = error / (double.abs() + 1e-2 * (double.abs() * inside).amax(0, keepdim=True))
        assert error[inside].max() < 1e-4, function.__name__


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_the_ends(dtype):
    angle = torch.tensor([0.0, 1e-6, 1.0, math.pi], dtype=dtype)[:, None].repeat(1, 4).requires_grad_()
    kappa = torch.tensor([0.01, 1.0, 1e3, 1e6], dtype=dtype).requires_grad_()
    for gradient in torch.autograd.grad(vmf.log_density(angle, kappa).sum(), (angle, kappa)):
        assert gradient.isfinite().all()


def test_density_is_normalised_with_respect_to_haar_measure():
    rotation = so3.random_uniform((400_000,), generator=torch.Generator().manual_seed(10), dtype=torch.float64)
    mean = vmf.log_density(so3.angle(rotation), torch.tensor(3.0, dtype=torch.float64)).exp().mean()
    assert mean.item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("apart", [0.0, 0.02, 1.3, np.pi])
@pytest.mark.parametrize(("kappa", "other"), [(0.05, 3.0), (8.0, 8.0), (40.0, 2.0), (200.0, 400.0)])
def test_the_integral_of_a_product_is_that_of_quadrature(kappa, other, apart):
    # Over the 3-sphere by the angles to the first mode and, in the rest, to the second: weight sin^2 sin.
    first = torch.linspace(0, np.pi, 4001, dtype=torch.float64)[:, None]
    second = torch.linspace(0, np.pi, 801, dtype=torch.float64)
    along = torch.cos(first) * np.cos(apart / 2) + torch.sin(first) * torch.cos(second) * np.sin(apart / 2)

    def density(cosine: torch.Tensor, k: float) -> torch.Tensor:
        return vmf.log_density(2 * torch.arccos(cosine.abs().clamp(max=1)), torch.tensor(k, dtype=torch.float64)).exp()

    values = density(torch.cos(first), kappa) * density(along, other) * torch.sin(first).square() * torch.sin(second)
    integral = torch.trapezoid(torch.trapezoid(values, second, dim=1), first[:, 0]) / np.pi
    found = vmf.log_overlap(*(torch.tensor(v, dtype=torch.float64) for v in (apart, kappa, other)))
    assert float(found.exp()) == pytest.approx(float(integral), rel=2e-4)


def test_the_integral_of_a_product_keeps_its_accuracy_in_float32():
    angle = torch.linspace(0, np.pi, 40)[:, None, None]
    kappa = torch.logspace(-2, 5, 8)
    found = vmf.log_overlap(angle, kappa[:, None], kappa)
    exact = vmf.log_overlap(angle.double(), kappa.double()[:, None], kappa.double())
    assert torch.isfinite(found).all()
    assert float((found - exact).abs().div(1 + exact.abs()).max()) < 2e-5
