"""Ctrl-C ends a command that spreads its work over processes within seconds, whatever they are doing; none is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "data" / "examples"
pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")

#: Seconds that an end may take where everything else on the machine is slow, too; the work would take far longer.
SOON = 60
LONG = 600


def session(number: int) -> set[int]:
    """Processes of a session that are not yet gone."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of_session = path.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if int(of_session) == number and state != "Z":
            found.add(int(path.parent.name))
    return found


@contextmanager
def started(*command: str, also: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, which is ended with the block."""
    paths = os.pathsep.join(map(str, (ROOT, Path(__file__).parent, also)))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    try:
        yield process
    finally:
        for left in session(process.pid):
            os.kill(left, signal.SIGKILL)
        process.communicate()


def stop(process: subprocess.Popen[str], whole: bool) -> str:
    """Ctrl-C, to the group as a terminal sends it or to one process; what it said, when all of them have gone."""
    (os.killpg if whole else os.kill)(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=SOON)
    until = time.monotonic() + SOON
    while session(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not session(process.pid)
    return said


def sleepy(items: Sequence[float]) -> list[float]:
    print("at work", flush=True)
    time.sleep(items[0])
    return []


def large(items: Sequence[float]) -> list[bytes]:
    """Results that fill their pipe: most workers are sending one."""
    print("at work", flush=True)
    return [bytes(2**24)]


SCRIPT = """
import sys
from test_stopped import {job}
from protgm.workers import chunked_map
if __name__ == "__main__":
    try:
        print("here", flush=True)
        for _ in chunked_map({job}, {items}, {job}, workers=2, chunk=1):
            pass
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("job", "items"),
    [
        ("sleepy", [LONG] * 20),
        ("sleepy", [LONG, 0, 0, 0]),  # one has nothing to do
        pytest.param("large", [0] * 10_000, marks=pytest.mark.slow),
    ],
)
def test_workers_end_in_the_middle_of_their_jobs(tmp_path: Path, job: str, items: list[float], whole: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(job=job, items=items))
    with started(sys.executable, str(script)) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == ["here\n", "at work\n", "at work\n"]
        assert stop(process, whole) == ""
        assert process.returncode == 130


@pytest.mark.parametrize(("whole", "seconds"), [(True, LONG), (False, 3)])
def test_workers_end_while_they_start(tmp_path: Path, whole: bool, seconds: int) -> None:
    """The fork server imports for them what takes long; alone it finds when it is done that nobody is there."""
    (tmp_path / "slow_to_import.py").write_text(
        "import sys, time\n"
        "if sys.argv[0] == '-c':\n"
        "    print('importing', flush=True)\n"
        f"    time.sleep({seconds})\n"
        "def job(items):\n"
        "    return items\n"
    )
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(job="job", items=[1, 2, 3]).replace("test_stopped", "slow_to_import"))
    with started(sys.executable, str(script), also=tmp_path) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["here\n", "importing\n"]
        assert stop(process, whole) == ""
        assert process.returncode == 130


@pytest.mark.parametrize(("seconds", "whole"), [(0.5, True), (LONG, False)])
def test_an_import_comes_to_its_end_unless_it_takes_long(tmp_path: Path, seconds: float, whole: bool) -> None:
    (tmp_path / "imported.py").write_text(
        "import signal, time\n"
        "signal.raise_signal(signal.SIGINT)\n"
        f"until = time.monotonic() + {seconds}\n"
        "while time.monotonic() < until:\n"
        "    time.sleep(.01)\n"
        "print('whole')\n"
    )
    script = (
        "from protgm.interrupt import between_imports\n"
        "try:\n"
        "    with between_imports():\n"
        "        import imported, time\n"
        f"        time.sleep({LONG})\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
    )
    with started(sys.executable, "-c", script, also=tmp_path) as process:
        told, said = process.communicate(timeout=SOON)
    assert (told.split(), said) == (["whole"] * whole + ["stopped"], "")


#: Commands at work for minutes, and what they print or write when their processes are about to work.
COMMANDS = {
    "prepare": ("prepare source={source} out={out}", ""),
    "evaluate": ("evaluate {source} out={out} html=false", "samples against samples"),
    "design": ("design {source} out={out} num_seqs=200", "sequences"),
    "score": ("score {source} out={out}.csv steps=400", "likelihoods"),
    "sample": ("sample length=60 num=40 batch=2 steps=400 out={out}", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends(tmp_path: Path, command: str, whole: bool) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for copy in range(200 if command == "prepare" else 6):
        for path in EXAMPLES.glob("*.pdb.gz"):
            (source / f"{copy}{path.name}").symlink_to(path)
    words, sign = COMMANDS[command]
    arguments = words.format(source=source, out=out).split()
    with started(sys.executable, "-m", "protgm", *arguments, "workers=2") as process:
        assert process.stderr is not None
        for line in process.stderr if sign else ():
            if line.startswith(sign):
                break
        # Itself, the fork server, the tracker of what they share, two workers.
        until = time.monotonic() + SOON
        while len(session(process.pid)) < 5 and time.monotonic() < until:
            time.sleep(0.05)
        assert process.poll() is None
        said = stop(process, whole)
        assert process.returncode == 130
    assert said == "protgm: stopped; the same command goes on from here\n"
    assert not list(out.rglob(".*.tmp"))


@pytest.mark.parametrize("whole", [True, False])
def test_fetch_ends_while_a_server_says_nothing(tmp_path: Path, whole: bool) -> None:
    (tmp_path / "ids.txt").write_text("1abc\n2abc\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SOON)
        base = f"base=http://127.0.0.1:{server.getsockname()[1]}"
        words = ("fetch", f"ids={tmp_path / 'ids.txt'}", f"out={tmp_path / 'out'}", base, f"timeout={LONG}")
        with started(sys.executable, "-m", "protgm", *words) as process:
            silent = [server.accept()[0] for _ in range(2)]
            for connection, answer in zip(
                silent, (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), strict=True
            ):
                connection.sendall(answer)
            until = time.monotonic() + SOON
            while not list(tmp_path.glob("out/ab/*.tmp")) and time.monotonic() < until:
                time.sleep(0.05)
            said = stop(process, whole)
            for connection in silent:
                connection.close()
    assert (said, process.returncode) == ("protgm: stopped; the same command goes on from here\n", 130)
    assert not list(tmp_path.glob("out/ab/*"))
