"""Lengths as users write them, and work lists that do not depend on how they are asked for."""

from __future__ import annotations

import pytest

from protgm.sample.lengths import Item, Shard, parse_length, work_list


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (100, (100,)),
        ("100", (100,)),
        ("64,96,128", (64, 96, 128)),
        ([64, 96, 64], (64, 96)),
        ((64, 96), (64, 96)),
        ("60-128", range(60, 129)),
        (" 60 - 60 ", range(60, 61)),
    ],
)
def test_lengths_as_written(text, expected):
    assert parse_length(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("128-60", "runs backwards; write 60-128"),
        ("ten", "must be a number"),
        ("", "must be a number"),
        ([], "whole numbers"),
        ([1.5], "whole numbers"),
        (3, "between 4 and 2048"),
        ("60-9999", "between 4 and 2048"),
    ],
)
def test_a_wrong_length_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_length(text)
    assert "\n" not in str(error.value)


def test_a_list_gives_num_of_each_and_a_range_num_in_all():
    assert sorted(work_list((40, 50), 2, seed=0)) == [Item(40, 0), Item(40, 1), Item(50, 0), Item(50, 1)]
    items = work_list(range(60, 129), 500, seed=3)
    assert sorted(item.index for item in items) == list(range(500))
    lengths = [item.length for item in items]
    assert min(lengths) < 65
    assert max(lengths) > 123
    assert lengths == sorted(lengths, reverse=True)


def test_asking_for_more_keeps_what_was_asked_before():
    few, many = (set(work_list(range(60, 129), num, seed=3)) for num in (10, 40))
    assert few < many
    assert set(work_list(range(60, 129), 10, seed=4)) != few


def test_every_item_has_its_own_stream():
    seeds = {item.seed(seed) for seed in range(5) for item in work_list((40, 41, 42), 50, seed)}
    assert len(seeds) == 5 * 150


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Shard(1, 1)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, Shard(4, 4)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}, Shard(3, 4)),
        (
            {
                "SLURM_ARRAY_TASK_ID": "20",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_STEP": "10",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            Shard(3, 3),
        ),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Shard(2, 2)),
        ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4"}, Shard(3, 4)),
        # A batch script is one process, however many tasks its job has.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, Shard(1, 1)),
        # torchrun under srun: its ranks count all.
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "RANK": "5", "WORLD_SIZE": "8"}, Shard(6, 8)),
        (
            {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "RANK": "2", "WORLD_SIZE": "3"},
            Shard(6, 6),
        ),
    ],
)
def test_shards_that_launchers_stand_for(monkeypatch, variables, expected):
    for name in (*_VARIABLES, "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Shard.parse("auto") == expected


def test_a_launcher_that_says_nonsense_is_told(monkeypatch):
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "x")
    with pytest.raises(ValueError, match="shard=auto: SLURM_ARRAY_TASK_ID in the environment is not a number"):
        Shard.parse("auto")


_VARIABLES = (
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_STEP",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "RANK",
    "WORLD_SIZE",
)
