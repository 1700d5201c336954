"""Kill -9 in the middle of evaluate and design, and two of them at once: nothing is half-written, and the next call
ends as if nothing had happened.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from protgm.data.folder import read_folder
from protgm.design import Design, design
from protgm.evaluate import EvaluateConfig, evaluate
from protgm.lock import Locked
from protgm.made import UNFINISHED
from protgm.structure import Backbone, read_structure

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"
NAMES = ("1CSP_A", "1POH_A")

# Processes forked from one that has imported everything: they start at once.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["protgm.design", "protgm.evaluate.run", "protgm.metrics"])


class Alanines:
    """A designer that needs no package."""

    settings: dict[str, object] = {"letter": "A"}  # noqa: RUF012

    def design(self, backbone: Backbone, num_seqs: int, *, seed: int = 0) -> list[Design]:
        return [Design("A" * len(backbone), 1.0 + k) for k in range(num_seqs)]

    def score(self, backbone: Backbone, sequence: str) -> float:
        return 1.0


def run_evaluate(folder: Path, out: Path, num_seqs: int = 1) -> None:
    evaluate(
        folder,
        out=out,
        designer=Alanines(),
        workers=1,
        progress=False,
        config=EvaluateConfig(num_seqs=num_seqs, figures=False),
    )


def run_design(folder: Path, out: Path) -> None:
    design(folder, out=out, num_seqs=2, designer=Alanines(), workers=1, progress=False)


RUNS = {"evaluate": run_evaluate, "design": run_design}


def child(command: str, folder: Path, out: Path, when: str, number: int, held: Any) -> None:
    """Run in a process that ends, or waits, before or after the ``number``-th file gets its name."""
    real, calls = os.replace, itertools.count(1)

    def stop() -> None:
        if held is None:
            os.kill(os.getpid(), signal.SIGKILL)
        held[0].set()
        held[1].wait(60)

    def replace(*names: Any) -> None:
        last = next(calls) == number
        if last and when == "before":
            stop()
        real(*names)
        if last and when == "after":
            stop()

    os.replace = replace  # type: ignore[assignment]
    RUNS[command](folder, out)


def start(command: str, folder: Path, out: Path, when: str = "", number: int = 0, held: Any = None) -> Any:
    process = FORKS.Process(target=child, args=(command, folder, out, when, number, held))
    process.start()
    return process


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two structures."""
    path = tmp_path / "structures"
    path.mkdir()
    for name in NAMES:
        shutil.copy(EXAMPLES / f"{name}.pdb.gz", path)
    return path


def contents(out: Path) -> dict[str, Any]:
    """Files without locks, and figures without the seconds that they took."""
    found: dict[str, Any] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
    if "metrics.json" in found:
        found["metrics.json"] = json.loads(found["metrics.json"]) | {"seconds": 0}
    return found


def check_whole(out: Path) -> None:
    """Whatever has its name is whole."""
    for path in out.rglob("[!.]*.*"):
        text = path.read_bytes()
        if path.suffix == ".json":
            assert json.loads(text)["protgm"]
        elif path.suffix == ".pdb":
            assert len(read_structure(path)) > 50
        elif path.suffix in (".fasta", ".csv"):
            assert text.endswith(b"\n")
        elif path.suffix == ".html":
            assert text.rstrip().endswith(b"</html>")


@pytest.mark.parametrize("every", [pytest.param(4, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.faults)])
@pytest.mark.parametrize("command", RUNS)
def test_killed_where_a_file_gets_its_name(command: str, every: int, folder: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", folder / "out"
    RUNS[command](folder, whole)
    expected = contents(whole)
    if command == "design":  # it names the folder that it reads by the way to it
        expected = {name: text for name, text in expected.items() if name != "designs.json"}
    # The first is the list of what is unfinished, the last the list of what was made.
    stops = itertools.product(range(1, len(contents(whole)) + 2), ("before", "after"))
    for number, when in [*stops][every // 2 :: every]:
        process = start(command, folder, out, when, number)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, (number, when)
        check_whole(out)
        assert len(read_folder(folder, recursive=True)[0]) == len(NAMES)
    RUNS[command](folder, out)
    found = contents(out)
    assert {name: found[name] for name in expected} == expected
    assert found.keys() - expected.keys() <= {"designs.json"}
    # Of a killed call nothing stays that the next one does not make.
    process = start(command, folder, out, "after", 3)
    process.join(120)
    (folder / f"{NAMES[0]}.pdb.gz").unlink()
    RUNS[command](folder, out)
    assert not [name for name in contents(out) if NAMES[0] in name or name == UNFINISHED]


@pytest.mark.slow
@pytest.mark.parametrize("command", RUNS)
def test_of_two_at_once_the_second_is_told(command: str, folder: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    held = FORKS.Event(), FORKS.Event()
    process = start(command, folder, out, "before", 3, held)
    assert held[0].wait(120)
    before = contents(out)
    with pytest.raises(Locked, match=rf"out: protgm {command} \(process {process.pid}\) is writing there; wait for it"):
        RUNS[command](folder, out)
    assert contents(out) == before
    held[1].set()
    process.join(120)
    assert process.exitcode == 0
    RUNS[command](folder, whole)
    assert contents(out).keys() == contents(whole).keys()


def test_what_nobody_noted_stays(folder: Path, tmp_path: Path) -> None:
    """Files of one's own in the folder of a report, also such as a report may have."""
    out = tmp_path / "out"
    out.mkdir()
    own: dict[str, str] = {"notes.txt": "mine", ".notes.txt.1-ab.tmp": "mine", "figures/rg.png": "mine"}
    for name, text in own.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)
    (out / ".metrics.csv.17-0123abcd.tmp").write_text("half")  # of a call that was killed
    evaluate(
        folder, out=out, workers=1, progress=False, config=EvaluateConfig(figures=False, html=False, similarity=False)
    )
    assert {name: (out / name).read_text() for name in own} == own
    assert not (out / ".metrics.csv.17-0123abcd.tmp").exists()
