"""Terms add, invalid sums are refused, products act component by component, solvers converge at their order."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest, norm

from protgm.lie import so3
from protgm.matching import grids, saving
from protgm.matching.ctmc import MaskingPath
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import (
    BackwardJump,
    Balance,
    Circulation,
    Diffusion,
    Flow,
    Jump,
    Langevin,
    Superposition,
)
from protgm.matching.geodesic import GeodesicPath
from protgm.matching.kappa import ExponentialKappa, QuadraticKappa
from protgm.matching.mixture import MixturePath
from protgm.matching.predictions import FiniteData, Known, Learned, PointPrediction
from protgm.matching.product import ProductGenerator, as_generator
from protgm.matching.simulate import Adaptive, Euler, Fixed, Heun, Midpoint, simulate
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.spaces import CentredPoints, Euclidean
from protgm.streams import Streams

PATH = GaussianPath()
MODES, SHARES = torch.tensor([[-1.0], [0.3], [1.4]]), torch.tensor([0.5, 0.2, 0.3])
PREDICT = FiniteData(PATH, MODES, SHARES)


X, T, ROWS = torch.zeros(4, 1), torch.tensor(0.3003), torch.linspace(0, 0.9, 3)[:, None].expand(3, 8)


def gap(at):
    """A weight that is a half but for a fiftieth around one time."""
    return lambda t: torch.where((t - at).abs() < 0.01, 1.0, 0.5)


def BLIP(t):
    """A half, but for a moment between the times at which a sum is checked when it is made."""
    return torch.where((t - 0.3003).abs() < 1e-5, 0.4, 0.5)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_generator(0.5 * Flow(PATH) + 0.4 * Jump(PATH)), "carry the law 0.9 times at t = 0"),
        (lambda: as_generator(1.5 * Flow(PATH) + -0.5 * Jump(PATH)), "must not be negative"),
        (lambda: as_generator((lambda t: t) * Flow(PATH) + (lambda t: t) * Jump(PATH)), "they must sum to one"),
        (lambda: as_generator(1.0 * Langevin(PATH)), "carry the law 0 times"),
        (lambda: as_generator(1.0 * Jump(PATH) + 0.5 * BackwardJump(PATH)), "carry the law 0.5 times"),
        (lambda: 0.5 * Flow(PATH) + 0.5 * Jump(GaussianPath(scale=2.0)), "must share one path"),
        (lambda: Flow(MixturePath(Euclidean(), torch.randn)), "MixturePath has no velocity"),
        (lambda: Diffusion(MaskingPath(3)), "MaskingPath has no velocity"),
        (lambda: Diffusion(AntipodalVMFPath()), "AntipodalVMFPath has no reverse_noise"),
        (lambda: Balance(PATH), "GaussianPath has no balance_hazard"),
        (lambda: Circulation(PATH, torch.eye(2)), "must be antisymmetric"),
        (lambda: Circulation(AntipodalVMFPath(), torch.zeros(3, 3)), "is not on R"),
        (lambda: as_generator(gap(0.24) * Flow(PATH) + gap(0.24) * Jump(PATH)), "carry the law 2 times at t = 0.23"),
        (lambda: as_generator(0.5 * Flow(PATH) + BLIP * Jump(PATH)).drift(PREDICT(X, T), T), "at t = 0.3003"),
        (lambda: simulate(Flow(PATH), PREDICT, torch.zeros(8, 8, 1), Fixed(ROWS)), r"t of shape \(8,\) does not fit"),
        (lambda: PATH.sample(torch.zeros(8, 8, 8), torch.zeros(8)), r"batch of shape \(8, 8\)"),
        (lambda: MaskingPath(3).sample(torch.zeros(4, 4).long(), torch.zeros(4)), "each of size 1 or the batch's"),
        (lambda: AntipodalVMFPath().sample(torch.eye(3).expand(5, 4, 3, 3), torch.zeros(4)), "2 dimensions"),
        (lambda: FiniteData(GaussianPath(space=CentredPoints()), MODES, SHARES), "CentredPoints need shape"),
        (lambda: FiniteData(PATH, torch.zeros(3, 2, 1), SHARES)(torch.zeros(1), T), "more dimensions than the state"),
        (lambda: FiniteData(GeodesicPath(Euclidean(), torch.randn), MODES, SHARES)(X, T), "neither log_density"),
        (lambda: as_generator(1.0 * Circulation(PATH, torch.zeros(1, 1))), "carry the law 0 times"),
        (lambda: Superposition(()), "at least one term"),
        (lambda: simulate(Flow(PATH), PREDICT, torch.zeros(3, 1), Adaptive(start=0.5, end=0.5)), "takes no step"),
        (lambda: PREDICT.__class__(PATH, MODES, -SHARES), "non-negative weight"),
        (lambda: Learned().score(), "does not give"),
        (lambda: Fixed(torch.tensor([0.0, 0.5, 0.4])), "must not decrease"),
        (lambda: Adaptive(hazard=0), "must be positive"),
        (lambda: saving.Every(0), "stride"),
        (lambda: grids.log_remaining(5, end=1.0), "below 1"),
        (lambda: grids.uniform(0), "steps >= 1"),
    ],
)
def test_invalid_combinations_are_refused_with_one_clear_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_sums_are_read_as_they_are_written():
    generator = as_generator(0.3 * Flow(PATH) + 0.7 * Jump(PATH) + 2.0 * Langevin(PATH, 0.1))
    assert [w for w, _ in generator.parts] == [0.3, 0.7, 2.0]
    assert repr(generator).startswith("0.3 Flow(")
    nested = as_generator(0.5 * Flow(PATH) + (0.25 * Flow(PATH) + 0.25 * Jump(PATH)))
    assert len(nested.parts) == 3


def mixture_cdf(t: float):
    return lambda v: sum(float(w) * norm.cdf(v, t * float(z), 1 - t) for w, z in zip(SHARES, MODES, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "generator",
    [Flow(PATH), Diffusion(PATH), Jump(PATH), 0.3 * Flow(PATH) + 0.7 * Jump(PATH)],
    ids=["flow", "diffusion", "jump", "superposition"],
)
def test_marginal_generators_reach_the_noise_floor_on_the_line(generator, dtype):
    """Chance alone exceeds the limit once in 1000 times; with 1e5 samples in tests/testing/test_verify.py."""
    count = 20_000
    predict = FiniteData(PATH, MODES.to(dtype), SHARES.to(dtype))
    x = PATH.prior((count, 1), generator=source(1), dtype=dtype)
    x = simulate(generator, predict, x, grids.log_remaining(60, 0.0, 0.6), source=source(2))
    assert x.dtype == dtype
    assert kstest(x[:, 0].double().numpy(), mixture_cdf(0.6)).statistic <= 1.95 / count**0.5


@pytest.mark.parametrize(("solver", "order"), [(Euler(), 1), (Midpoint(), 2), (Heun(), 2)])
def test_solvers_converge_at_their_order(solver, order):
    """One clean point: the flow has the solution ``x_t = t z + (1 - t) x_0`` on another clock, here a curved one."""
    from protgm.matching.schedules import Cosine

    path = GaussianPath(Cosine())
    z, x0 = torch.tensor([[1.2]], dtype=torch.float64), torch.tensor([[-0.7]], dtype=torch.float64)
    exact = math.sin(0.4 * math.pi) * z + math.cos(0.4 * math.pi) * x0
    errors = [
        float((simulate(Flow(path), Known(path, z), x0, grids.uniform(n, 0, 0.8), solver=solver) - exact).abs())
        for n in (40, 80)
    ]
    assert errors[1] < 0.01
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_adaptive_steps_keep_their_bounds_and_the_law():
    generator = as_generator(0.3 * Flow(PATH) + 0.7 * Jump(PATH))
    save = saving.Every()
    x = PATH.prior((20_000, 1), generator=source(3))
    trajectory = simulate(
        generator, PREDICT, x, Adaptive(hazard=0.2, end=0.8), solver=Heun(), save=save, source=source(4)
    )
    times = torch.stack([t for t, _ in trajectory])
    assert times[0] == 0
    assert float(times[-1]) == pytest.approx(0.8, abs=1e-6)
    assert (times.diff() > 0).all()
    assert times.diff()[len(times) // 2] > times.diff()[-1]  # the rate grows toward the data
    assert kstest(trajectory[-1][1][:, 0].numpy(), mixture_cdf(0.8)).statistic <= 0.014


def test_two_times_per_element_and_elements_that_rest():
    """A grid with a column per element: the first runs all the way, the second has arrived and stays."""
    z = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    times = torch.stack((torch.linspace(0, 0.9, 41), torch.full((41,), 0.9)), dim=1).double()
    x = torch.tensor([[0.5], [0.25]], dtype=torch.float64)
    out = simulate(Flow(PATH), Known(PATH, z), x, times)
    assert torch.allclose(out, torch.tensor([[0.9 + 0.05], [0.25]], dtype=torch.float64), atol=1e-6)


@pytest.mark.slow
def test_product_of_positions_rotations_and_tokens():
    turns, tokens = AntipodalVMFPath(QuadraticKappa()), MaskingPath(4)
    n = 4_000
    z = (torch.tensor([1.0, -2.0, 0.5]), so3.exp(torch.tensor([0.3, 0.2, -0.4])), torch.tensor(2))
    parts = [Known(p, c.expand(n, *c.shape)) for p, c in zip((PATH, turns, tokens), z, strict=True)]
    calls = []

    def predict(x, t):
        calls.append(t)
        return tuple(k(a, t) for k, a in zip(parts, x, strict=True))

    generator = ProductGenerator(Flow(PATH), 0.5 * Flow(turns) + 0.5 * Jump(turns), Jump(tokens))
    x = (PATH.prior((n, 3), generator=source()), turns.prior((n,), generator=source()), tokens.prior((n,)))
    a, b, c = simulate(generator, predict, x, grids.log_remaining(40, 0, 0.98), source=source(1))
    assert len(calls) == 80  # the predictor sees the whole state, once per stage
    assert (a - z[0]).abs().max() < 0.15
    assert float(so3.angle(so3.relative(b, z[1].expand_as(b))).mean()) < 0.1
    assert float((c == 2).float().mean()) == pytest.approx(0.98, abs=0.008)
    adaptive = simulate(generator, predict, x, Adaptive(end=0.5, largest=0.2, tolerance=0.05), source=source(1))
    assert adaptive[0].shape == (n, 3)


def test_mixture_path_by_simulation():
    path = MixturePath(Euclidean(), lambda shape, generator: torch.randn(*shape, 2, generator=generator))
    z = torch.tensor([3.0, 4.0]).expand(20_000, 2)
    x = simulate(
        Jump(path),
        Known(path, z),
        path.prior((20_000,), generator=source()),
        grids.uniform(20, 0, 0.9),
        source=source(1),
    )
    assert float((x == z).all(-1).float().mean()) == pytest.approx(0.9, abs=0.008)
    assert float(
        (path.sample(z, torch.tensor(0.25), generator=source(2)) == z).all(-1).float().mean()
    ) == pytest.approx(0.25, abs=0.01)


def test_geodesic_flow_in_the_plane_is_a_straight_line():
    path = GeodesicPath(Euclidean(), lambda shape, generator: torch.randn(*shape, 2, generator=generator))
    z, x0 = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, -1.0]])
    assert torch.allclose(
        simulate(Flow(path), Known(path, z), x0, grids.uniform(9, 0, 0.9)), 0.1 * x0 + 0.9 * z, atol=1e-5
    )
    assert torch.allclose(path.sample(z, torch.tensor(0.5), noise=x0), (x0 + z) / 2)


def three_rotations():
    z = so3.exp(torch.tensor([[0.0, 0.0, 0.0], [1.6, 0.0, 0.0], [0.0, 2.0, 1.0]]))
    path = AntipodalVMFPath(ExponentialKappa())
    return path, z, FiniteData(path, z, torch.tensor([0.5, 0.3, 0.2]))


def weights_of(x, z):
    return torch.bincount(so3.angle(so3.relative(x[:, None], z)).argmin(-1), minlength=3) / len(x)


@pytest.mark.parametrize("jump", [0.0, 0.5, 1.0])
@pytest.mark.slow
def test_three_modes_get_their_weights_from_posterior_draws_only(jump):
    path, z, exact = three_rotations()
    generator = as_generator((1 - jump) * Flow(path) + jump * Jump(path))
    x = path.prior((6_000,), generator=source(5))
    grid = grids.log_kappa(path.schedule, 60, 0.35)
    right = weights_of(simulate(generator, exact, x, grid, source=source(6)), z)
    assert (right - torch.tensor([0.5, 0.3, 0.2])).abs().max() < 0.02
    wrong = weights_of(simulate(generator, PointPrediction(exact), x, grid, solver=Euler(), source=source(6)), z)
    assert wrong[0] > 0.53 if jump == 1 else wrong[0] > 0.6


@pytest.mark.long
@pytest.mark.parametrize("jump", [0.0, 0.7, 1.0])
def test_three_modes_get_their_weights_within_a_hundredth(jump):
    path, z, exact = three_rotations()
    generator = as_generator((1 - jump) * Flow(path) + jump * Jump(path))
    x = path.prior((40_000,), generator=source(7))
    x = simulate(generator, exact, x, grids.log_kappa(path.schedule, 100, 0.4), source=source(8))
    assert (weights_of(x, z) - torch.tensor([0.5, 0.3, 0.2])).abs().max() < 0.01


def test_saving_and_progress():
    x, grid = torch.zeros(3, 1), grids.uniform(10, 0, 0.5)
    kept = simulate(Flow(PATH), Known(PATH, torch.ones(3, 1)), x, grid, save=saving.Every(4))
    assert [round(float(t), 2) for t, _ in kept] == [0.0, 0.2, 0.4, 0.5]
    at = simulate(Flow(PATH), Known(PATH, torch.ones(3, 1)), x, grid, save=saving.AtTimes([0.25, 0.5]))
    assert [round(float(t), 2) for t, _ in at] == [0.25, 0.5]

    class Count(saving.NoProgress):
        seen, closed = 0, False

        def update(self, step, total, t):
            assert total == 10
            self.seen = step

        def close(self):
            self.closed = True

    progress = Count()
    simulate(Flow(PATH), Known(PATH, torch.ones(3, 1)), x, grid, progress=progress)
    assert progress.seen == 10
    assert progress.closed


def test_terminal_progress_runs(capsys):
    bar = saving.TerminalProgress("toy")
    simulate(Flow(PATH), Known(PATH, torch.ones(3, 1)), torch.zeros(3, 1), grids.uniform(3, 0, 0.5), progress=bar)
    assert "toy" in capsys.readouterr().out


def test_streams_make_a_sample_independent_of_its_batch():
    path, _, exact = three_rotations()
    generator = 0.5 * Flow(path) + 0.5 * Jump(path)
    x = path.prior((2, 4), generator=Streams([1, 2], [4, 4]))
    grid = grids.log_kappa(path.schedule, 10, 0.2)
    together = simulate(generator, exact, x, grid, source=Streams([1, 2], [4, 4]))
    alone = simulate(generator, exact, x[1:], grid, source=Streams([2], [4]))
    assert torch.allclose(together[1:], alone, atol=1e-6)


def test_log_kappa_grid_is_even_in_log_kappa():
    schedule = ExponentialKappa()
    times = grids.log_kappa(schedule, 50, 0.5)
    steps = torch.log(schedule.kappa(times[20:])).diff()
    assert (steps.max() / steps.min()) < 1.02
    assert times[0] == 0
    assert times[-1] == 0.5
