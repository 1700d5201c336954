"""Bars on a terminal, lines elsewhere, nothing where none is wanted; standard output is left to results."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from protgm.progress import FileProgress, ItemProgress, RunProgress, Stages


def use(enabled: bool) -> None:
    with Stages(enabled=enabled) as stages:
        stages("reading", 3)(3)
    with FileProgress("prepare", 4, 1, enabled=enabled) as files:
        files.advance(3, "2 entries")
    with RunProgress("train", enabled=enabled) as run:
        run.show(0.5, "step 1 [loss] 2.0")
    with ItemProgress("sample", "proteins", 2, 80, enabled=enabled) as items:
        items.advance(2, 80)


@pytest.mark.parametrize(("enabled", "lines"), [(True, ["reading: 3", " 50.0 % step 1 [loss] 2.0"]), (False, [])])
def test_lines_elsewhere_than_on_a_terminal(capsys, enabled, lines):
    use(enabled)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == lines


def test_many_files_tell_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr("protgm.progress._LINE_EVERY", 0.0)
    with FileProgress("fetch", 10, 2, enabled=True) as files:
        files.advance(3, "1 MB, 0 failed")
    assert capsys.readouterr().err.startswith("5/10 files, ")


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_on_a_terminal(shown):
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    with ItemProgress("sample", "proteins", 2, 80, enabled=shown, console=console) as items:
        items.advance(1, 30)
        items.advance(1, 50)
    text = console.file.getvalue()
    assert ("2/2 proteins" in text) == ("sample" in text) == shown
