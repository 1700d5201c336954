"""Study 11: which noise goes with which data, on the plane and on pieces of proteins."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from _common import Net, arguments, sliced, source, table, train, write
from torch import Tensor, nn

from protgm.lie import points, so3
from protgm.matching import GaussianPath, GeneratorMatching
from protgm.matching.couplings import (
    SchroedingerBridgePath,
    entropic_pairs,
    independent,
    kabsch_cost,
    optimal,
)
from protgm.matching.saving import Every
from protgm.matching.simulate import Euler
from protgm.structure import read_structure

STEPS, COUNTS, WIDTH = 1_500, (1, 2, 4, 8, 16, 32), 128
#: What was read off the tables at the defaults named on the page.
FINDING = """Found: coupled pairs make few steps enough. On the plane one step by pairs of the batch's optimal plan
ends nearer (.127) than four by independent ones (.153); with 32 steps independent pairs are nearest (.037; .046 by
optimal plans, which within 128 points are not the plan of the whole; entropic ones and bridges lie between). Of pieces,
noise turned onto its data is worth as much as noise assigned within the batch (.231 and .251 in one step, 1.05
without), and both together most: one step gives what independent noise reaches in sixteen (.111 and .115). From eight
steps on all couplings are alike, and independent noise is behind them still with 32 (.091 for .08). Batches of the
training on proteins hold few chains of one length: there the turn alone is left, and it is what training does."""
LENGTH, UNIT = 12, 6.0  # CA atoms of a piece; A that stand for one
Coupling = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def ring(count: int, generator: torch.Generator) -> Tensor:
    """Six unequal Gaussians on a ring, (count, 2)."""
    which = torch.multinomial(torch.tensor([4.0, 1, 2, 1, 3, 1]), count, replacement=True, generator=generator)
    angle = which * torch.pi / 3
    return 2 * torch.stack((angle.cos(), angle.sin()), -1) + 0.15 * torch.randn(count, 2, generator=generator)


def plain(count: int, generator: torch.Generator) -> Tensor:
    """Standard normal points of the plane, (count, 2)."""
    return torch.randn(count, 2, generator=generator)


def pieces() -> Tensor:
    """CA atoms of every 12 residues in a row of the examples, centred, in units of 6 A, (pieces, 12, 3)."""
    found = []
    for file in sorted(Path("data/examples").glob("*.*.gz")):
        ca = torch.from_numpy(read_structure(file).coords[:, 1]).float().unfold(0, LENGTH, 1).mT
        bonded = ((ca[:, 1:] - ca[:, :-1]).norm(dim=-1) - 3.8).abs().amax(-1) < 0.3
        found.append(ca[bonded])
    return points.centre(torch.cat(found)) / UNIT


def turned_pieces(every: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Pieces in any orientation, (count, 36)."""
    drawn = every[torch.randint(len(every), (count,), generator=generator)]
    return (drawn @ so3.random_uniform((count,), generator=generator).mT).flatten(1)


def beads(count: int, generator: torch.Generator) -> Tensor:
    """Normal points without a centre of mass, (count, 36)."""
    return points.centre(torch.randn(count, LENGTH, 3, generator=generator)).flatten(1)


def on_beads(coupling: Coupling) -> Coupling:
    """A coupling of point sets for rows of numbers."""

    def couple(noise: Tensor, data: Tensor) -> tuple[Tensor, Tensor]:
        a, b = coupling(noise.unflatten(1, (LENGTH, 3)), data.unflatten(1, (LENGTH, 3)))
        return a.flatten(1), b.flatten(1)

    return couple


def superposed(noise: Tensor, data: Tensor) -> tuple[Tensor, Tensor]:
    """Each noise turned onto its own data, as in the training on proteins."""
    return noise @ points.kabsch(noise, data).mT, data


class Turning(nn.Module):
    """A network that turns with its input: asked in a frame of the points' first two moments along the chain."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net(LENGTH * 3, LENGTH * 3, 2 * WIDTH)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Velocities (B, 36) at points (B, 36) and times (B,)."""
        x = x.unflatten(1, (LENGTH, 3))
        place = torch.linspace(-1, 1, LENGTH)
        first = nn.functional.normalize((place[:, None] * x).sum(1), dim=-1)
        second = ((place.square() - place.square().mean())[:, None] * x).sum(1)
        second = nn.functional.normalize(second - (second * first).sum(-1, keepdim=True) * first, dim=-1)
        frame = torch.stack((first, second, torch.linalg.cross(first, second)), -1)
        inside = self.net((x @ frame).flatten(1), t).unflatten(1, (LENGTH, 3))
        return (inside @ frame.mT).flatten(1)


def shape_of(x: Tensor) -> Tensor:
    """Distances of all pairs of CA atoms, and the handedness of every four in a row, (B, 75)."""
    x = x.unflatten(1, (LENGTH, 3))
    upper = torch.triu_indices(LENGTH, LENGTH, 1)
    bonds = x[:, 1:] - x[:, :-1]
    handed = (torch.linalg.cross(bonds[:, :-2], bonds[:, 1:-1]) * bonds[:, 2:]).sum(-1)
    return torch.cat((torch.cdist(x, x)[:, upper[0], upper[1]], handed), 1)


def learned(
    path: GaussianPath | SchroedingerBridgePath,
    network: nn.Module,
    data: Callable[[int, torch.Generator], Tensor],
    noise: Callable[[int, torch.Generator], Tensor],
    coupling: Coupling,
    seed: int,
) -> GeneratorMatching:
    """A flow trained on coupled pairs."""
    generator = source(seed)
    model = GeneratorMatching(path, network, method="flow", shape=data(1, source(0)).shape[1:])

    def loss() -> Tensor:
        start, end = coupling(noise(128, generator), data(128, generator))
        return model.loss(end, noise=start, source=generator)

    train(model, loss, STEPS)
    return model


def walk(model: GeneratorMatching, start: Tensor, steps: int) -> list[Tensor]:
    """Where Euler steps even in t lead, the start included."""
    begin = 0.02 if isinstance(model.path, SchroedingerBridgePath) else 0.0
    times = torch.linspace(begin, 1.0, steps + 1)
    return [x for _, x in model.sample(len(start), start=start, times=times, solver=Euler(), save=Every())]


if __name__ == "__main__":
    options = arguments(__doc__)
    count, seed = options.samples, options.seed
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.4))
    bridge, straight = SchroedingerBridgePath(0.5), GaussianPath()
    entropic = partial(entropic_pairs, regularisation=bridge.regularisation)
    rows: list[list[object]] = []

    start, exact = plain(count, source(seed + 1)), ring(count, source(seed + 2))
    rows.append(["plane: data themselves", *[sliced(exact, ring(count, source(seed + 3)))] * len(COUNTS)])
    for name, path, coupling, colour in (
        ("independent", straight, independent, "tab:blue"),
        ("optimal in the batch", straight, optimal, "tab:orange"),
        ("entropic", straight, entropic, "tab:green"),
        ("Schroedinger bridge", bridge, entropic, "tab:red"),
    ):
        model = learned(path, Net(2, 2, WIDTH), ring, plain, coupling, seed + 4)
        found = [sliced(walk(model, start, n)[-1], exact) for n in COUNTS]
        axes[1].loglog(COUNTS, found, marker="o", ms=3, label=name, color=colour)
        rows.append([f"plane: {name}", *found])
        if coupling is independent or coupling is optimal:
            ways = torch.stack(walk(model, start[:80], COUNTS[-1]))
            axes[0].plot(*ways.unbind(-1), color=colour, lw=0.5, alpha=0.8)

    every = pieces()
    start, exact = beads(count, source(seed + 1)), turned_pieces(every, count, source(seed + 2))
    by_chance = sliced(shape_of(exact), shape_of(turned_pieces(every, count, source(seed + 3))))
    rows.append(["pieces: data themselves", *[by_chance] * len(COUNTS)])
    for name, coupling in (
        ("independent", independent),
        ("optimal in the batch", optimal),
        ("turned onto their data", on_beads(superposed)),
        ("optimal after turning", on_beads(partial(optimal, cost=kabsch_cost))),
        ("entropic after turning", on_beads(partial(entropic_pairs, regularisation=4.0, cost=kabsch_cost))),
    ):
        model = learned(straight, Turning(), partial(turned_pieces, every), beads, coupling, seed + 4)
        found = [sliced(shape_of(walk(model, start, n)[-1]), shape_of(exact)) for n in COUNTS]
        axes[2].loglog(COUNTS, found, marker="o", ms=3, label=name)
        rows.append([f"pieces: {name}", *found])

    axes[0].set_title("ways on the plane: independent, optimal", fontsize=9)
    axes[0].set_aspect("equal")
    for axis, title, row in ((axes[1], "six modes on the plane", 0), (axes[2], "12 residues of proteins", 5)):
        axis.axhline(rows[row][1], color="0.6", ls=":", label="data themselves")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("Euler steps")
        axis.set_ylabel("sliced distance")
        axis.set_xticks(COUNTS, [str(n) for n in COUNTS])
        axis.minorticks_off()
        axis.legend(fontsize=7)
    figure.tight_layout()
    caption = f"""Flows trained ({STEPS:,} steps of 128, a perceptron of three layers) on pairs of noise and data that
        were drawn independently, by optimal transport within the batch, or from the entropic plan (regularisation .5;
        4 for pieces); the same plan as bridges of a Schroedinger bridge of sigma .5, walked by its flow. Left and
        middle: six unequal modes on the plane, and how far Euler walks of few steps end from the data (sliced
        Wasserstein distance). Right: CA atoms of 12 residues in a row of the examples ({len(every)} pieces) in any
        orientation, by a network that turns with its input; noise turned onto its data (Kabsch, as in the training on
        proteins), or assigned and turned by the cost after turning; judged by all pair distances and the handedness of
        four atoms in a row, in units of {UNIT:.0f} A. {FINDING}"""
    body = table(["pairs", "1 step", *[f"{n} steps" for n in COUNTS[1:]]], rows)
    write(options, "11_couplings", "Couplings", figure, caption, body, chance=False)
