"""The pages of the documentation run as they stand.

Blocks of a page run one after the other in one folder and one Python: ``sh`` must succeed, ``python`` must not raise,
and ``console`` must print what stands below its command, where a line of ``...`` stands for any lines. `EXPECTED` says
what a page must have come to.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from protgm.cli import COMMANDS, main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Run by tests of their own, with a small network or with their figures compared.
ELSEWHERE = ("conditions.md", "evaluation.md", "matching.md")


def pages() -> list[str]:
    """Every page with something to run."""
    docs = ROOT / "docs"
    found = [p for p in sorted(docs.rglob("*.md")) if p.relative_to(docs).as_posix() not in ELSEWHERE]
    return [p.relative_to(docs).as_posix() for p in found if BLOCK.search(p.read_text("utf-8"))]


def run(line: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status and output of one command, errors included; protgm's own in this process, which has torch already."""
    capfd.readouterr()
    words = shlex.split(line, comments=True)
    if words[0] == "protgm":
        status = main(words[1:])
    else:
        status = subprocess.run(["sh", "-e", "-c", line], timeout=120, check=False).returncode
    return status, "".join(capfd.readouterr())


def matches(expected: str, shown: str) -> bool:
    """Whether an output is the one on the page."""
    wanted = "\n".join(".*" if line == "..." else re.escape(line.rstrip()) for line in expected.splitlines())
    return re.fullmatch(wanted, "\n".join(line.rstrip() for line in shown.strip().splitlines()), re.S) is not None


def exchanges(block: str) -> list[tuple[str, str]]:
    """Commands of a console, each with what it prints."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(command, output.strip("\n")) for command, _, output in (part.partition("\n") for part in parts)]


@pytest.mark.parametrize("page", pages())
def test_the_page_runs(page, tmp_path, monkeypatch, capfd):
    shutil.copytree(ROOT / "data" / "examples", tmp_path / "data" / "examples")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {"__name__": "page"}
    for language, code in BLOCK.findall((ROOT / "docs" / page).read_text("utf-8")):
        if language == "python":
            exec(compile(code, f"docs/{page}", "exec", dont_inherit=True), names)
            capfd.readouterr()
        elif language == "sh":
            for line in filter(None, map(str.strip, code.splitlines())):
                status, shown = run(line, capfd)
                assert status == 0, f"{line}\n{shown}"
        else:
            for line, expected in exchanges(code):
                status, shown = run(line, capfd)
                assert matches(expected, shown), f"{line}\n{shown}"
                assert (status != 0) == expected.startswith("protgm: "), f"{line}: status {status}"
    if page in EXPECTED:
        EXPECTED[page](names)


def _first(names):
    assert np.abs(names["again"].coords - names["first"].coords).max() < 0.1
    assert Path("hairpin/L40_0000.pdb").is_file()


def _motif(names):
    assert names["off"] < 0.002


def _own(names):
    assert len(names["dataset"]) > 8
    assert Path("mine/L40_0000.pdb").is_file()


def _path(names):
    assert abs(float((names["x"] > -0.5).float().mean()) - 0.7) < 0.03


def _judging(names):
    assert [row["passed"] for row in names["judged"].samples] == [True, False, True]
    assert Path("report/report.html").is_file()


def _extending(names):
    assert abs(float((names["x"] > -0.5).float().mean()) - 0.7) < 0.03
    with pytest.raises(AssertionError):
        names["assert_satisfies_kfe"](names["Wrong"](names["path"]), names["z"], times=(0.5,))


EXPECTED = {
    "extending.md": _extending,
    "tutorials/first-backbones.md": _first,
    "tutorials/motif.md": _motif,
    "tutorials/own-data.md": _own,
    "tutorials/new-path.md": _path,
    "tutorials/judging.md": _judging,
}


def test_every_command_has_a_page():
    titles = " ".join(p.read_text("utf-8").split("\n", 1)[0] for p in (ROOT / "docs" / "commands").glob("*.md"))
    assert set(re.findall(r"protgm (\w+)", titles)) == set(COMMANDS)


def test_the_comparison_of_outputs():
    assert matches("a\n...\nz", "a\nb\nc\nz\n")
    assert not matches("a\nz", "a\nb\nz")
    assert exchanges("$ one\n1\n2\n$ two\n") == [("one", "1\n2"), ("two", "")]
