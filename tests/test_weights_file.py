"""Weights files that are not what they seem: one line, no huge network, no code run."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file

from protgm.matching.euclidean import GaussianPath
from protgm.matching.kappa import QuadraticKappa
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.model import Denoiser
from protgm.process import ProteinProcess
from protgm.weights import load_model, load_weights, save_weights


@pytest.fixture
def saved(small_denoiser, tmp_path):
    """Write the small network's tensors under another header."""

    def save(**metadata):
        path = tmp_path / "weights.safetensors"
        whole = {"format": "protgm-1", "model": json.dumps(asdict(small_denoiser.config)), "card": "{}"} | metadata
        tensors = {name: p.detach() for name, p in small_denoiser.named_parameters()}
        save_file(tensors, path, metadata={key: value for key, value in whole.items() if value is not None})
        return path

    return save


def test_there_and_back(small_denoiser, tmp_path):
    save_weights(tmp_path / "w.safetensors", small_denoiser, {"steps": 3})
    model, process, card = load_model(tmp_path / "w.safetensors")
    assert card == {"steps": 3}
    assert process == ProteinProcess.of_scale(small_denoiser.config.noise_scale)
    for a, b in zip(model.parameters(), small_denoiser.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_process_is_kept_with_the_weights(small_denoiser, saved, tmp_path):
    path = tmp_path / "p.safetensors"
    process = ProteinProcess(GaussianPath(scale=7.0), AntipodalVMFPath(QuadraticKappa(scale=3.0)))
    save_weights(path, small_denoiser, {}, process=process)
    assert load_model(path)[1] == process
    # Files from before it was written down were trained on the usual one.
    assert load_model(saved())[1] == ProteinProcess.of_scale(small_denoiser.config.noise_scale)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "other"}, "not weights written by protgm"),
        ({"model": None}, "its header does not describe a network"),
        ({"model": "{"}, "its header does not describe a network"),
        ({"model": "[1]"}, "its header does not describe a network"),
        ({"model": '{"width": "x"}'}, "width=x: must be a whole number"),
        ({"model": '{"colour": 1}'}, "colour: no such setting"),
        ({"model": '{"stages": 1000000000}'}, "does not describe the network that is in it"),
        ({"model": '{"refinements": 1000000000}'}, "does not describe the network that is in it"),
        ({"model": '{"width": 1000000000, "heads": 1}'}, "has shape|does not describe the network"),
        ({"model": "[" * 100_000}, "its header does not describe a network"),
        ({"card": "[]"}, "does not describe the network"),
        ({"model": '{"\\u001b[2J": 1}'}, "no such setting"),
        ({"process": "{"}, "its header does not describe a network"),
        ({"process": "{}"}, "its header does not describe a network"),
        ({"process": '{"positions": {"scale": "x"}, "rotations": {}}'}, "its header does not describe a network"),
    ],
)
def test_headers_that_lie(saved, metadata, message):
    with pytest.raises(ValueError, match=message) as error:
        load_model(saved(**metadata))
    assert str(error.value).isprintable()


def test_pickles_are_not_read(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="not a safetensors checkpoint, or a damaged one"):
        load_model(path)
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="not a safetensors checkpoint, or a damaged one"):
        load_model(path)


def test_a_network_grows(small_denoiser, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, small_denoiser, {})
    grown = Denoiser(replace(small_denoiser.config, stages=small_denoiser.config.stages + 2))
    load_weights(grown, path)
    *_, last, faint, copy = grown.stages
    assert torch.equal(faint.read_pair.weight, last.read_pair.weight)
    assert torch.equal(faint.update.linear.weight, 0.25 * last.update.linear.weight)
    assert torch.equal(faint.blocks[0].out.bias, 0.25 * last.blocks[0].out.bias)
    assert all(torch.equal(a, b) for a, b in zip(faint.parameters(), copy.parameters(), strict=True))
    with pytest.raises(ValueError, match="has an unknown parameter"):
        load_weights(Denoiser(replace(small_denoiser.config, stages=1)), path)
