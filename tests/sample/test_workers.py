"""`protgm sample workers=`: the same bytes from any number of processes, and none lost when one is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from protgm.sample import SampleConfig, sample
from protgm.sample.manifest import read_manifest
from protgm.weights import save_weights


@pytest.fixture
def config(small_denoiser, tmp_path) -> SampleConfig:
    weights = tmp_path / "small.safetensors"
    save_weights(weights, small_denoiser, {})
    return SampleConfig(
        length=(20, 14), num=4, batch=2, out=str(tmp_path / "one"), checkpoint=str(weights), steps=3, workers=1
    )


def _files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.pdb"))}


def _parent_and_seconds(stat: Path) -> tuple[int, float]:
    """Of a process: its parent and the processor time that it has used."""
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return int(fields[1]), int(fields[11]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_two_and_three_processes_make_the_bytes_of_one(config, tmp_path):
    sample(config)
    expected = _files(config.out)
    assert len(expected) == 8
    for workers in (2, 3):
        other = replace(config, out=str(tmp_path / str(workers)), workers=workers)
        rows = sample(other)
        assert _files(other.out) == expected
        assert {row["name"]: row["sha256"] for row in rows} == {
            row["name"]: row["sha256"] for row in read_manifest(Path(config.out))
        }


@pytest.mark.skipif(not hasattr(signal, "SIGKILL") or not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.slow
def test_a_killed_worker_loses_nothing(config, tmp_path):
    sample(config)
    expected = _files(config.out)
    killed: list[int] = []

    def kill() -> None:
        # The first worker that computes: workers are children of the fork server, which is a child of this process.
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            for path in Path("/proc").glob("[0-9]*/stat"):
                try:
                    parent, used = _parent_and_seconds(path)
                    if used > 0.05 and _parent_and_seconds(Path("/proc", str(parent), "stat"))[0] == os.getpid():
                        os.kill(int(path.parent.name), signal.SIGKILL)
                        killed.append(int(path.parent.name))
                        return
                except (OSError, IndexError):
                    continue
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    other = replace(config, out=str(tmp_path / "killed"), workers=2, num=4)
    sample(other)
    killed.append(0)
    thread.join()
    assert _files(other.out) == expected


def test_workers_are_checked():
    with pytest.raises(ValueError, match="workers=0 must be at least 1"):
        SampleConfig(workers=0)
