"""What a run cannot be made from is refused before it has a folder, and holds no later attempt to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protgm.train import TrainConfig, train


@pytest.fixture
def config(example_dataset, small_config, tmp_path):
    return TrainConfig(
        data=str(example_dataset), out=str(tmp_path / "a" / "run"), steps=1, model=small_config, tokens=256,
        sample_num=1, sample_steps=2, sample_lengths=(12,), progress=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": "nowhere"}, "nowhere: not a dataset"),
        ({"init": "none.safetensors"}, "none.safetensors: no such checkpoint"),
        ({"min_length": 250, "max_length": 256}, "0 clusters have an entry of 250 to 256 residues"),
        ({"device": "tpu"}, "device=tpu: cannot be used"),
    ],
)
def test_nothing_is_left_behind(config, values, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(replace(config, **values))
    assert not (tmp_path / "a" / "run").exists()


@pytest.mark.slow
def test_settings_that_failed_do_not_hold_the_next_attempt(config, tmp_path):
    run = tmp_path / "a" / "run"
    run.mkdir(parents=True)
    (run / "notes.txt").write_text("mine")
    weights = tmp_path / "other.safetensors"
    weights.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not a safetensors checkpoint"):
        train(replace(config, init=str(weights)))
    train(config)
    assert (run / "notes.txt").read_text() == "mine"
    assert (run / "weights.safetensors").is_file()
