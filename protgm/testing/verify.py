"""The table behind ``protgm verify``.

Every path x generator x solver simulated, its law compared with the exact one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from protgm.matching.simulate import Adaptive, simulate
from protgm.testing.assemblies import AssemblyCase, assembly_cases
from protgm.testing.cases import CASES
from protgm.testing.proteins import ProteinCase, protein_cases

__all__ = ["Row", "noise_floor", "verify_rows", "verify_table"]

#: The walks of the protein sampler that are compared.
PROTEINS = (protein_cases, assembly_cases)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    path, generator, solver : str
    distance : float
        Kolmogorov-Smirnov distance from the exact law; total variation for tokens. For proteins, the difference of a
        share, or the largest distance of the radii on the way.
    floor : float
        What chance alone reaches once in 20 times at this number of samples.
    limit : float
        What chance exceeds once in 10,000 times (one table of 40 rows in 250), and 0.3 / steps for the finite step.
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


def verify_rows(*, samples: int = 20_000, steps: int = 200, seed: int = 0) -> Iterator[Row]:
    """Simulate every combination, one after the other.

    Parameters
    ----------
    samples : int
        Draws per row; the noise floor falls with its root.
    steps : int
        Per unit of time; a simulation ends before t = 1, where the law is still wide enough to be compared.
    seed : int

    Yields
    ------
    Row
    """
    if samples < 100 or steps < 1:
        raise ValueError(f"verify: needs samples >= 100 and steps >= 1, got {samples} and {steps}")
    for cases in CASES:
        for case in cases(samples, steps):
            source = torch.Generator().manual_seed(seed)
            out = simulate(case.generator, case.predict, case.start, case.controller, solver=case.solver, source=source)
            label = type(case.solver).__name__ + (", adaptive" if isinstance(case.controller, Adaptive) else "")
            limit = noise_floor(samples, 1e-4) + 0.3 / steps
            yield Row(case.path, case.name, label, case.measure(out), noise_floor(samples), limit)
    for small in PROTEINS:
        for protein in small():
            yield from _protein_rows(protein, max(100, samples // 10), seed)


def _protein_rows(case: ProteinCase | AssemblyCase, samples: int, seed: int) -> Iterator[Row]:
    """Where the protein sampler ends with an exact posterior of two small proteins, and what it passes through."""
    share, radii = case.run(samples, seed)
    kind = "two assemblies" if isinstance(case, AssemblyCase) else "two proteins"
    # A posterior that is held for a step costs the SDE a hundredth or two in 40 steps, none to be seen in 120.
    slack = 1.0 / case.settings.steps
    deviation = float(np.sqrt(0.24 / samples))
    steps = f"the sampler, {case.settings.steps} steps"
    yield Row(f"{kind}: share", case.name, steps, abs(share), 1.96 * deviation, 3.9 * deviation + slack)
    floor, limit = (noise_floor(samples, level) * np.sqrt(2.0) for level in (0.05, 1e-4))
    yield Row(f"{kind}: radii", case.name, steps, max(radii), float(floor), float(limit) + slack)


def verify_table(*, samples: int = 20_000, steps: int = 200, seed: int = 0, console: Console | None = None) -> bool:
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
    table = Table(title=f"Simulated against exact laws: {samples:,} samples, {steps} steps per unit of time")
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
