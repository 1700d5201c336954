"""Arguments from Python: numbers of any library are served, what is none is refused by name; memory that runs out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from protgm.condition import Motif, Symmetry
from protgm.process import ProteinProcess
from protgm.sample import BackboneModel, SampleConfig, load, sample
from protgm.sample.lengths import Item
from protgm.sample.own import OwnDesigner
from protgm.sample.request import batches
from protgm.sample.sampler import sample_frames
from protgm.sample.settings import Execution, SamplerSettings
from protgm.score import backbone_likelihood
from protgm.structure import Backbone, read_structure
from protgm.weights import save_weights

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"
FAST = SamplerSettings(steps=2)
SINGLE = Execution(precision="fp32")


@pytest.fixture(scope="module")
def model(small_denoiser) -> BackboneModel:
    return BackboneModel(small_denoiser, ProteinProcess(), {}, "none")


def coords(backbones) -> list[np.ndarray]:
    return [backbone.coords for backbone in backbones]


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, torch.tensor])
def test_whole_numbers_of_any_library_are_whole_numbers(model, kind):
    one = replace(SINGLE, batch=1)
    plain = model.sample(11, 2, seed=3, settings=FAST, execution=one, refine=False)
    one = replace(SINGLE, batch=kind(1))
    same = model.sample(kind(11), kind(2), seed=kind(3), settings=FAST, execution=one, refine=False)
    assert all(np.array_equal(a, b) for a, b in zip(coords(plain), coords(same), strict=True))
    assert json.dumps(same[0].metadata) == json.dumps(plain[0].metadata)


def test_lengths_may_be_an_array(model):
    assert [len(b) for b in model.sample(np.array([9, 14]), settings=FAST, execution=SINGLE, refine=False)] == [9, 14]
    assert [len(b) for b in model.sample(range(9, 11), settings=FAST, execution=SINGLE, refine=False)] == [9, 10]


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
        ({"seed": None}, "seed=None: must be a whole number"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
        ({"seed": "7"}, "seed='7': must be a whole number"),
        ({"num": 0}, "num=0 must be at least 1"),
        ({"num": float("nan")}, "num=nan: must be a whole number"),
        ({"length": 12.5}, "length=12.5: must be whole numbers"),
        ({"length": []}, r"length=\[\]: must be whole numbers"),
        ({"secondary": 4}, "secondary=4: must be text"),
    ],
)
def test_what_is_no_such_number_is_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.sample(**{"length": 12, "settings": FAST} | arguments)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-3, "batch=-3 must be at least 1"),
        (0, "batch=0 must be at least 1"),
        (2.0, "batch=2.0: must be a whole number"),
        (True, "batch=True: must be a whole number"),
    ],
)
def test_batches_of_no_such_number_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        Execution(batch=value)


def test_a_length_that_is_not_given_is_100(model):
    assert [len(b) for b in model.sample(settings=FAST, execution=SINGLE, refine=False)] == [100]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("temperature", float("nan"), "temperature=nan must be finite"),
        ("translation_noise", float("inf"), "translation_noise=inf must be finite"),
        ("guidance_until", np.float64("nan"), "guidance_until=nan must be finite"),
        ("rotation_noise", "much", "rotation_noise='much': must be a number"),
        ("jump_weight", None, "jump_weight=None: must be a number"),
        ("steps", 20.5, "steps=20.5: must be a whole number"),
        ("steps", Fraction(1, 2), r"steps=Fraction\(1, 2\): must be a whole number"),
    ],
)
def test_settings_that_are_no_numbers_are_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        SamplerSettings(**{name: value})


def test_a_number_of_neighbours_that_is_none_is_named():
    with pytest.raises(ValueError, match="neighbours='all': must be a whole number"):
        Execution(neighbours="all")


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
        assert torch.is_autocast_enabled("cpu")


@contextmanager
def default_device() -> Iterator[None]:
    with torch.device("meta"):
        yield
        assert torch.get_default_device().type == "meta"


#: What a program that uses protgm may have made of torch.
MODES = {
    "inference mode": torch.inference_mode, "no gradients": torch.no_grad, "gradients": torch.enable_grad,
    "float64": partial(default_dtype, torch.float64), "float16": partial(default_dtype, torch.float16),
    "autocast": autocast, "another device": default_device,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_what_the_caller_has_made_of_torch_changes_nothing(model, mode, monkeypatch, tmp_path):
    """Neither loading nor sampling: every tensor is made as this package makes them, and the mode holds on behind."""
    monkeypatch.setattr("protgm.sample.refine._STEPS", 4)
    save_weights(tmp_path / "w.safetensors", model.denoiser, {})
    motif = Motif(EXAMPLES / "1CSP_A.pdb.gz", "3,A20-26,3")
    asked = {"conditions": motif & Symmetry("C2"), "settings": FAST, "execution": SINGLE}
    plain = model.sample(**asked)
    with MODES[mode]():
        made = load(tmp_path / "w.safetensors").sample(**asked)
    assert np.array_equal(plain[0].coords, made[0].coords)


@pytest.mark.parametrize("mode", ["float64", "autocast", "another device"])
def test_nor_does_it_change_scores_and_designs(model, mode, tmp_path):
    save_weights(tmp_path / "w.safetensors", model.denoiser, {})
    native = read_structure(EXAMPLES / "1CSP_A.pdb.gz")
    native = replace(Backbone.from_coords(native.coords[:20]), sequence=native.sequence[:20])

    def found() -> list[object]:
        own = OwnDesigner(tmp_path / "w.safetensors", steps=2, draws=2)
        (made,) = own.design(native, 1)
        score = backbone_likelihood(partial(model.denoiser, exact=True), model.process, native, steps=1, draws=1)
        return [made.sequence, own.score(native, native.sequence), score.nats]

    plain = found()
    with MODES[mode]():
        assert found() == plain


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": "C2"}, "conditions: a Condition is wanted, got str"),
        ({"conditions": [Symmetry("C2")]}, "conditions: a Condition is wanted, got list; several are joined with &"),
        ({"settings": {"steps": 2}}, "settings: a SamplerSettings is wanted, got dict"),
        ({"execution": {"batch": 2}}, "execution: an Execution is wanted, got dict"),
    ],
)
def test_objects_of_another_kind_are_named(model, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        model.sample(12, **arguments)


class Small:
    """Memory for so many proteins: beyond that, torch's own error."""

    def __init__(self, proteins: int) -> None:
        self.proteins, self.asked = proteins, []

    def __call__(self, model, process, layout, settings, source, **options):
        self.asked.append(len(layout.mask))
        if len(layout.mask) > self.proteins:
            torch.empty(2**58)
        return sample_frames(model, process, layout, settings, source, **options)


def test_a_batch_that_memory_does_not_hold_is_made_in_halves(model, monkeypatch, capsys):
    whole = model.sample([10, 12, 15], 3, settings=FAST, execution=SINGLE, refine=False)
    small = Small(2)
    monkeypatch.setattr("protgm.sample.batch.sample_frames", small)
    parts = model.sample([10, 12, 15], 3, settings=FAST, execution=SINGLE, refine=False)
    assert small.asked == [9, 4, 2, 2, 5, 2, 3, 1, 2]
    assert [b.name for b in parts] == [b.name for b in whole]
    assert all(np.allclose(a, b, atol=1e-2) for a, b in zip(coords(whole), coords(parts), strict=True))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4
    assert "memory ran out: 9 proteins of 15 residues take about 0.0028 GB; going on with 4 at a time" in told[0]


def test_one_protein_that_memory_does_not_hold_is_one_line(model, monkeypatch):
    monkeypatch.setattr("protgm.sample.batch.sample_frames", Small(0))
    with pytest.raises(ValueError, match=r"one protein of 700 residues takes about 0.13 GB; shorter chains or few"):
        model.sample(700, settings=FAST, execution=SINGLE)


def test_other_errors_of_the_machine_are_not_taken_for_memory(model, monkeypatch):
    def broken(*_arguments, **_options):
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr("protgm.sample.batch.sample_frames", broken)
    with pytest.raises(RuntimeError, match="illegal instruction"):
        model.sample(12, settings=FAST, execution=SINGLE)


def test_batches_are_cut_at_numbers_of_numpy():
    items = [Item(10, index) for index in range(5)]
    assert [len(part) for part in batches(items, Execution(batch=np.int64(2)))] == [2, 2, 1]
