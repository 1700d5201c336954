"""The combinations of path, generator and solver that `protgm verify` simulates, with their starts and exact laws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import kstest
from torch import Tensor

from protgm.lie import heat_kernel, so3, vmf
from protgm.matching import grids
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
    Term,
)
from protgm.matching.geodesic import RotationGeodesicPath
from protgm.matching.held import HeldPosterior
from protgm.matching.kappa import ExponentialKappa
from protgm.matching.mixture import MixturePath
from protgm.matching.predictions import FiniteData, Known
from protgm.matching.protocols import Predictor, ScorePath
from protgm.matching.schedules import Cosine, VarianceExploding, VariancePreserving
from protgm.matching.simulate import Adaptive, Euler, Fixed, Heun, Midpoint, Solver
from protgm.matching.so3_heat import HeatKernelPath
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.spaces import Euclidean
from protgm.matching.superposition import Superposition

__all__ = ["CASES", "Case", "distance_from"]

MODES = torch.tensor([[-1.0], [0.3], [1.4]])
SHARES = torch.tensor([0.5, 0.2, 0.3])
TOKENS = torch.tensor([0, 1, 2, 3])
TOKEN_SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])


@dataclass(frozen=True)
class Case:
    """One simulation.

    Parameters
    ----------
    path, name : str
        What the table shows of the path and the generator.
    generator, solver, controller, predict
        As in `protgm.matching.simulate`.
    start : Tensor
        Draws of the law at t = 0.
    measure : callable
        Distance of the simulated points from their exact law.
    """

    path: str
    name: str
    generator: Term | Superposition
    solver: Solver
    controller: Fixed | Adaptive
    predict: Predictor
    start: Tensor
    measure: Callable[[Tensor], float]


def distance_from(cdf: Callable[[Tensor], Tensor], values: Tensor, bottom: float, top: float) -> float:
    """Kolmogorov-Smirnov distance of numbers from a distribution function given on a grid of [bottom, top]."""
    grid = torch.linspace(bottom, top, 4001, dtype=torch.float64)
    table = cdf(grid).numpy()
    return float(kstest(values.double().flatten().numpy(), lambda v: np.interp(v, grid.numpy(), table)).statistic)


def _source(seed: int = 12345) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _count(steps: float, end: float) -> int:
    """Steps of a simulation to time ``end``, of so many steps per unit of time."""
    return max(1, round(steps * end))


def _on_line(
    label: str,
    path: GaussianPath,
    end: float,
    rows: Sequence[tuple[str, Term | Superposition, Solver, Fixed | Adaptive]],
    samples: int,
) -> Iterator[Case]:
    """Rows (name, generator, solver, controller) on the line, started from the exact law at t = 0."""
    predict, time = FiniteData(path, MODES, SHARES), torch.tensor(end, dtype=torch.float64)
    alpha, sigma = float(path.schedule.alpha(time)), path.scale * float(path.schedule.sigma(time))

    def cdf(grid: Tensor) -> Tensor:
        parts = [w * torch.special.ndtr((grid - alpha * z) / sigma) for w, z in zip(SHARES, MODES, strict=True)]
        return torch.stack(parts).sum(0)

    clean = MODES[torch.multinomial(SHARES, samples, replacement=True, generator=_source())]
    start = path.sample(clean, torch.zeros(()), generator=_source(54321))
    for name, generator, solver, controller in rows:
        yield Case(
            label, name, generator, solver, controller, predict, start, lambda x: distance_from(cdf, x, -5.0, 5.0)
        )


def line(samples: int, steps: int) -> Iterator[Case]:
    """Every generator of the CondOT path, and the solvers."""
    path, end = GaussianPath(), 0.9
    fixed, adaptive = Fixed(grids.log_remaining(_count(steps, end), 0.0, end)), Adaptive(end=end)
    flow, jump = Flow(path), Jump(path)
    mixed = 0.3 * flow + 0.7 * jump
    rows = (
        ("flow", flow, Euler(), fixed),
        ("flow", flow, Midpoint(), fixed),
        ("flow", flow, Heun(), fixed),
        ("flow", flow, Heun(), adaptive),
        ("flow", flow, HeldPosterior(), fixed),
        ("diffusion (reverse)", Diffusion(path), HeldPosterior(), fixed),
        ("diffusion (reverse)", Diffusion(path), Midpoint(), fixed),
        ("diffusion, g = 2 (1 - t)", Diffusion(path, lambda t: 2 * (1 - t)), Heun(), fixed),
        ("jump", jump, Euler(), fixed),
        ("jump", jump, Midpoint(), fixed),
        ("0.3 flow + 0.7 jump", mixed, Midpoint(), fixed),
        ("0.3 flow + 0.7 jump", mixed, Heun(), fixed),
        ("0.3 flow + 0.7 jump", mixed, Heun(), adaptive),
        ("(1-t) flow + t jump", (lambda t: 1 - t) * flow + (lambda t: t) * jump, Midpoint(), fixed),
        ("1.2 jump + 0.2 backward", 1.2 * jump + 0.2 * BackwardJump(path), Midpoint(), fixed),
        ("1.2 flow + 0.2 backward", 1.2 * flow + 0.2 * BackwardFlow(path), Midpoint(), fixed),
        ("flow + Langevin", flow + Langevin(path, lambda t: 1 - t), Midpoint(), fixed),
    )
    return _on_line("R: CondOT", path, end, rows, samples)


def schedules(samples: int, steps: int) -> Iterator[Case]:
    """Other Gaussian paths."""
    for label, schedule, end in (
        ("R: variance-preserving", VariancePreserving(0.1, 8.0), 0.9),
        ("R: variance-exploding", VarianceExploding(0.05, 5.0), 0.9),
        ("R: cosine", Cosine(), 0.9),
    ):
        path, fixed = GaussianPath(schedule), Fixed(grids.uniform(_count(steps, end), 0.0, end))
        rows = (
            ("flow", Flow(path), Midpoint(), fixed),
            ("diffusion (reverse)", Diffusion(path, maximum=20.0), Midpoint(), fixed),
            ("jump", Jump(path), Midpoint(), fixed),
        )
        yield from _on_line(label, path, end, rows, samples)


def plane(samples: int, steps: int) -> Iterator[Case]:
    """A circulation, which needs two dimensions; the first coordinate is looked at."""
    path, end, second = GaussianPath(), 0.9, torch.tensor([[0.5], [-1.0], [1.0]])
    predict = FiniteData(path, torch.cat((MODES, second), -1), SHARES)
    generator = Flow(path) + (lambda t: (1 - t) ** 2) * Circulation(path, torch.tensor([[0.0, 0.5], [-0.5, 0.0]]))
    start, fixed = (
        path.prior((samples, 2), generator=_source()),
        Fixed(grids.log_remaining(_count(steps, end), 0.0, end)),
    )

    def measure(x: Tensor) -> float:
        def cdf(grid: Tensor) -> Tensor:
            parts = [w * torch.special.ndtr((grid - end * z) / (1 - end)) for w, z in zip(SHARES, MODES, strict=True)]
            return torch.stack(parts).sum(0)

        return distance_from(cdf, x[:, 0], -5.0, 5.0)

    yield Case("R^2: CondOT", "flow + circulation", generator, Midpoint(), fixed, predict, start, measure)


def mixture(samples: int, steps: int) -> Iterator[Case]:
    """The mixture path, judged by the share that has arrived."""

    def noise(shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(*shape, 3, generator=generator)

    path, z, end = MixturePath(Euclidean(), noise), torch.ones(3).expand(samples, 3), 0.9
    start, fixed = path.prior((samples,), generator=_source()), Fixed(grids.uniform(_count(steps, end), 0.0, end))

    def measure(x: Tensor) -> float:
        return abs(float((x == z).all(-1).float().mean()) - end)

    yield Case("R^3: mixture", "jump", Jump(path), Euler(), fixed, Known(path, z), start, measure)


def rotations(samples: int, steps: int) -> Iterator[Case]:
    """Rotations under the three paths of SO(3), judged by their angle to the clean rotation."""
    vmf_path, heat, geodesic = AntipodalVMFPath(ExponentialKappa()), HeatKernelPath(), RotationGeodesicPath()
    end, heat_end, line_end = 0.3, 0.6, 0.8
    kappa = vmf_path.schedule.kappa(torch.tensor(end, dtype=torch.float64))
    tau, late = heat.tau(torch.tensor(heat_end, dtype=torch.float64)), torch.tensor(line_end, dtype=torch.float64)

    def heat_cdf(grid: Tensor) -> Tensor:
        density = torch.exp(heat_kernel.angle_log_density(grid, tau)).nan_to_num(0.0)
        return torch.nn.functional.pad(torch.cumulative_trapezoid(density, grid), (1, 0))

    fixed = Fixed(grids.log_kappa(vmf_path.schedule, _count(steps, end), end))
    top = min(np.pi, 14 / float(kappa) ** 0.5)
    yield from _turning(
        "SO(3): vMF", vmf_path, fixed, vmf_path.gentle_noise, lambda w: vmf.angle_cdf(w, kappa), top, samples
    )
    fixed, top = Fixed(grids.uniform(_count(steps, heat_end), 0.0, heat_end)), min(np.pi, 7 * float(tau) ** 0.5)
    yield from _turning("SO(3): heat kernel", heat, fixed, None, heat_cdf, top, samples)
    fixed = Fixed(grids.log_remaining(_count(steps, line_end), 0.0, line_end))
    yield from _turning("SO(3): geodesic", geodesic, fixed, None, lambda w: geodesic.angle_cdf(w, late), np.pi, samples)


def _turning(
    label: str,
    path: AntipodalVMFPath | HeatKernelPath | RotationGeodesicPath,
    fixed: Fixed,
    noise: Callable[[Tensor], Tensor] | None,
    cdf: Callable[[Tensor], Tensor],
    top: float,
    samples: int,
) -> Iterator[Case]:
    z = so3.exp(torch.tensor([0.4, -1.0, 0.8]))
    start = path.prior((samples,), generator=_source())
    predict = Known(path, z.expand_as(start))
    rows: list[tuple[str, Term | Superposition, Solver]] = [("flow", Flow(path), Midpoint())]
    if isinstance(path, ScorePath):
        name = "diffusion" if noise else "diffusion (reverse)"
        rows += [
            (name, Diffusion(path, noise), Midpoint()),
            ("jump", Jump(path), Euler()),
            ("0.3 flow + 0.7 jump", 0.3 * Flow(path) + 0.7 * Jump(path), Midpoint()),
        ]
        if isinstance(path, AntipodalVMFPath):
            rows.append(("0.3 flow + 0.7 jump", 0.3 * Flow(path) + 0.7 * Jump(path), HeldPosterior()))
    else:
        rows.append(("boundary jump", Jump(path), Euler()))

    def measure(x: Tensor) -> float:
        return distance_from(cdf, so3.angle(so3.relative(x, z.to(x.dtype).expand_as(x))), 0.0, top)

    for name, generator, solver in rows:
        yield Case(label, name, generator, solver, fixed, predict, start, measure)


def tokens(samples: int, steps: int) -> Iterator[Case]:
    """Chains on four tokens, judged by total variation."""
    for label, path in (("tokens: masking", MaskingPath(4)), ("tokens: uniform", UniformPath(4))):
        predict, end = FiniteData(path, TOKENS, TOKEN_SHARES), 0.9

        def measure(x: Tensor, path: MaskingPath | UniformPath = path, end: float = end) -> float:
            states, time = torch.arange(path.space.states)[:, None], torch.tensor(end)
            exact = (TOKEN_SHARES * path.probability(states, TOKENS, time)).sum(-1)
            found = torch.bincount(x.flatten(), minlength=path.space.states) / x.numel()
            return float(0.5 * (found - exact).abs().sum())

        fixed, start = (
            Fixed(grids.log_remaining(_count(steps, end), 0.0, end)),
            path.prior((samples,), generator=_source()),
        )
        for name, generator, solver in (
            ("jump", Jump(path), Euler()),
            ("jump", Jump(path), Midpoint()),
            ("jump + balance", Jump(path) + 2.0 * Balance(path), Midpoint()),
        ):
            yield Case(label, name, generator, solver, fixed, predict, start, measure)


CASES: tuple[Callable[[int, int], Iterator[Case]], ...] = (line, schedules, plane, mixture, rotations, tokens)
"""Each gives its cases for a number of samples and of steps per unit of time."""
