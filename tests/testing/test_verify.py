"""The verification table: every row accepted, and a broken path is not."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console

from protgm.matching.euclidean import GaussianPath
from protgm.testing import verify


def test_noise_floor_is_the_kolmogorov_quantile():
    from scipy.stats import kstwobign

    assert verify.noise_floor(10_000, 0.05) == pytest.approx(kstwobign.isf(0.05) / 100, rel=1e-3)


def test_every_row_is_accepted_and_printed():
    out = io.StringIO()
    assert verify.verify_table(samples=2_000, steps=40, console=Console(file=out, width=120))
    text = out.getvalue()
    for word in ("CondOT", "vMF", "heat kernel", "geodesic", "masking", "uniform", "adaptive", "ok"):
        assert word in text


def test_a_broken_path_fails_the_table(monkeypatch):
    monkeypatch.setattr(GaussianPath, "velocity", lambda self, x, z, t: (z - x).expand_as(x + z))
    monkeypatch.setattr(verify, "_rotations", lambda samples, steps: iter(()))
    monkeypatch.setattr(verify, "_tokens", lambda samples, steps: iter(()))
    out = io.StringIO()
    assert not verify.verify_table(samples=2_000, steps=40, console=Console(file=out, width=120))
    assert "FAILED" in out.getvalue()


@pytest.mark.slow
def test_hundred_thousand_samples_reach_the_noise_floor():
    torch.manual_seed(0)
    rows = list(verify.verify_rows(samples=100_000, steps=300))
    assert all(row.distance <= 0.006 for row in rows), [r for r in rows if r.distance > 0.006]
