"""What the tests of conditions share: a model with a small random network, and structures to condition on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from protgm.model import Denoiser
from protgm.process import ProteinProcess
from protgm.sample import SamplerSettings
from protgm.sample.generate import BackboneModel
from protgm.structure import Backbone, read_structure

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of example structures."""
    return EXAMPLES


@pytest.fixture(scope="session")
def barrel() -> Backbone:
    """1CSP: one chain A, residues 1 to 67."""
    return read_structure(EXAMPLES / "1CSP_A.pdb.gz")


@pytest.fixture(scope="session")
def complex_() -> Backbone:
    """3WBM: chains A to D of 84 to 89 residues, A and B with a gap each."""
    return read_structure(EXAMPLES / "3wbm.bcif.gz")


@pytest.fixture(scope="session")
def small_model(small_denoiser: Denoiser) -> BackboneModel:
    """A model whose network is small and random: what holds with it holds whatever a network says."""
    return BackboneModel(small_denoiser, ProteinProcess(), {}, "small", torch.device("cpu"))


@pytest.fixture(scope="session")
def quick() -> SamplerSettings:
    """Three evaluations of the network."""
    return SamplerSettings(steps=3)


def _rmsd(mobile: np.ndarray, target: np.ndarray) -> float:
    """Root mean square distance of points (N, 3) after superposition, Angstrom."""
    a, b = (x.reshape(-1, 3).astype(np.float64) for x in (mobile, target))
    a, b = a - a.mean(0), b - b.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return float(np.sqrt(np.square(a @ turn - b).sum(-1).mean()))


@pytest.fixture(scope="session")
def rmsd():
    """`_rmsd`, by way of a fixture: test modules cannot import one another."""
    return _rmsd
