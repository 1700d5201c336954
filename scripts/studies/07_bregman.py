"""Study 7: Bregman divergences compared under an equal budget of training."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import Net, arguments, ks, source, table, train, write
from scipy.stats import norm

from protgm.matching import grids
from protgm.matching.bregman import Convex, Cosh, GeneralisedKL, Logistic, SquaredError
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import Flow
from protgm.matching.predictions import FiniteData, Learned
from protgm.matching.simulate import simulate

MODES, SHARES, END = torch.tensor([[0.1], [0.35], [0.9]]), torch.tensor([0.5, 0.2, 0.3]), 0.9
DIVERGENCES = {
    "squared error": SquaredError(),
    "generalised KL": GeneralisedKL(1e-4),
    "logistic": Logistic(1e-4),
    "cosh, scale 0.3": Cosh(0.3),
    "x^4": Convex(lambda x: (x**4).sum(-1)),
}

if __name__ == "__main__":
    options = arguments(__doc__)
    path = GaussianPath(scale=0.5)
    exact = FiniteData(path, MODES, SHARES)

    def cdf(v: np.ndarray) -> np.ndarray:
        return sum(float(w) * norm.cdf(v, END * float(z), 0.5 * (1 - END)) for w, z in zip(SHARES, MODES, strict=True))

    test_t = 0.02 + 0.96 * torch.rand(4000, generator=source(5))
    test_z = MODES[torch.multinomial(SHARES, 4000, replacement=True, generator=source(6))]
    test_x = path.sample(test_z, test_t, generator=source(7))
    target = (exact.posterior(test_x, test_t)[..., None] * MODES[:, None]).sum(0)
    rows, repeats = [], 3
    figure, axes = plt.subplots(figsize=(6, 3))
    for name, divergence in DIVERGENCES.items():
        errors, distances = [], []
        for repeat in range(repeats):
            torch.manual_seed(options.seed + repeat)
            net = Net(1, 1)

            def clean(x: torch.Tensor, t: torch.Tensor, net: Net = net) -> torch.Tensor:
                return torch.sigmoid(net(x, t))

            def loss(divergence=divergence, clean=clean) -> torch.Tensor:
                z = MODES[torch.multinomial(SHARES, 256, replacement=True)]
                t = 0.98 * torch.rand(256)
                return divergence(z, clean(path.sample(z, t), t)).mean()

            train(net, loss, 600)
            with torch.no_grad():
                errors.append(float((clean(test_x, test_t) - target).square().mean().sqrt()))
            x = path.prior((options.samples, 1), generator=source(options.seed + 1))
            x = simulate(
                Flow(path), lambda x, t, clean=clean: Learned(velocity_of=lambda: path.velocity(x, clean(x, t), t)), x,
                grids.log_remaining(40, 0.0, END),
            )  # fmt: skip
            distances.append(ks(x, cdf))
        rows.append(
            [name, float(np.mean(errors)), float(np.std(errors)), float(np.mean(distances)), float(np.std(distances))]
        )
        axes.errorbar(
            np.mean(errors), np.mean(distances), np.std(distances), np.std(errors), marker="o", capsize=2, label=name
        )
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("root mean squared error of the posterior mean")
    axes.set_ylabel("KS distance of samples")
    axes.legend(fontsize=7)
    caption = """Three points of the unit interval, CondOT path; the same network predicts the clean point (through
        a sigmoid), trained for 600 steps of 256 points with each divergence, three seeds. All have the posterior mean
        as their minimiser; they weigh errors differently on the way there. Judged by the error of the posterior mean at
        random times and by samples of the flow (40 midpoint steps). No divergence beats squared error at this budget:
        generalised KL is as good, the logistic one has the same error of the mean but worse samples, cosh is behind in
        both, and x^4, which hardly minds errors near zero, is far behind. All are far from chance: the networks are
        small and the training short, on purpose."""
    header = ["divergence", "error of the mean", "+- (seeds)", "KS", "+- (seeds)"]
    write(options, "07_bregman", "Bregman divergences", figure, caption, table(header, rows))
