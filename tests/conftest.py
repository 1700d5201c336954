"""What tests of several packages share: the example structures as a dataset, and a small denoiser."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from protgm.data import Filters, prepare
from protgm.model import Denoiser, DenoiserConfig

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"

SMALL = DenoiserConfig(
    width=32, heads=4, stages=2, blocks=1, pair_width=16, pair_values=8, points=2, feed_forward=64, components=3
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_mmseqs_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """MMseqs2 is there for tests that put it on the path, whether this machine has it or not."""
    of_machine, which = shutil.which("mmseqs"), shutil.which
    if of_machine is not None:

        def hidden(name: str) -> str | None:
            found = which(name)
            return None if found == of_machine else found

        monkeypatch.setattr("protgm.data.mmseqs.shutil", SimpleNamespace(which=hidden))


@pytest.fixture(scope="session")
def example_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset made from the example structures, with a training and a validation split."""
    out = tmp_path_factory.mktemp("examples") / "dataset"
    prepare(EXAMPLES, out, filters=Filters(max_length=256), workers=1, progress=False)
    return out


@pytest.fixture
def small_config() -> DenoiserConfig:
    """Settings of a network that trains in seconds."""
    return SMALL


@pytest.fixture(scope="session")
def small_denoiser() -> Denoiser:
    """A small network whose every weight is random, also those that start at zero: it does something everywhere."""
    torch.manual_seed(0)
    denoiser = Denoiser(SMALL)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 / max(1, parameter.shape[-1]) ** 0.5))
    return denoiser.eval()
