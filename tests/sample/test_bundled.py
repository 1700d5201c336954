"""The weights that come with the package make chains that hold together."""

from __future__ import annotations

import numpy as np
import pytest

import protgm
from protgm.metrics.geometry import geometry
from protgm.selftest import measure_equivariance
from protgm.weights import BUNDLED


@pytest.fixture(scope="module")
def model() -> protgm.BackboneModel:
    return protgm.load()


def test_the_file_is_small_and_says_what_it_is(model):
    assert BUNDLED.stat().st_size < 15e6
    assert model.card["steps"] > 0
    assert model.card["samples_seen"] > model.card["steps"]


def test_it_is_equivariant(model):
    assert measure_equivariance(model.denoiser).ok


@pytest.mark.slow
def test_its_samples_are_sound_chains(model):
    made = model.sample(length=64, num=4, seed=0, settings=protgm.SamplerSettings(steps=40))
    reports = [geometry(backbone) for backbone in made]

    def mean(figure: str) -> float:
        return float(np.mean([getattr(report, figure) for report in reports]))

    assert mean("cn_ok") > 0.97
    assert mean("trans") > 0.97
    assert mean("rama_favoured") > 0.75
    assert mean("ca_clashes") < 0.03
    assert 0.85 < mean("rg_ratio") < 1.3
    assert mean("helix") + mean("strand") > 0.2
