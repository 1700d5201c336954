"""Study 6: discretisation error against the number of steps, for every solver and generator, fixed against adaptive."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import FLOOR_LABEL, arguments, ks, source, table, write
from scipy.stats import norm

from protgm.matching import grids
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import Diffusion, Flow, Jump
from protgm.matching.predictions import FiniteData
from protgm.matching.saving import Every
from protgm.matching.simulate import Adaptive, Euler, Heun, Midpoint, simulate
from protgm.testing.verify import noise_floor

MODES, SHARES, END = torch.tensor([[-1.0], [0.3], [1.4]]), torch.tensor([0.5, 0.2, 0.3]), 0.95


def cdf(v: np.ndarray) -> np.ndarray:
    return sum(float(w) * norm.cdf(v, END * float(z), 1 - END) for w, z in zip(SHARES, MODES, strict=True))


if __name__ == "__main__":
    options = arguments(__doc__)
    path = GaussianPath()
    predict = FiniteData(path, MODES, SHARES)
    cases = {
        "flow": Flow(path), "diffusion (reverse)": Diffusion(path), "jump": Jump(path),
        "0.3 flow + 0.7 jump": 0.3 * Flow(path) + 0.7 * Jump(path),
    }  # fmt: skip
    counts = (4, 8, 16, 32, 64, 128)
    figure, axes = plt.subplots(1, 4, figsize=(14, 3), sharey=True)
    rows = []

    def run(generator, controller, solver, save=None):
        x = torch.randn(options.samples, 1, generator=source(options.seed + 1))
        return simulate(generator, predict, x, controller, solver=solver, save=save, source=source(options.seed + 2))

    for plot, (name, generator) in zip(axes, cases.items(), strict=True):
        for solver in (Euler(), Midpoint(), Heun()):
            label = type(solver).__name__
            found = [ks(run(generator, grids.log_remaining(n, 0.0, END), solver), cdf) for n in counts]
            plot.loglog(counts, found, marker="o", ms=3, label=label)
            rows.append([name, f"{label}, fixed", *found])
        adaptive = []
        for bound in (0.8, 0.4, 0.2, 0.1):
            kept = run(generator, Adaptive(hazard=bound, tolerance=0.04 * bound, end=END), Heun(), Every(1))
            adaptive.append((len(kept) - 1, ks(kept[-1][1], cdf)))
        plot.loglog(*zip(*adaptive, strict=True), marker="s", ms=4, ls="--", color="k", label="Heun, adaptive")
        rows.append([name, "Heun, adaptive", *[f"{d:.3g} ({n} steps)" for n, d in adaptive], *[""] * (len(counts) - 4)])
        plot.axhline(noise_floor(options.samples), color="0.6", ls=":", label=FLOOR_LABEL)
        plot.set_title(name, fontsize=9)
        plot.set_xlabel("steps")
    axes[0].set_ylabel("KS distance")
    axes[0].legend(fontsize=7)
    caption = """Three points on the line, CondOT path, exact posterior, t from 0 to 0.95. Fixed steps are even in
        log(1 - t); adaptive steps keep the 99 % quantile of the integrated hazard and of the Euler-Heun distance below
        bounds that tighten from left to right (hazard 0.8, 0.4, 0.2, 0.1). An Euler step asks the predictor once,
        midpoint and Heun twice, an adaptive step four times or more. Second order pays for the flow (8 midpoint steps
        against more than 100 of Euler) and, in Heun's form, for the diffusion. It does not for the jump: all
        solvers draw it from the posterior at the start of the step and are the same there (drawn from that of the
        middle, Midpoint was at .026 with 8 steps and .021 with 16, against .009 and .006). Adaptive
        steps buy accuracy without tuning, not fewer steps: at equal distance they are as many as fixed ones or more,
        and each costs twice as much."""
    body = table(["generator", "solver", *[f"{n} steps" for n in counts]], rows)
    write(options, "06_discretisation", "Discretisation error", figure, caption, body)
