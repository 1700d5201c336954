"""The table behind ``protgm verify``.

Every path x generator x solver simulated, its law compared with the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import kstest, norm
from torch import Tensor

from protgm.lie import heat_kernel, so3, vmf
from protgm.matching import grids
from protgm.matching.ctmc import MaskingPath, UniformPath
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import BackwardJump, Balance, Diffusion, Flow, Jump, Langevin
from protgm.matching.geodesic import RotationGeodesicPath
from protgm.matching.kappa import ExponentialKappa
from protgm.matching.predictions import FiniteData, Known
from protgm.matching.simulate import Adaptive, Euler, Fixed, Heun, Midpoint, simulate
from protgm.matching.so3_heat import HeatKernelPath
from protgm.matching.so3_paths import AntipodalVMFPath

__all__ = ["Row", "noise_floor", "verify_rows", "verify_table"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    path, generator, solver : str
    distance : float
        Kolmogorov-Smirnov distance from the exact law; total variation for tokens.
    floor : float
        What chance alone reaches once in 20 times at this number of samples.
    limit : float
        What is accepted: chance once in 200 times, and an allowance for the finite step.
    """

    path: str
    generator: str
    solver: str
    distance: float
    floor: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether the distance is accepted."""
        return bool(self.distance <= self.limit)


def noise_floor(samples: int, level: float = 0.05) -> float:
    """Kolmogorov-Smirnov distance that chance alone exceeds with probability ``level`` (asymptotic)."""
    return float(np.sqrt(-0.5 * np.log(level / 2) / samples))


_MODES = torch.tensor([[-1.0], [0.3], [1.4]])
_SHARES = torch.tensor([0.5, 0.2, 0.3])
_TOKENS = torch.tensor([0, 1, 2, 3])
_TOKEN_SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])


def _ks(values: Tensor, top: float, cdf: Callable[[Tensor], Tensor], bottom: float = 0.0) -> float:
    grid = torch.linspace(bottom, top, 4001, dtype=torch.float64)
    table = cdf(grid).numpy()
    return float(kstest(values.double().flatten().numpy(), lambda v: np.interp(v, grid.numpy(), table)).statistic)


def _line(samples: int, steps: int) -> Iterator[tuple]:
    path = GaussianPath()
    predict = FiniteData(path, _MODES, _SHARES)
    end = 0.9

    def cdf(grid: Tensor) -> Tensor:
        rows = [
            float(w) * norm.cdf(grid.numpy(), end * float(z), 1 - end) for w, z in zip(_SHARES, _MODES, strict=True)
        ]
        return torch.from_numpy(sum(rows))

    def measure(x: Tensor) -> float:
        return _ks(x, 4.0, cdf, -4.0)

    fixed, jump = Fixed(grids.log_remaining(steps, 0.0, end)), Jump(path)
    for name, generator, solver, controller in (
        ("flow", Flow(path), Midpoint(), fixed),
        ("flow", Flow(path), Heun(), fixed),
        ("flow", Flow(path), Heun(), Adaptive(end=end)),
        ("diffusion (reverse)", Diffusion(path), Midpoint(), fixed),
        ("jump", jump, Midpoint(), fixed),
        ("0.3 flow + 0.7 jump", 0.3 * Flow(path) + 0.7 * jump, Midpoint(), fixed),
        ("0.3 flow + 0.7 jump", 0.3 * Flow(path) + 0.7 * jump, Heun(), Adaptive(end=end)),
        ("(1-t) flow + t jump", (lambda t: 1 - t) * Flow(path) + (lambda t: t) * jump, Midpoint(), fixed),
        ("1.2 jump + 0.2 backward", 1.2 * jump + 0.2 * BackwardJump(path), Midpoint(), fixed),
        ("flow + Langevin", Flow(path) + Langevin(path, lambda t: 1 - t), Midpoint(), fixed),
    ):
        yield (
            "R: CondOT",
            name,
            solver,
            controller,
            generator,
            predict,
            path.prior((samples, 1), generator=_source()),
            measure,
        )


def _rotations(samples: int, steps: int) -> Iterator[tuple]:
    z = so3.exp(torch.tensor([0.4, -1.0, 0.8]))
    schedule, end = ExponentialKappa(), 0.3
    vmf_path, heat = AntipodalVMFPath(schedule), HeatKernelPath()
    geodesic = RotationGeodesicPath()
    kappa = schedule.kappa(torch.tensor(end, dtype=torch.float64))
    tau = heat.tau(torch.tensor(0.6, dtype=torch.float64))

    def heat_cdf(grid: Tensor) -> Tensor:
        density = torch.exp(heat_kernel.angle_log_density(grid, tau)).nan_to_num(0.0)
        return torch.nn.functional.pad(torch.cumulative_trapezoid(density, grid), (1, 0))

    def angle(x: Tensor) -> Tensor:
        return so3.angle(so3.relative(x, z.to(x.dtype).expand_as(x)))

    def of_vmf(x: Tensor) -> float:
        return _ks(angle(x), min(np.pi, 14 / float(kappa) ** 0.5), lambda w: vmf.angle_cdf(w, kappa))

    def of_heat(x: Tensor) -> float:
        return _ks(angle(x), min(np.pi, 7 * float(tau) ** 0.5), heat_cdf)

    def of_geodesic(x: Tensor) -> float:
        t = torch.tensor(0.8, dtype=torch.float64)
        return _ks(angle(x), np.pi, lambda w: geodesic.angle_cdf(w, t))

    vmf_grid = Fixed(grids.log_kappa(schedule, steps, end))
    heat_grid, line_grid = Fixed(grids.uniform(steps, 0.0, 0.6)), Fixed(grids.log_remaining(steps, 0.0, 0.8))
    for path, label, generator, name, controller, solver, measure in (
        (vmf_path, "SO(3): vMF", Flow(vmf_path), "flow", vmf_grid, Midpoint(), of_vmf),
        (vmf_path, "SO(3): vMF", Diffusion(vmf_path, _gentle(vmf_path)), "diffusion", vmf_grid, Midpoint(), of_vmf),
        (vmf_path, "SO(3): vMF", Jump(vmf_path), "jump", vmf_grid, Euler(), of_vmf),
        (
            vmf_path,
            "SO(3): vMF",
            0.3 * Flow(vmf_path) + 0.7 * Jump(vmf_path),
            "0.3 flow + 0.7 jump",
            vmf_grid,
            Midpoint(),
            of_vmf,
        ),
        (heat, "SO(3): heat kernel", Flow(heat), "flow", heat_grid, Midpoint(), of_heat),
        (heat, "SO(3): heat kernel", Diffusion(heat), "diffusion (reverse)", heat_grid, Midpoint(), of_heat),
        (heat, "SO(3): heat kernel", Jump(heat), "jump", heat_grid, Euler(), of_heat),
        (
            heat,
            "SO(3): heat kernel",
            0.3 * Flow(heat) + 0.7 * Jump(heat),
            "0.3 flow + 0.7 jump",
            heat_grid,
            Midpoint(),
            of_heat,
        ),
        (geodesic, "SO(3): geodesic", Flow(geodesic), "flow", line_grid, Midpoint(), of_geodesic),
        (geodesic, "SO(3): geodesic", Jump(geodesic), "boundary jump", line_grid, Euler(), of_geodesic),
    ):
        x = path.prior((samples,), generator=_source())
        yield label, name, solver, controller, generator, Known(path, z.expand_as(x)), x, measure


def _gentle(path: AntipodalVMFPath) -> Callable[[Tensor], Tensor]:
    """Noise that turns the kernel over about once per unit of log kappa at every t."""
    return lambda t: torch.sqrt(path.schedule.derivative(t) / path.schedule.kappa(t) * 4 / (path.schedule.kappa(t) + 4))


def _tokens(samples: int, steps: int) -> Iterator[tuple]:
    for label, path in (("tokens: masking", MaskingPath(4)), ("tokens: uniform", UniformPath(4))):
        predict, end = FiniteData(path, _TOKENS, _TOKEN_SHARES), 0.9

        def measure(x: Tensor, path: Any = path, end: float = end) -> float:
            t = torch.tensor(end)
            exact = torch.stack(
                [
                    (_TOKEN_SHARES * path.probability(torch.full((4,), s), _TOKENS, t)).sum()
                    for s in range(path.space.states)
                ]
            )
            found = torch.bincount(x.flatten(), minlength=path.space.states) / x.numel()
            return float(0.5 * (found - exact).abs().sum())

        controller, x = Fixed(grids.log_remaining(steps, 0.0, end)), path.prior((samples,), generator=_source())
        for name, generator in (("jump", Jump(path)), ("jump + balance", Jump(path) + 2.0 * Balance(path))):
            yield label, name, Midpoint(), controller, generator, predict, x, measure


def _source() -> torch.Generator:
    return torch.Generator().manual_seed(12345)


def verify_rows(*, samples: int = 20_000, steps: int = 150, seed: int = 0) -> Iterator[Row]:
    """Simulate every combination, one after the other.

    Parameters
    ----------
    samples : int
        Draws per row; the noise floor falls with its root.
    steps : int
        Steps per simulation.
    seed : int

    Yields
    ------
    Row
    """
    for cases in (_line, _rotations, _tokens):
        for path, name, solver, controller, generator, predict, x, measure in cases(samples, steps):
            source = torch.Generator().manual_seed(seed)
            out = simulate(generator, predict, x, controller, solver=solver, source=source)
            label = type(solver).__name__ + (", adaptive" if isinstance(controller, Adaptive) else "")
            yield Row(path, name, label, measure(out), noise_floor(samples), noise_floor(samples, 0.005) + 0.002)


def verify_table(*, samples: int = 20_000, steps: int = 150, seed: int = 0, console: Console | None = None) -> bool:
    """Print the table of `verify_rows` and say whether every row is accepted.

    Parameters
    ----------
    samples, steps, seed : int
        As in `verify_rows`.
    console : rich.console.Console, optional

    Returns
    -------
    bool
    """
    console = console or Console()
    table = Table(title=f"Simulated against exact laws: {samples:,} samples, {steps} steps")
    for name in ("path", "generator", "solver"):
        table.add_column(name)
    for name in ("distance", "noise floor", "verdict"):
        table.add_column(name, justify="right")
    ok = True
    with console.status("simulating") as status:
        for row in verify_rows(samples=samples, steps=steps, seed=seed):
            ok = ok and row.ok
            verdict = "[green]ok[/]" if row.ok else "[red]FAILED[/]"
            table.add_row(row.path, row.generator, row.solver, f"{row.distance:.4f}", f"{row.floor:.4f}", verdict)
            status.update(f"simulating: {row.path}, {row.generator} done")
    console.print(table)
    return ok
