"""protgm sample design=true: sequences beside the samples, made once."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protgm.design import Design
from protgm.design.samples import design_samples
from protgm.sample import SampleConfig, sample
from protgm.structure import Backbone, read_structure
from protgm.weights import save_weights


@pytest.fixture
def config(small_denoiser, tmp_path: Path) -> SampleConfig:
    weights = tmp_path / "small.safetensors"
    save_weights(weights, small_denoiser, {})
    return SampleConfig(
        length=(20, 14), num=1, out=str(tmp_path / "out"), checkpoint=str(weights), steps=2, design=True, num_seqs=2
    )


class Counting:
    """Alanines, the number of calls remembered."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0) -> list[Design]:
        self.calls.append(backbone.name)
        return [Design("A" * len(backbone), 1.0 + k) for k in range(num_seqs)]

    def score(self, backbone: Backbone, sequence: str) -> float:
        return 1.0


@pytest.mark.slow
def test_samples_get_sequences_and_structures_that_carry_the_best(config: SampleConfig) -> None:
    pytest.importorskip("protein_mpnn_utils")
    sample(config)
    out = Path(config.out)
    for name, length in (("L20_0000", 20), ("L14_0000", 14)):
        lines = (out / "designs" / f"{name}.fasta").read_text().splitlines()
        assert [line.split()[0] for line in lines[::2]] == [f">{name}_1", f">{name}_2"]
        assert [len(line) for line in lines[1::2]] == [length, length]
        designed, plain = read_structure(out / "designs" / f"{name}.pdb"), read_structure(out / f"{name}.pdb")
        assert designed.sequence == lines[1]
        assert np.allclose(designed.coords, plain.coords, atol=1e-3)
        assert set(plain.sequence) == {"G"}
        assert designed.confidence.tolist() == plain.confidence.tolist()
        assert designed.confidence.any()


@pytest.mark.slow
def test_designs_are_made_once(config: SampleConfig) -> None:
    sample(replace(config, design=False))
    out, files = Path(config.out), ["L20_0000.pdb", "L14_0000.pdb"]
    designer = Counting()
    for num_seqs in (1, 1, 2):
        design_samples(out, files, num_seqs=num_seqs, seed=0, designer=designer, progress=False)
    assert designer.calls == ["L20_0000", "L14_0000"] * 2
    (out / "designs" / "L14_0000.fasta").unlink()
    design_samples(out, files, num_seqs=2, seed=0, designer=designer, progress=False)
    assert designer.calls[4:] == ["L14_0000"]


def test_what_is_missing_is_said_before_anything_is_sampled(
    config: SampleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "protein_mpnn_utils", None)
    with pytest.raises(ValueError, match=r"pip install 'protgm\[design\]'"):
        sample(config)
    assert not Path(config.out).exists()
    with pytest.raises(ValueError, match="num_seqs=0 must be at least 1"):
        replace(config, num_seqs=0)
