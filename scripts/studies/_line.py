"""Three narrow modes on the line under the mixture path, whose noise fades while the data appears in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import DATA_COLOUR, Net, ks, source, table, train
from scipy.stats import norm
from torch import Tensor

from protgm.matching import gaussian_jump, grids
from protgm.matching.ctmc import draw_tokens
from protgm.matching.generators import Flow, Jump
from protgm.matching.predictions import Learned
from protgm.matching.simulate import Midpoint, simulate
from protgm.matching.spaces import Euclidean, expand
from protgm.streams import Source

CENTRES, SHARES, BLUR = torch.tensor([-2.0, 0.5, 2.0]), torch.tensor([0.5, 0.2, 0.3]), 0.15
END = 0.98


def _phi(x: Tensor, mean: Tensor | float = 0.0, scale: float = 1.0) -> Tensor:
    return torch.exp(-0.5 * ((x - mean) / scale) ** 2) / (scale * (2 * torch.pi) ** 0.5)


@dataclass(frozen=True)
class BlurredMixturePath:
    """``p_t(x | z) = (1 - t) N(0, 1) + t N(z, blur^2)`` on the line: both a flow and a jump exist in closed form."""

    space: Euclidean = field(default_factory=Euclidean)

    def sample(self, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Draw x_t, shape (..., 1)."""
        noise = torch.randn(z.shape, generator=generator)
        arrived = torch.rand(z.shape, generator=generator) < t.unsqueeze(-1)
        return torch.where(arrived, z + BLUR * noise, noise)

    def density(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """p_t(x | z), shape (..., 1)."""
        t = t.unsqueeze(-1)
        return (1 - t) * _phi(x) + t * _phi(x, z, BLUR)

    def velocity(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """``-dF/dt / p``: enormous wherever mass has to cross a region that p_t leaves almost empty."""
        gap = torch.special.ndtr(x) - torch.special.ndtr((x - z) / BLUR)
        return gap / self.density(x, z, t).clamp_min(1e-12)

    def hazard(self, x: Tensor, z: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """``int [N(0,1) - N(z, blur^2)]_+ / p_t``, shape (..., 1)."""
        loss = (_phi(x) - _phi(x, z, BLUR)).clamp_min(0)
        return gaussian_jump.integrate(lambda s: loss / self.density(x, z, s).clamp_min(1e-12), t, h)

    def sample_jump(self, x: Tensor, z: Tensor, t: Tensor, *, generator: Source = None) -> Tensor:
        """Destinations ``[N(z, blur^2) - N(0, 1)]_+`` by rejection from N(z, blur^2)."""
        out = z.clone()
        left = torch.ones_like(z, dtype=torch.bool)
        for _ in range(50):
            y = z + BLUR * torch.randn(z.shape, generator=generator)
            accepted = torch.rand(z.shape, generator=generator) < 1 - _phi(y) / _phi(y, z, BLUR)
            out = torch.where(left & accepted, y, out)
            left = left & ~accepted
            if not bool(left.any()):
                break
        return out


def draw_centres(n: int) -> tuple[Tensor, Tensor]:
    """Indices and centres (n, 1) of the modes."""
    index = torch.multinomial(SHARES, n, replacement=True)
    return index, CENTRES[index, None]


def learn(path: Any, steps: int = 1500, clip: float | None = None) -> tuple[Net, Net, float]:
    """One network for the velocity by squared error, one for the posterior over the modes by cross-entropy."""
    flow, posterior = Net(1, 1), Net(1, 3)

    def noised() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        index, centre = draw_centres(512)
        t = torch.rand(512) * END
        z = centre if isinstance(path, BlurredMixturePath) else centre + BLUR * torch.randn_like(centre)
        return index, z, t, path.sample(z, t)

    def flow_loss() -> Tensor:
        _, z, t, x = noised()
        return (flow(x, t) - path.velocity(x, z, t)).square().mean()

    def posterior_loss() -> Tensor:
        index, _, t, x = noised()
        return torch.nn.functional.cross_entropy(posterior(x, t), index)

    final = train(flow, flow_loss, steps)
    train(posterior, posterior_loss, steps)
    return flow, posterior, final


def predictor(flow: Net, posterior: Net, blur: bool) -> Any:
    """Both networks as one predictor."""

    def predict(x: Tensor, t: Tensor) -> Learned:
        def draw(*, generator: Source = None) -> Tensor:
            index = draw_tokens(torch.softmax(posterior(x, t), -1), generator=generator)
            z = CENTRES[index].unsqueeze(-1)
            return z + BLUR * torch.randn(z.shape, generator=generator) if blur else z

        return Learned(velocity_of=lambda: flow(x, t), draw_of=draw)

    return predict


def exact_mixture(x: Tensor, t: Tensor) -> Learned:
    """The exact posterior of the mixture path."""
    path = BlurredMixturePath()
    weights = torch.stack([w * path.density(x, c, t).squeeze(-1) for w, c in zip(SHARES, CENTRES, strict=True)])
    weights = weights / weights.sum(0)

    def velocity() -> Tensor:
        return sum(expand(w, 1) * path.velocity(x, c, t) for w, c in zip(weights, CENTRES, strict=True))

    def draw(*, generator: Source = None) -> Tensor:
        return CENTRES[draw_tokens(weights.movedim(0, -1), generator=generator)].unsqueeze(-1)

    return Learned(velocity_of=velocity, draw_of=draw)


def mixture_cdf(v: np.ndarray) -> np.ndarray:
    """Distribution function of the mixture path at END."""
    data = sum(float(w) * norm.cdf(v, float(c), BLUR) for w, c in zip(SHARES, CENTRES, strict=True))
    return (1 - END) * norm.cdf(v) + END * data


def generators(path: Any) -> dict[str, Any]:
    """The three to compare."""
    return {"flow": Flow(path), "jump": Jump(path), "0.5 flow + 0.5 jump": 0.5 * Flow(path) + 0.5 * Jump(path)}


def compare(
    path: Any, predictors: dict[str, Any], names: list[str], cdf: Any, options: Any, steps: int = 150
) -> tuple[Any, str]:
    """Simulate every generator with every predictor: a figure of histograms and a table of distances."""
    figure, axes = plt.subplots(
        1, len(names) * len(predictors), figsize=(3.4 * len(names) * len(predictors), 2.6), squeeze=False
    )
    rows, v, axis = [], np.linspace(-3.5, 3.5, 400), iter(axes[0])
    for label, predict in predictors.items():
        for name in names:
            x = torch.randn(options.samples, 1, generator=source(options.seed + 1))
            x = simulate(
                generators(path)[name], predict, x, grids.log_remaining(steps, 0.0, END), solver=Midpoint(),
                source=source(options.seed + 2),
            )  # fmt: skip
            distance = ks(x, cdf)
            shares = [float(((x - c).abs() < 4 * BLUR).float().mean()) for c in CENTRES]
            rows.append([label, name, distance, *[f"{s:.3f}" for s in shares]])
            plot = next(axis)
            plot.plot(v, np.gradient(cdf(v), v), color=DATA_COLOUR, lw=3, label="exact")
            plot.hist(x[:, 0].numpy(), bins=140, range=(-3.5, 3.5), density=True, alpha=0.6, label=name)
            plot.set_title(f"{label}: {name}\nKS {distance:.3f}", fontsize=9)
            plot.set_yticks([])
    header = [
        "posterior",
        "generator",
        "KS",
        *[f"share near {float(c):g} (exact {float(w):g})" for c, w in zip(CENTRES, SHARES, strict=True)],
    ]
    return figure, table(header, rows)
