"""`GeneratorMatching` in wrong hands, and its weights on disk."""

from __future__ import annotations

import io

import pytest
import torch

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

MODES = torch.tensor([[-2.0], [0.0], [2.0]])
LINE, TURN = GaussianPath(), AntipodalVMFPath(QuadraticKappa())


def flow_model(perceptron, method="flow"):
    return GeneratorMatching(LINE, perceptron(1, output_size(LINE, method, (1,))), method=method, shape=(1,))


def masks(perceptron):
    return GeneratorMatching(MaskingPath(3), perceptron(16, 3, (4,), 4), method="jump", shape=(4,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda net: flow_model(net).sample(3, generator=Jump(LINE)),
            "Jump needs the posterior, which method='flow' does",
        ),
        (
            lambda net: flow_model(net, "jump").sample(3, generator=Flow(LINE)),
            "Flow needs the velocity, which method='jump'",
        ),
        (lambda net: flow_model(net, "jump").sample(3, generator=Diffusion(LINE)), "Diffusion needs the velocity"),
        (
            lambda net: flow_model(net, "jump").sample(3, generator=Jump(LINE) + Langevin(LINE)),
            "Langevin needs the score",
        ),
        (
            lambda net: GeneratorMatching(TURN, net(9, 3), method="flow", shape=(3, 3)).sample(
                3, generator=Diffusion(TURN, 0.1)
            ),
            "Diffusion needs the score, which method='flow' does not train on AntipodalVMFPath",
        ),
        (
            lambda net: flow_model(net).sample(3, generator=ProductGenerator(Flow(LINE))),
            "a generator of 1 parts for 1 paths",
        ),
        (
            lambda _: GeneratorMatching(LINE, None, method="flows", shape=(1,)),
            "unknown method 'flows'; use one of flow",
        ),
        (lambda _: output_size(MaskingPath(3), "flow", (4,)), "MaskingPath has no flow; it has jump"),
        (lambda _: output_size(TURN, "score", (3, 3)), "does not give its velocity; use method='diffusion'"),
        (
            lambda _: output_size(GeodesicPath(Torus(), torch.randn), "jump", (1,)),
            "GeodesicPath has no jump; it has f",
        ),
        (lambda _: output_size(GaussianPath(space=CentredPoints()), "jump", (4, 3)), "has no jump"),
        (lambda _: output_size(TURN, "flow", (3,)), "fewer dimensions than a point"),
        (lambda _: output_size(LINE, ("flow", "jump"), (1,)), "one path takes one method"),
        (lambda _: output_size(ProductPath((LINE, TURN)), "flow", ((1,),)), "needs as many shapes"),
        (
            lambda net: GeneratorMatching(LINE, net(1, 2), method="flow", shape=(1,)).loss(MODES),
            r"give shape \(3, 1\)",
        ),
        (lambda net: flow_model(net).loss(torch.zeros(3, 2)), r"data of shape \(2,\), but shape=\(1,\)"),
        (lambda net: flow_model(net, "superposition").loss(MODES, noise=MODES), "known for independent noise only"),
        (lambda net: masks(net).sample(3, generator=Flow(LINE)), "needs the velocity"),
    ],
)
def test_wrong_use_is_refused_by_name(make, message, perceptron):
    with pytest.raises(ValueError, match=message) as caught:
        make(perceptron)
    assert "\n" not in str(caught.value)


def test_terms_of_other_heads_are_allowed_where_they_are_trained(perceptron):
    model = masks(perceptron)
    assert model.sample(5, steps=5, generator=Jump(MaskingPath(3)) + 1.0 * Balance(MaskingPath(3))).shape == (5, 4)
    plane = GeneratorMatching(LINE, perceptron(2, 2), method="flow", shape=(2,))
    turn = torch.tensor([[0.0, 0.1], [-0.1, 0.0]])
    assert plane.sample(5, steps=5, generator=Flow(LINE) + Circulation(LINE, turn)).shape == (5, 2)


def test_weights_remember_their_method(perceptron):
    file = io.BytesIO()
    torch.save(flow_model(perceptron).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    model = flow_model(perceptron)
    model.load_state_dict(state)
    other = GeneratorMatching(LINE, perceptron(1, 1), method="score", shape=(1,))
    with pytest.raises(ValueError, match=r"trained by \['flow'\], not by \['score'\]"):
        other.load_state_dict(state)
