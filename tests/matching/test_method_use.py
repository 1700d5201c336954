"""`GeneratorMatching` in wrong hands, and its weights on disk."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from protgm.matching import (
    AntipodalVMFPath,
    Balance,
    CentredPoints,
    Circulation,
    Diffusion,
    Flow,
    GaussianPath,
    GeneratorMatching,
    GeodesicPath,
    Jump,
    Langevin,
    MaskingPath,
    ProductGenerator,
    ProductPath,
    QuadraticKappa,
    Torus,
    output_size,
)

MODES, SHARES, BLUR = torch.tensor([[-2.0], [0.0], [2.0]]), torch.tensor([0.5, 0.2, 0.3]), 0.2


LINE, TURN = GaussianPath(), AntipodalVMFPath(QuadraticKappa())


class Net(nn.Module):
    """A perceptron of a flattened (x, t), tokens one-hot, angles as circles, giving ``size`` numbers per element."""

    def __init__(
        self, inputs: int, size: int, elements: tuple[int, ...] = (), tokens: int = 0, angles: bool = False
    ) -> None:
        super().__init__()
        self.elements, self.size, self.tokens, self.angles = elements, size, tokens, angles
        outputs = size * max(1, torch.Size(elements).numel())
        self.layers = nn.Sequential(
            nn.Linear(inputs + 3, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, outputs)
        )

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        flat = nn.functional.one_hot(x, self.tokens).float() if self.tokens else x
        flat = torch.cat((flat.cos(), flat.sin()), -1) if self.angles else flat
        times = torch.stack((t, t * t, torch.sqrt(1 - t)), -1)
        out = self.layers(torch.cat((flat.flatten(1), times), -1))
        return out.reshape(len(x), *self.elements, self.size)


def flow_model(method="flow"):
    return GeneratorMatching(LINE, Net(1, output_size(LINE, method, (1,))), method=method, shape=(1,))


def masks():
    return GeneratorMatching(MaskingPath(3), Net(16, 3, (4,), 4), method="jump", shape=(4,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: flow_model().sample(3, generator=Jump(LINE)),
            "Jump needs the posterior, which method='flow' does",
        ),
        (lambda: flow_model("jump").sample(3, generator=Flow(LINE)), "Flow needs the velocity, which method='jump'"),
        (lambda: flow_model("jump").sample(3, generator=Diffusion(LINE)), "Diffusion needs the velocity"),
        (lambda: flow_model("jump").sample(3, generator=Jump(LINE) + Langevin(LINE)), "Langevin needs the score"),
        (
            lambda: GeneratorMatching(TURN, Net(9, 3), method="flow", shape=(3, 3)).sample(
                3, generator=Diffusion(TURN, 0.1)
            ),
            "Diffusion needs the score, which method='flow' does not train on AntipodalVMFPath",
        ),
        (lambda: flow_model().sample(3, generator=ProductGenerator(Flow(LINE))), "a generator of 1 parts for 1 paths"),
        (lambda: GeneratorMatching(LINE, None, method="flows", shape=(1,)), "unknown method 'flows'; use one of flow"),
        (lambda: output_size(MaskingPath(3), "flow", (4,)), "MaskingPath has no flow; it has jump"),
        (lambda: output_size(TURN, "score", (3, 3)), "does not give its velocity; use method='diffusion'"),
        (
            lambda: output_size(GeodesicPath(Torus(), torch.randn), "jump", (1,)),
            "GeodesicPath has no jump; it has f",
        ),
        (lambda: output_size(GaussianPath(space=CentredPoints()), "jump", (4, 3)), "has no jump"),
        (lambda: output_size(TURN, "flow", (3,)), "fewer dimensions than a point"),
        (lambda: output_size(LINE, ("flow", "jump"), (1,)), "one path takes one method"),
        (lambda: output_size(ProductPath((LINE, TURN)), "flow", ((1,),)), "needs as many shapes"),
        (
            lambda: GeneratorMatching(LINE, Net(1, 2), method="flow", shape=(1,)).loss(MODES),
            r"give shape \(3, 1\)",
        ),
        (lambda: flow_model().loss(torch.zeros(3, 2)), r"data of shape \(2,\), but shape=\(1,\)"),
        (lambda: flow_model("superposition").loss(MODES, noise=MODES), "known for independent noise only"),
        (lambda: masks().sample(3, generator=Flow(LINE)), "needs the velocity"),
    ],
)
def test_wrong_use_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_terms_of_other_heads_are_allowed_where_they_are_trained():
    model = masks()
    assert model.sample(5, steps=5, generator=Jump(MaskingPath(3)) + 1.0 * Balance(MaskingPath(3))).shape == (5, 4)
    plane = GeneratorMatching(LINE, Net(2, 2), method="flow", shape=(2,))
    turn = torch.tensor([[0.0, 0.1], [-0.1, 0.0]])
    assert plane.sample(5, steps=5, generator=Flow(LINE) + Circulation(LINE, turn)).shape == (5, 2)


def test_weights_remember_their_method():
    file = io.BytesIO()
    torch.save(flow_model().state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    model = flow_model()
    model.load_state_dict(state)
    other = GeneratorMatching(LINE, Net(1, 1), method="score", shape=(1,))
    with pytest.raises(ValueError, match=r"trained by \['flow'\], not by \['score'\]"):
        other.load_state_dict(state)
