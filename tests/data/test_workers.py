"""Work over processes: order, and workers that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from protgm.workers import chunked_map, cores

ROOT = str(Path(__file__).parents[2])


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def deadly(items: Sequence[int]) -> list[int]:
    for item in items:
        if item % 50 == 33:
            os.kill(os.getpid(), signal.SIGKILL)
    return doubled(items)


def failing(items: Sequence[int]) -> list[int]:
    raise RuntimeError(f"no {items[0]}")


def dead(item: int) -> list[int]:
    return [-item]


def flat(results) -> list[int]:
    return [value for _, result in results for value in result]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_with_their_counts(workers):
    results = list(chunked_map(doubled, range(100), dead, workers=workers, chunk=7))
    assert [count for count, _ in results] == [7] * 14 + [2]
    assert flat(results) == [2 * i for i in range(100)]


def test_nothing_to_do():
    assert list(chunked_map(doubled, [], dead, workers=2)) == []


def test_a_worker_that_dies_costs_one_item():
    results = list(chunked_map(deadly, range(40), dead, workers=2, chunk=8))
    assert sum(count for count, _ in results) == 40
    assert flat(results) == [-33 if i == 33 else 2 * i for i in range(40)]


def test_an_exception_in_a_job_reaches_the_caller():
    with pytest.raises(RuntimeError, match="no 0"):
        list(chunked_map(failing, range(20), dead, workers=2, chunk=5))


def test_a_caller_that_stops_early_leaves_no_process_behind():
    before = children()
    for _ in chunked_map(doubled, range(1000), dead, workers=2, chunk=5):
        break
    assert children() == before


def children() -> set[int]:
    """Processes that come from this one and do work (the machinery keeps a tracker and a fork server)."""
    parents: dict[int, int] = {}
    helpers: set[int] = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            command = status.with_name("cmdline").read_bytes()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(lines["PPid"])
        if b"tracker" in command:
            helpers.add(int(status.parent.name))
    mine, found = {os.getpid()}, set[int]()
    while mine:
        mine = {process for process, parent in parents.items() if parent in mine}
        found |= mine
    servers = {process for process in found if parents[process] == os.getpid()}
    return found - helpers - servers


def sleepy(items: Sequence[int]) -> list[int]:
    print(os.getpid(), flush=True)
    time.sleep(600)
    return []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "from test_workers import chunked_map, sleepy\n"
        "if __name__ == '__main__':\n"
        "    list(chunked_map(sleepy, [1, 2], sleepy, workers=2, chunk=1))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as parent:
        workers = [Path("/proc", parent.stdout.readline().decode().strip()) for _ in range(2)]
        assert all(worker.exists() for worker in workers)
        parent.kill()
    until = time.monotonic() + 20
    while any(worker.exists() for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(worker.exists() for worker in workers)


def test_workers_that_cannot_start_are_not_blamed_on_the_items(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from protgm.workers import chunked_map\nlist(chunked_map(sum, [[1], [2]], sum, workers=2, chunk=1))\n"
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": ROOT})
    assert done.returncode == 1
    # The resource tracker of the fork server may have the last word.
    assert any(line.endswith("or use workers=1") for line in done.stderr.splitlines())


def test_a_worker_of_somebody_elses_pool_does_the_work_itself(tmp_path):
    """Such a process may have no children."""
    script = tmp_path / "pipeline.py"
    script.write_text(
        "import multiprocessing\nfrom protgm.workers import chunked_map\n"
        "def job(n):\n    return list(chunked_map(len, [[n], [2]], len, workers=2, chunk=2))\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(job, [1, 5]))\n"
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": ROOT})
    assert (done.stdout, done.returncode) == ("[[(2, 2)], [(2, 2)]]\n", 0), done.stderr


def test_cores_is_what_this_process_may_use():
    assert 1 <= cores() <= (os.cpu_count() or 1)
