"""`protgm verify` as a command: the table, a checkpoint's equivariance, and an exit status to rely on."""

from __future__ import annotations

import pytest
import torch

from protgm.cli import main
from protgm.matching.mixture import MixturePath
from protgm.model import Denoiser
from protgm.selftest import measure_equivariance
from protgm.testing import cases, verify
from protgm.testing.proteins import protein_cases
from protgm.weights import save_weights


@pytest.fixture
def command(tmp_path, small_denoiser, monkeypatch):
    """The command line of a quick verification of a small network."""
    save_weights(tmp_path / "w.safetensors", small_denoiser, {})
    monkeypatch.setenv("COLUMNS", "160")  # no name in the table is broken
    monkeypatch.setattr(verify, "CASES", (cases.mixture,))
    monkeypatch.setattr(verify, "PROTEINS", (lambda: [next(iter(protein_cases(8)))],))
    return ["verify", "samples=1000", "steps=20", f"checkpoint={tmp_path / 'w.safetensors'}"]


def test_all_well_is_zero(command, capsys):
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "R^3: mixture" in shown
    assert "two proteins: share" in shown
    assert "equivariance of" in shown
    assert shown.rstrip().endswith("ok")


def test_a_wrong_law_is_one(command, capsys, monkeypatch):
    monkeypatch.setattr(MixturePath, "hazard", lambda self, x, z, t, h: 0.5 * h * torch.ones(x.shape[:-1]))
    assert main(command) == 1
    assert "FAILED" in capsys.readouterr().out


def test_a_network_that_is_not_equivariant_is_one(command, capsys, monkeypatch):
    forward = Denoiser.forward

    def crooked(self, protein, *arguments, **options):
        out = forward(self, protein, *arguments, **options)
        out.frames.translations[..., 0] += protein.frames.translations[..., 1]
        return out

    monkeypatch.setattr(Denoiser, "forward", crooked)
    assert main(command) == 1
    assert "FAILS" in capsys.readouterr().out


def test_a_missing_checkpoint_and_a_wrong_setting_are_named(command, capsys):
    assert main([*command[:-1], "checkpoint=nowhere.safetensors"]) == 1
    assert "nowhere.safetensors: no such checkpoint" in capsys.readouterr().err
    assert main(["verify", "sample=3"]) == 2


def test_the_measure_sees_how_far_a_network_moves_its_input(small_denoiser):
    found = measure_equivariance(small_denoiser, length=20)
    assert found.ok
    assert found.scale > 0.1
