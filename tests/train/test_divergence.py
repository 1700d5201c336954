"""A run that has diverged stops with one line, and what was good of it stays."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from protgm.cli import main
from protgm.model import Denoiser
from protgm.model.finite import NotFinite
from protgm.sample import load
from protgm.train import TrainConfig, train
from protgm.train.checkpoint import Damaged, best, latest_checkpoint, load_checkpoint, note_best, save_checkpoint
from protgm.train.diverged import PATIENCE, Diverged, Divergence
from protgm.train.losses import LossWeights
from protgm.train.optim import EMA, Schedule, make_optimizer
from protgm.train.trainer import Trainer
from protgm.weights import save_weights


@pytest.fixture
def config(config) -> TrainConfig:
    return replace(config, steps=4, log_every=1, schedule=Schedule(warmup_steps=0, decay_share=0.0))


def contents(config: TrainConfig) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(config.out).rglob("*.safetensors"))}


@pytest.mark.slow
def test_gradients_that_are_never_finite_stop_a_run_and_leave_what_it_had(config):
    train(config)
    before = contents(config)
    endless = replace(config, steps=1000, loss=LossWeights(distances=1e39))
    with pytest.raises(Diverged) as stopped:
        train(endless)
    said = str(stopped.value)
    assert re.search(
        rf"run: training has diverged at step {4 + PATIENCE}: gradients are not finite; lower schedule.peak", said
    )
    assert "goes on from step-00000004" in said
    assert "\n" not in said
    assert contents(config) == before
    train(replace(config, steps=6))  # with the loss as it was
    assert latest_checkpoint(Path(config.out)).name == "step-00000006"


def test_a_first_line_that_is_infinite_is_status_1_and_one_line(config, example_dataset, tmp_path, capsys):
    settings = [f"{k}={v}" for k, v in vars(config.model).items() if not isinstance(v, bool | str)]
    arguments = [f"data={example_dataset}", f"out={tmp_path / 'new'}", "steps=100", "tokens=256", "loss.clash=1e39"]
    assert main(["train", *arguments, *(f"model.{s}" for s in settings)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "diverged" in lines[-1]
    assert "no checkpoint yet" in lines[-1]
    assert not list((tmp_path / "new").rglob("*.safetensors"))


@pytest.mark.slow
def test_weights_that_overflow_are_not_written_over_good_ones(config):
    train(config)
    before = contents(config)
    with pytest.raises(Diverged, match=r"(weights of \S+|gradients) are not finite"):
        train(replace(config, steps=30, schedule=Schedule(peak=1e38, warmup_steps=0, decay_share=0.0)))
    assert contents(config) == before


def test_single_gradients_that_are_not_finite_do_not_count():
    watch, (good, bad) = Divergence(), (torch.tensor(1.0), torch.tensor(float("nan")))
    assert not any(watch.goes_on(norm) for norm in [good, bad] * 50)
    assert [watch.goes_on(bad) for _ in range(PATIENCE + 1)].index(True) == PATIENCE - 2  # one is left over


@pytest.mark.slow
def test_the_best_validated_checkpoint_stays_beside_the_newest(config):
    """However many come after it: its averaged weights are best.safetensors."""
    train(replace(config, steps=1))
    step, loss = best(Path(config.out))
    assert step == 1
    note_best(Path(config.out), 1, -1e9)  # none of those to come is better
    kept = (Path(config.out) / "best.safetensors").read_bytes()
    for steps in range(2, 7):
        train(replace(config, steps=steps))
    names = sorted(path.name for path in (Path(config.out) / "checkpoints").iterdir())
    assert names == ["step-00000001", "step-00000004", "step-00000005", "step-00000006"]
    assert (Path(config.out) / "best.safetensors").read_bytes() == kept
    card = load(Path(config.out) / "best.safetensors").card
    assert card["step"] == 1
    assert card["validation_loss"] == pytest.approx(loss)
    note_best(Path(config.out), 1, 1e9)
    train(replace(config, steps=7))
    assert best(Path(config.out))[0] == 7
    assert (Path(config.out) / "best.safetensors").read_bytes() != kept


def test_a_checkpoint_with_weights_that_are_not_finite_is_passed_over(config, capsys):
    train(replace(config, steps=1))
    model = Denoiser(config.model)
    with torch.no_grad():
        next(model.parameters()).fill_(float("inf"))
    state = EMA(model), make_optimizer(model, "adamw", 0.01)
    counters = {"step": 2, "epoch": 0, "batch": 2, "samples": 5, "seconds": 1.5}
    bad = save_checkpoint(Path(config.out), model, *state, counters)
    with pytest.raises(Damaged, match=r"step-00000002: weights of \S+ are not finite"):
        load_checkpoint(bad, model, *state)
    assert Trainer(config).counters["step"] == 1
    assert "are not finite; going on from the one before it" in capsys.readouterr().err


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(small_config, tmp_path, value):
    model = Denoiser(small_config)
    name, parameter = list(model.named_parameters())[5]
    with torch.no_grad():
        parameter.view(-1)[0] = value
    with pytest.raises(ValueError, match=f"not written, weights of {re.escape(name)} are not finite"):
        save_weights(tmp_path / "bad.safetensors", model, {})
    with torch.no_grad():
        parameter.view(-1)[0] = 1e6
    with pytest.raises(ValueError, match="not finite in half precision"):
        save_weights(tmp_path / "bad.safetensors", model, {}, half=True)
    assert not list(tmp_path.iterdir())


def test_a_file_whose_weights_are_not_finite_is_not_sampled_from(small_config, tmp_path, monkeypatch):
    model = Denoiser(small_config)
    with torch.no_grad():
        list(model.parameters())[-1].fill_(float("nan"))
    monkeypatch.setattr("protgm.weights.not_finite", lambda tensors: None)
    save_weights(tmp_path / "old.safetensors", model, {})
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"old.safetensors: weights of \S+ are not finite: its training has diverged"):
        load(tmp_path / "old.safetensors")


def test_a_network_that_predicts_nonsense_is_one_line(small_config, tmp_path):
    """Finite weights, but so large that what is computed with them is not."""
    model = Denoiser(small_config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e30)
    save_weights(tmp_path / "huge.safetensors", model, {})
    with pytest.raises(ValueError, match=r"the network predicts coordinates that are not finite"):
        load(tmp_path / "huge.safetensors").sample(12)


def test_a_run_whose_samples_are_nonsense_goes_on(config, monkeypatch):
    def lost(*_arguments):
        raise NotFinite("weights of this run")

    monkeypatch.setattr("protgm.train.trainer.sample_geometry", lost)
    train(config)
    assert (Path(config.out) / "validation.csv").exists()
    assert not (Path(config.out) / "samples.csv").exists()


def test_what_was_best_is_read_with_care(tmp_path):
    assert best(tmp_path) == (-1, float("inf"))
    for text in ("{", "[]", json.dumps({"step": "x", "loss": 1})):
        (tmp_path / "best.json").write_text(text)
        assert best(tmp_path) == (-1, float("inf"))
