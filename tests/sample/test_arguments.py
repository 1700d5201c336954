"""Arguments from Python: numbers of any library are served, what is none is refused by name; memory that runs out."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from protgm.sample import BackboneModel, SampleConfig, sample
from protgm.sample.generate import batches
from protgm.sample.lengths import Item
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import SamplerSettings
from protgm.weights import save_weights

FAST = SamplerSettings(steps=2, precision="fp32")


@pytest.fixture(scope="module")
def model(small_denoiser) -> BackboneModel:
    return BackboneModel(small_denoiser, {}, "none")


def coords(backbones) -> list[np.ndarray]:
    return [backbone.coords for backbone in backbones]


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, torch.tensor])
def test_whole_numbers_of_any_library_are_whole_numbers(model, kind):
    plain = model.sample(11, 2, seed=3, settings=FAST, batch=1, refine=False)
    same = model.sample(kind(11), kind(2), seed=kind(3), settings=FAST, batch=kind(1), refine=False)
    assert all(np.array_equal(a, b) for a, b in zip(coords(plain), coords(same), strict=True))
    assert json.dumps(same[0].metadata) == json.dumps(plain[0].metadata)


def test_lengths_may_be_an_array(model):
    assert [len(b) for b in model.sample(np.array([9, 14]), settings=FAST, refine=False)] == [9, 14]
    assert [len(b) for b in model.sample(range(9, 11), settings=FAST, refine=False)] == [9, 10]


def test_a_request_with_numbers_of_numpy_is_written(small_denoiser, tmp_path):
    save_weights(tmp_path / "w.safetensors", small_denoiser, {})
    config = SampleConfig(
        length=np.int64(12), num=np.int32(1), seed=np.uint8(5), steps=np.int16(2), temperature=np.float32(0.5),
        refine=False, out=str(tmp_path / "out"), checkpoint=str(tmp_path / "w.safetensors"),
    )  # fmt: skip
    row = sample(config)[0]
    assert row["settings"]["temperature"] == 0.5
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text())["seed"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": -3}, "batch=-3 must be at least 1"),
        ({"batch": 0}, "batch=0 must be at least 1"),
        ({"batch": 2.0}, "batch=2.0: must be a whole number"),
        ({"batch": True}, "batch=True: must be a whole number"),
        ({"seed": None}, "seed=None: must be a whole number"),
        ({"seed": -1}, "seed=-1 must not be negative"),
        ({"seed": "7"}, "seed='7': must be a whole number"),
        ({"num": 0}, "num=0 must be at least 1"),
        ({"num": float("nan")}, "num=nan: must be a whole number"),
        ({"length": 12.5}, "length=12.5: must be whole numbers"),
        ({"length": None}, "length=None: must be whole numbers"),
        ({"length": []}, r"length=\[\]: must be whole numbers"),
        ({"secondary": 4}, "secondary=4: must be text"),
    ],
)
def test_what_is_no_such_number_is_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.sample(**{"length": 12, "settings": FAST} | arguments)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("temperature", float("nan"), "temperature=nan must be finite"),
        ("noise_scale", float("inf"), "noise_scale=inf must be finite"),
        ("guidance_until", np.float64("nan"), "guidance_until=nan must be finite"),
        ("rotation_noise", "much", "rotation_noise='much': must be a number"),
        ("jump_weight", None, "jump_weight=None: must be a number"),
        ("steps", 20.5, "steps=20.5: must be a whole number"),
        ("flow_draws", Fraction(1, 2), r"flow_draws=Fraction\(1, 2\): must be a whole number"),
        ("neighbours", "all", "neighbours='all': must be a whole number"),
    ],
)
def test_settings_that_are_no_numbers_are_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        SamplerSettings(**{name: value})


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_mode_that_the_caller_computes_in_changes_nothing(model, mode, monkeypatch):
    monkeypatch.setattr("protgm.sample.refine._STEPS", 4)
    plain = model.sample(13, settings=FAST)
    with mode():
        made = model.sample(13, settings=FAST)
    assert np.array_equal(plain[0].coords, made[0].coords)


class Small:
    """Memory for so many proteins: beyond that, torch's own error."""

    def __init__(self, proteins: int) -> None:
        self.proteins, self.asked = proteins, []

    def __call__(self, model, process, task, settings, source):
        self.asked.append(len(task.mask))
        if len(task.mask) > self.proteins:
            torch.empty(2**58)
        return sample_frames(model, process, task, settings, source)


def test_a_batch_that_memory_does_not_hold_is_made_in_halves(model, monkeypatch, capsys):
    whole = model.sample([10, 12, 15], 3, settings=FAST, refine=False)
    small = Small(2)
    monkeypatch.setattr("protgm.sample.generate.sample_frames", small)
    parts = model.sample([10, 12, 15], 3, settings=FAST, refine=False)
    assert small.asked == [9, 4, 2, 2, 5, 2, 3, 1, 2]
    assert [b.name for b in parts] == [b.name for b in whole]
    assert all(np.allclose(a, b, atol=1e-2) for a, b in zip(coords(whole), coords(parts), strict=True))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4
    assert "memory ran out: 9 proteins of 15 residues take about 0.0028 GB; going on with 4 at a time" in told[0]


def test_one_protein_that_memory_does_not_hold_is_one_line(model, monkeypatch):
    monkeypatch.setattr("protgm.sample.generate.sample_frames", Small(0))
    with pytest.raises(ValueError, match=r"one protein of 700 residues takes about 0.13 GB; shorter chains or few"):
        model.sample(700, settings=FAST)


def test_other_errors_of_the_machine_are_not_taken_for_memory(model, monkeypatch):
    def broken(*_arguments):
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr("protgm.sample.generate.sample_frames", broken)
    with pytest.raises(RuntimeError, match="illegal instruction"):
        model.sample(12, settings=FAST)


def test_batches_are_cut_at_numbers_of_numpy():
    items = [Item(10, index) for index in range(5)]
    assert [len(part) for part in batches(items, np.int64(2))] == [2, 2, 1]
