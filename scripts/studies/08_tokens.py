"""Study 8: two dependent tokens with a known joint law, with and without a corrector."""

import matplotlib.pyplot as plt
import torch
from _common import arguments, source, table, write

from protgm.matching import grids
from protgm.matching.ctmc import MaskingPath, UniformPath, draw_tokens
from protgm.matching.generators import Balance, Jump
from protgm.matching.predictions import Learned
from protgm.matching.simulate import Euler, simulate

#: Two tokens of four values, and a little of every pair: knowing one token says much about the other.
JOINT = torch.tensor([[4.0, 1, 0, 3], [0, 5, 2, 0], [2, 0, 6, 1], [1, 0, 0, 7]]) + 0.1
JOINT = JOINT / JOINT.sum()
PAIRS = torch.cartesian_prod(torch.arange(4), torch.arange(4))


def exact_predictor(path):
    """Each token's posterior given both noisy tokens; drawn independently, as a factorised network would."""

    def predict(x, t):
        likelihood = path.probability(x.unsqueeze(-2), PAIRS, t).prod(-1)
        joint = likelihood * JOINT.flatten()
        joint = (joint / joint.sum(-1, keepdim=True)).unflatten(-1, (4, 4))

        def draw(*, generator=None):
            return draw_tokens(torch.stack((joint.sum(-1), joint.sum(-2)), dim=-2), generator=generator)

        return Learned(draw_of=draw)

    return predict


if __name__ == "__main__":
    options = arguments(__doc__)
    counts, strengths = (2, 4, 8, 16, 32, 64), (0.0, 2.0, 10.0)
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
    rows = []
    floor = float(torch.sqrt(2 * JOINT * (1 - JOINT) / (torch.pi * options.samples)).sum() / 2)
    for plot, (name, path) in zip(axes, (("masking", MaskingPath(4)), ("uniform", UniformPath(4))), strict=True):
        for strength in strengths:
            found = []
            for n in counts:
                x = path.prior((options.samples, 2), generator=source(options.seed + 1))
                generator = Jump(path) + (lambda t, s=strength: s * (1 - t)) * Balance(path)
                x = simulate(
                    generator,
                    exact_predictor(path),
                    x,
                    grids.uniform(n),
                    solver=Euler(),
                    source=source(options.seed + 2),
                )
                counted = torch.bincount(4 * x[:, 0].clamp_max(3) + x[:, 1].clamp_max(3), minlength=16).float() / len(x)
                found.append(float(0.5 * (counted - JOINT.flatten()).abs().sum()))
            label = f"balance {strength:g} (1 - t)"
            plot.loglog(counts, found, marker="o", ms=3, label=label)
            rows.append([name, label, *found])
        plot.axhline(floor, color="0.6", ls=":", label="chance (mean)")
        plot.set_title(name, fontsize=9)
        plot.set_xlabel("steps")
        plot.set_xticks(counts, [str(n) for n in counts])
        plot.minorticks_off()
    axes[0].set_ylabel("total variation of the joint law")
    axes[0].legend(fontsize=7)
    caption = f"""Two tokens of four values with a known joint law; Euler steps (tau-leaping) even in t to t = 1,
        with the exact posterior of each token given both. Tokens that change in the same step are drawn independently,
        which is the whole error, and it falls like one over the number of steps. The corrector, balance moves of
        strength s (1 - t) (remasking and repair, or redrawing), leaves the marginals of the exact process alone but did
        not help here at any strength or number of steps: with an exact posterior there is nothing else to correct, and
        more moves make more pairs of tokens change together. Mean total variation of exact draws: {floor:.4f}."""
    body = table(["source", "corrector", *[f"{n} steps" for n in counts]], rows)
    write(options, "08_tokens", "Two tokens", figure, caption, body, chance=False)
