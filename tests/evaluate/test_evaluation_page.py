"""The code of docs/evaluation.md runs as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from protgm.metrics import registered

ROOT = Path(__file__).parents[2]


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "data" / "examples", tmp_path / "data" / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "evaluation.md").read_text("utf-8"), re.M | re.S)
    for code in blocks:
        exec(compile(code, "docs/evaluation.md", "exec", dont_inherit=True), names)
    said = capsys.readouterr().out.splitlines()
    assert len(blocks) == 3
    assert said[0] == "2 of 2 structures pass the geometry gate"
    assert said[-2] == "2 [False, True]"
    assert all(count > 5 for count in eval(said[-1]))
    assert "disulphides" not in {one.name for one in registered()}  # what the page registers it forgets
