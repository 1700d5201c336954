"""`GeneratorMatching`: exact networks give exact laws, trained ones learn every kind of space, wrong use is named."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import ks_2samp, kstest, norm
from torch import nn

from protgm.lie import so3
from protgm.matching import (
    AntipodalVMFPath,
    CentredPoints,
    Diffusion,
    Euclidean,
    FiniteData,
    Flow,
    GaussianPath,
    GeneratorMatching,
    GeodesicPath,
    HeatKernelPath,
    Jump,
    Langevin,
    MaskingPath,
    MixturePath,
    ProductPath,
    QuadraticKappa,
    SchroedingerBridgePath,
    Torus,
    UniformPath,
    couplings,
    output_size,
)

MODES, SHARES, BLUR = torch.tensor([[-2.0], [0.0], [2.0]]), torch.tensor([0.5, 0.2, 0.3]), 0.2
METHODS = ["flow", "score", "diffusion", "jump", "superposition"]
TURNS = so3.exp(torch.tensor([[0.0, 0, 0], [1.6, 0, 0], [0, 2.0, 1.0]]))
LINE, TURN = GaussianPath(), AntipodalVMFPath(QuadraticKappa())


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def index(count: int, generator: torch.Generator | None = None) -> torch.Tensor:
    return torch.multinomial(SHARES, count, replacement=True, generator=generator)


def fit(model: GeneratorMatching, data, steps: int = 500, batch: int = 256, **known) -> GeneratorMatching:
    """Adam with a cosine decay."""
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        model.loss(data(batch), **known).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return model


def on_line(count: int, generator: torch.Generator | None = None) -> torch.Tensor:
    return MODES[index(count, generator)] + BLUR * torch.randn(count, 1, generator=generator)


class Exact(nn.Module):
    """A perfect network for three blurred modes on the line: velocity, score and posterior in closed form."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.heads = list(GeneratorMatching(LINE, self, method=method, shape=(1,), components=3)._parts[0].heads)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a, s = t[:, None], (1 - t[:, None]).clamp_min(1e-5)
        variance = (a * BLUR).square() + s.square()
        logits = torch.log_softmax(SHARES.log() - 0.5 * (x - a * MODES.T).square() / variance, -1)
        mean = MODES.T + a * BLUR**2 / variance * (x - a * MODES.T)
        z, width = (logits.exp() * mean).sum(-1, keepdim=True), s * BLUR / variance.sqrt()
        total = a.square() + s.square()  # of the coordinates that the head uses, for data of unit spread
        unit = ((mean - a * x / total) * total.sqrt() / s, (width * total.sqrt() / s - 1e-2).expand_as(mean))
        given = {
            "velocity": (z - x) / s / 2**0.5,
            "score": (a * z - x) / s,
            "posterior": torch.cat((logits, unit[0], torch.log(torch.expm1(unit[1].clamp_min(1e-6)))), -1),
        }
        return torch.cat([given[name] for name in self.heads], -1)


@pytest.mark.parametrize("method", METHODS)
def test_an_exact_network_samples_at_the_noise_floor(method):
    """Chance alone exceeds the limit once in 1,000 times; the score starts at t = .02, which is still far below it."""
    count = 10_000
    model = GeneratorMatching(LINE, Exact(method), method=method, shape=(1,), components=3)
    x = model.sample(count, steps=150, source=source(1))[:, 0].numpy()

    def cdf(v):
        return sum(float(w) * norm.cdf(v, float(m), BLUR) for w, m in zip(SHARES, MODES, strict=True))

    assert kstest(x, cdf).statistic < 1.95 / count**0.5


def test_the_loss_of_an_exact_network_is_the_least():
    """Against the same network with each of its outputs a little off, on the same noised data."""
    for method in METHODS:
        exact = Exact(method)
        data = on_line(20_000, source(2))

        def loss(network, method=method, data=data):
            model = GeneratorMatching(LINE, network, method=method, shape=(1,), components=3)
            return float(model.loss(data, source=source(3)))

        least = loss(exact)
        for shift in (-0.1, 0.1):
            assert loss(lambda x, t, shift=shift, exact=exact: exact(x, t) + shift * torch.cos(x)) > least + 1e-4


def some(*methods, slow=()):
    """Methods to train, some of them among the slow tests."""
    return [pytest.param(m, marks=pytest.mark.long) if m in slow else m for m in methods]


@pytest.mark.parametrize("method", some(*METHODS, slow=("score", "diffusion", "jump")))
@pytest.mark.slow
def test_every_method_learns_three_modes_of_the_line(method, perceptron):
    torch.manual_seed(0)
    model = GeneratorMatching(
        LINE, perceptron(1, output_size(LINE, method, (1,))), method=method, shape=(1,), spread=1.7
    )
    fit(model, on_line, 500)
    x, exact = model.sample(4_000, steps=80, source=source(1)), on_line(20_000, source(2))
    assert x.shape == (4_000, 1)
    assert ks_2samp(x[:, 0].numpy(), exact[:, 0].numpy()).statistic < 0.12


@pytest.mark.slow
def test_one_network_serves_every_generator_of_its_heads():
    """Of a superposition: flow alone, jump alone, an SDE, and weights that depend on t, all of one law."""
    model = GeneratorMatching(LINE, Exact("superposition"), method="superposition", shape=(1,), components=3)
    exact = on_line(20_000, source(3))[:, 0].numpy()
    changing = (lambda t: 1 - t) * Flow(LINE) + (lambda t: t) * Jump(LINE)
    for generator in (Flow(LINE), Jump(LINE), Diffusion(LINE), changing, Flow(LINE) + Langevin(LINE, lambda t: 1 - t)):
        x = model.sample(6_000, steps=120, generator=generator, source=source(4))
        assert ks_2samp(x[:, 0].numpy(), exact).pvalue > 1e-3


@pytest.mark.parametrize("method", some("flow", "diffusion", "jump", "superposition", slow=("flow", "superposition")))
@pytest.mark.slow
def test_rotations_keep_the_weights_of_their_modes(method, perceptron):
    torch.manual_seed(2)
    model = GeneratorMatching(TURN, perceptron(9, output_size(TURN, method, (3, 3))), method=method, shape=(3, 3))
    fit(model, lambda n: TURNS[index(n)], 500)
    x = model.sample(1_500, steps=50, source=source(5))
    away = torch.stack([so3.angle(so3.relative(x, m.expand_as(x))) for m in TURNS])
    assert away.min(0).values.quantile(0.8) < 0.6
    assert (torch.bincount(away.argmin(0), minlength=3) / len(x) - SHARES).abs().max() < 0.1


@pytest.mark.parametrize("method", ["flow", "score"])
def test_the_heat_kernel_runs_on_either_of_its_heads(method):
    """Velocity and score determine each other: an exact one of either gives the weights by the reversed diffusion."""
    path = HeatKernelPath()
    exact = FiniteData(path, TURNS, SHARES)

    def network(x, t):
        score = exact(x, t).score() * path.tau(t).sqrt()[:, None]  # over its scale; that of the velocity has it too
        return score

    model = GeneratorMatching(path, network, method=method, shape=(3, 3))
    assert float(model.loss(TURNS[index(200, source(16))])) < 2
    x = model.sample(1_500, steps=60, generator=Diffusion(path), source=source(6))
    away = torch.stack([so3.angle(so3.relative(x, m.expand_as(x))) for m in TURNS])
    assert away.min(0).values.max() < 0.2
    assert (torch.bincount(away.argmin(0), minlength=3) / len(x) - SHARES).abs().max() < 0.05


@pytest.mark.parametrize("path", [MaskingPath(3), UniformPath(3)], ids=["masking", "uniform"])
def test_strings_keep_their_joint_law(path, perceptron):
    torch.manual_seed(4)
    words = torch.tensor([[0, 1, 2, 0], [2, 1, 0, 2], [1, 1, 1, 1]])
    net = perceptron(4 * path.space.states, output_size(path, "jump", (4,)), (4,), path.space.states)
    model = fit(GeneratorMatching(path, net, method="jump", shape=(4,)), lambda n: words[index(n)], 400)
    x = model.sample(4_000, steps=60, source=source(7))
    same = (x[:, None] == words).all(-1)
    assert same.any(1).float().mean() > 0.9
    assert (same.float().mean(0) / same.any(1).float().mean() - SHARES).abs().max() < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("space", some("torus", "plane", slow=("plane",)))
def test_a_mixture_path_jumps_whole_points(space, perceptron):
    torch.manual_seed(5)
    if space == "torus":
        path = MixturePath(Torus(), lambda n, generator: Torus().uniform((*n, 2), generator=generator))
    else:
        path = MixturePath(Euclidean(), lambda n, generator: torch.randn(*n, 2, generator=generator))
    centres = torch.tensor([[-2.0, 2.0], [0.5, 0.0], [2.0, -1.0]])

    def data(count, generator=None):
        return centres[index(count, generator)] + 0.1 * torch.randn(count, 2, generator=generator)

    net = perceptron(4, output_size(path, "jump", (2,)), angles=True) if space == "torus" else None
    model = GeneratorMatching(path, net or perceptron(2, output_size(path, "jump", (2,))), method="jump", shape=(2,))
    x = fit(model, data, 500).sample(2_000, steps=40, source=source(8))
    away = torch.cdist(x, centres)
    assert (away.min(1).values < 0.6).float().mean() > 0.85
    assert (torch.bincount(away.argmin(1), minlength=3) / len(x) - SHARES).abs().max() < 0.06


@pytest.mark.parametrize("method", some("flow", "superposition", slow=("flow",)))
@pytest.mark.slow
def test_a_product_keeps_its_components_together(method, perceptron):
    """A position and the letter that belongs to it; tokens jump whatever the word."""
    torch.manual_seed(6)
    path = ProductPath((LINE, MaskingPath(3)))
    sizes = output_size(path, method, ((1,), ()))
    net = perceptron(5, sum(sizes))

    def both(x, t):
        joined = torch.cat((x[0], nn.functional.one_hot(x[1], 4).float()), -1)
        return net(joined, t).split(list(sizes), -1)

    model = GeneratorMatching(path, both, method=method, shape=((1,), ()), spread=1.2)

    def data(count):
        chosen = index(count)
        return MODES[chosen] + 0.1 * torch.randn(count, 1), chosen

    model.net = net  # the parameters, where the network is a function
    assert set(model.losses(data(8))) == {"velocity.0", "posterior.1"} | ({"posterior.0"} if sizes[0] > 1 else set())
    x, letter = fit(model, data, 600).sample(3_000, steps=80, source=source(9))
    near = (x - MODES.T).abs().argmin(1)
    assert (near == letter).float().mean() > 0.93
    assert (torch.bincount(letter, minlength=3) / len(letter) - SHARES).abs().max() < 0.06


@pytest.mark.slow
def test_point_sets_and_geodesics_flow(perceptron):
    torch.manual_seed(7)
    shapes = torch.randn(3, 4, 3, generator=source(10))
    shapes = shapes - shapes.mean(1, keepdim=True)
    path = GaussianPath(space=CentredPoints())
    model = GeneratorMatching(path, perceptron(12, 3, (4,)), method="flow", shape=(4, 3))
    x = fit(model, lambda n: shapes[index(n)], 400).sample(1_000, steps=40, source=source(11))
    found = (x[:, None] - shapes).square().sum((-1, -2)).argmin(1)
    assert (torch.bincount(found, minlength=3) / len(x) - SHARES).abs().max() < 0.08
    assert x.mean(1).abs().max() < 1e-5
    path = GeodesicPath(Torus(), lambda n, generator: Torus().uniform((*n, 1), generator=generator))
    model = fit(
        GeneratorMatching(path, perceptron(2, 1, angles=True), method="flow", shape=(1,)),
        lambda n: MODES[index(n)],
        500,
    )
    found = (model.sample(1_000, steps=40, source=source(12)) - MODES.T).abs().argmin(1)
    assert (torch.bincount(found, minlength=3) / 1_000 - SHARES).abs().max() < 0.1


@pytest.mark.slow
def test_a_coupled_flow_and_a_bridge_are_trained_and_start_from_given_noise(perceptron):
    torch.manual_seed(8)
    model = GeneratorMatching(LINE, perceptron(1, 1), method="flow", shape=(1,))
    assert model.loss(on_line(64), noise=torch.randn(64, 1)).isfinite()
    path = SchroedingerBridgePath(0.5)
    model = GeneratorMatching(path, perceptron(1, output_size(path, "diffusion", (1,))), method="diffusion", shape=(1,))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(400):
        noise, data = couplings.optimal(torch.rand(128, 1) * 2 - 1, on_line(128))
        optimiser.zero_grad()
        model.loss(data, noise=noise).backward()
        optimiser.step()
    x = model.sample(3_000, start=torch.rand(3_000, 1, generator=source(13)) * 2 - 1, source=source(14))
    assert ks_2samp(x[:, 0].numpy(), on_line(9_000, source(15))[:, 0].numpy()).statistic < 0.12
