"""Kill -9 in the middle of a prepare: the old dataset stays, the next call goes on, the result is the same bytes."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from protgm.data import Dataset, Filters, prepare
from protgm.data import build as build_module
from protgm.data.parts import Parts

PART = 16

#: Where a process can be killed: object and attribute.
PLACES = {
    "part": (Parts, "add"),
    "rename": (os, "replace"),
    "structures": (build_module, "_write_structures"),
    "description": (build_module, "write_json"),
    "removal": (Parts, "remove"),
}

# Processes forked from one that has imported everything: they start at once.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["protgm.data.build", "protgm.data.entry"])


def child(source: Path, out: Path, place: str, number: int, longest: int, workers: int) -> None:
    """Prepare in a process that kills itself before or after the ``number``-th call of a function."""
    build_module.PART = PART
    when, _, name = place.partition(" ")
    if name:
        owner, attribute = PLACES[name]
        real = getattr(owner, attribute)
        calls = itertools.count(1)

        def deadly(*args, **named):
            last = next(calls) == number
            if last and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **named)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, attribute, deadly)
    prepare(source, out, workers=workers, progress=False, filters=Filters(max_length=longest))


def start(source: Path, out: Path, place: str = "", number: int = 0, longest: int = 256, workers: int = 1):
    process = FORKS.Process(target=child, args=(source, out, place, number, longest, workers))
    process.start()
    return process


def run(source: Path, out: Path, place: str, number: int, longest: int = 256) -> int | None:
    process = start(source, out, place, number, longest)
    process.join(120)
    return process.exitcode


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(build_module, "PART", PART)


@pytest.fixture(scope="module")
def source(examples, tmp_path_factory) -> Path:
    """Forty files: three parts."""
    folder = tmp_path_factory.mktemp("source")
    for copy in range(4):
        for path in examples.glob("*.pdb.gz"):
            (folder / f"{copy}{path.name}").symlink_to(path)
    return folder


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_module, "PART", PART)
        prepare(source, out, workers=1, progress=False)
    return contents(out)


@pytest.mark.slow
def test_killed_again_and_again_at_every_stage(source, tmp_path, undisturbed):
    out = tmp_path / "out"
    stages = [
        ("before part", 2, 1),  # one part is there
        ("before rename", 1, 1),  # the second is written but not in its place
        ("after part", 1, 2),
        ("before structures", 1, 3),
        ("after structures", 1, 3),
        ("before description", 1, 3),
    ]
    for place, number, parts in stages:
        assert run(source, out, place, number) == -signal.SIGKILL, place
        assert len(list(out.glob(".prepare/part-*.arrow"))) == parts, place
        with pytest.raises(ValueError, match="not a dataset"):
            Dataset.open(out)
    assert run(source, out, "after removal", 1) == -signal.SIGKILL
    assert contents(out) == undisturbed  # only the end of the process was missing
    assert prepare(source, out, workers=1, progress=False).unchanged


def test_the_next_call_goes_on_where_the_killed_one_was(source, tmp_path, undisturbed):
    out = tmp_path / "out"
    assert run(source, out, "before part", 3) == -signal.SIGKILL
    summary = prepare(source, out, workers=1, progress=False)
    assert summary.read == 40 - 2 * PART
    assert contents(out) == undisturbed


@pytest.mark.parametrize("place", ["before part", "before description"])
def test_the_old_dataset_stays_until_the_new_one_is_there(source, tmp_path, place):
    out = tmp_path / "out"
    prepare(source, out, workers=1, progress=False)
    assert run(source, out, place, 1, longest=100) == -signal.SIGKILL
    assert len(Dataset.open(out)) == 40
    assert prepare(source, out, workers=1, progress=False, filters=Filters(max_length=100)).entries == 32
    assert len(Dataset.open(out)) == 32
    assert sorted(path.name.split("-")[0] for path in out.iterdir()) == [
        ".lock", "dataset.json", "rejected.csv", "structures",
    ]  # fmt: skip


def test_parts_of_other_settings_are_not_used(source, tmp_path):
    out = tmp_path / "out"
    assert run(source, out, "before part", 3, longest=100) == -signal.SIGKILL
    summary = prepare(source, out, workers=1, progress=False)
    assert (summary.read, summary.entries) == (40, 40)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_killed_at_a_hundred_random_moments(source, tmp_path, undisturbed):
    """Every tenth time with worker processes, which must end as well when their parent is killed."""
    seed = 0
    rng = random.Random(seed)
    lasts = {}
    for workers in (1, 2):
        begin = time.monotonic()
        process = start(source, tmp_path / f"timed{workers}", workers=workers)
        process.join()
        lasts[workers] = time.monotonic() - begin
    out = tmp_path / "out"
    kills = finished = 0
    while kills < 100:
        workers = 2 if kills % 10 == 9 else 1
        process = start(source, out, workers=workers)
        process.join(rng.uniform(0.0, 1.1 * lasts[workers]))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        if (out / "dataset.json").exists():
            finished += 1
            assert contents(out).items() >= undisturbed.items(), f"seed {seed}, after {kills} kills"
            assert len(Dataset.open(out)) == 40
            shutil.rmtree(out)
    prepare(source, out, workers=1, progress=False)
    assert contents(out) == undisturbed
    assert finished > 0
