"""Checkpoints of a run: the last ones are kept, damage is found and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from protgm.model import Denoiser
from protgm.train import train
from protgm.train.checkpoint import Damaged, latest_checkpoint, load_checkpoint, save_checkpoint
from protgm.train.optim import EMA, make_optimizer


def damage(checkpoint: Path, how: str) -> None:
    path = checkpoint / "model.safetensors"
    data = path.read_bytes()
    if how == "flip":
        path.write_bytes(data[:-7] + bytes([data[-7] ^ 1]) + data[-6:])
    elif how == "short":
        path.write_bytes(data[: len(data) // 2])
    elif how == "gone":
        path.unlink()
    else:
        (checkpoint / "state.json").write_text(how)


@pytest.mark.parametrize("how", ["flip", "short", "gone", "{", "[]", '{"sha256": 1}', '{"step": "x", "sha256": {}}'])
def test_damage_is_found(small_config, tmp_path, how):
    model = Denoiser(small_config)
    state = EMA(model), make_optimizer(model, "adamw", 0.01)
    counters = {"step": 3, "epoch": 1, "batch": 2, "samples": 5, "seconds": 1.5}
    saved = save_checkpoint(tmp_path, model, *state, counters)
    assert load_checkpoint(saved, model, *state) == counters
    damage(saved, how)
    with pytest.raises(Damaged, match=r"step-00000003.*damaged") as error:
        load_checkpoint(saved, model, *state)
    assert str(error.value).isprintable()


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_used(config, capsys, curve, weights):
    train(replace(config, steps=2, log_every=1))
    train(replace(config, steps=4, log_every=1))
    whole = weights(config.out)
    newest = latest_checkpoint(Path(config.out))
    assert newest is not None
    damage(newest, "flip")
    train(replace(config, steps=4, log_every=1))
    told = capsys.readouterr().err
    assert f"{newest.name}" in told
    assert "damaged" in told
    assert "going on from the one before it" in told
    # Steps 3 and 4 again, the same.
    assert [step for step, _ in curve(config.out)] == [1, 2, 3, 4]
    again = weights(config.out)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_only_damaged_checkpoints_are_an_error(config):
    train(replace(config, steps=1))
    checkpoint = latest_checkpoint(Path(config.out))
    assert checkpoint is not None
    damage(checkpoint, "flip")
    with pytest.raises(ValueError, match="all checkpoints are damaged; delete that folder to start again"):
        train(config)


def test_the_last_three_checkpoints_are_kept(config):
    for steps in range(1, 6):
        train(replace(config, steps=steps))
    kept = sorted(path.name for path in (Path(config.out) / "checkpoints").iterdir())
    assert kept == ["step-00000003", "step-00000004", "step-00000005"]
