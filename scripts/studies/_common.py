"""What the studies share: a small network, its training, and the writing of a table with its caption."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from protgm.files import atomic
from protgm.testing.verify import noise_floor

matplotlib.use("Agg")

from matplotlib.figure import Figure

DATA_COLOUR, NOISE_COLOUR = "0.6", "0.85"
FLOOR_LABEL = "chance (95 %)"
LENGTH = 8  # of the strings


class Net(nn.Module):
    """A multilayer perceptron of (x, t), with a few Fourier features of t."""

    def __init__(self, inputs: int, outputs: int, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        sizes = [inputs + 5] + [width] * depth
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Outputs (..., outputs) at points (..., inputs) and times (...)."""
        t = t.expand(x.shape[:-1]).unsqueeze(-1)
        features = torch.cat((x, t, torch.cos(torch.pi * t), torch.sin(torch.pi * t), t * t, torch.sqrt(1.001 - t)), -1)
        return self.layers(features)


def train(model: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float = 3e-3) -> float:
    """Adam with a cosine decay; the mean loss of the last tenth."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    last = []
    for step in range(steps):
        value = loss()
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        if step >= 0.9 * steps:
            last.append(float(value.detach()))
    return float(np.mean(last))


def ks(values: Tensor, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
    """Kolmogorov-Smirnov distance of numbers from a distribution function."""
    return float(kstest(values.detach().double().flatten().numpy(), cdf).statistic)


def sliced(x: Tensor, y: Tensor) -> float:
    """Sliced Wasserstein distance over 256 directions, of equally many points."""
    directions = torch.nn.functional.normalize(torch.randn(256, x.shape[1], generator=source(99)), dim=-1)
    a, b = ((v @ directions.T).sort(0).values for v in (x, y))
    return float((a - b).abs().mean())


def words(count: int, generator: torch.Generator) -> Tensor:
    """Strings of eight letters whose second half mirrors the first by the pairs A-T and C-G, (count, 8): 256 in all."""
    half = torch.randint(4, (count, LENGTH // 2), generator=generator)
    return torch.cat((half, 3 - half.flip(1)), 1)


def complementary(strings: Tensor) -> float:
    """Share of strings whose halves are each other's mirror."""
    return float((strings[:, : LENGTH // 2] == 3 - strings.flip(1)[:, : LENGTH // 2]).all(1).float().mean())


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with three significant digits."""

    def show(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(show(v) for v in row) + " |" for row in rows])


def arguments(description: str) -> argparse.Namespace:
    """The options every study has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path("docs/studies"), help="folder for the figure and the table")
    parser.add_argument("--samples", type=int, default=20_000, help="draws per figure in the table")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    options.started = time.perf_counter()
    return options


def source(seed: int) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def write(
    options: argparse.Namespace, name: str, title: str, figure: Figure, caption: str, body: str, *, chance: bool = True
) -> None:
    """Write ``name``.png and ``name``.md, and show the table.

    The caption is one paragraph, however it is broken; ``chance`` adds what a Kolmogorov-Smirnov distance is by chance.
    """
    with atomic(options.out / f"{name}.png") as path:
        figure.savefig(path, dpi=110, bbox_inches="tight", format="png")
    floor, caption = noise_floor(options.samples), " ".join(caption.split())
    by_chance = (
        f"Chance alone reaches a Kolmogorov-Smirnov distance of {floor:.4f} once in 20 times at "
        f"{options.samples:,} samples. "
        if chance
        else ""
    )
    text = (
        f"# {title}\n\n![{title}]({name}.png)\n\n{caption}\n\n{body}\n\n{by_chance}"
        f"Made by `python scripts/studies/{name}.py --samples {options.samples} --seed {options.seed}`.\n"
    )
    with atomic(options.out / f"{name}.md") as path:
        path.write_text(text, encoding="utf-8")
    print(text, f"\n{time.perf_counter() - options.started:.0f} s")
