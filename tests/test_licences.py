"""The licence check: what it refuses, what it follows, and that nothing of the project needs what is refused."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def licences():
    spec = importlib.util.spec_from_file_location("licences", ROOT / "scripts" / "licences.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "text",
    [
        "MIT",
        "BSD License",
        "Apache-2.0 OR GPL-2.0-only",
        "(GPL-3.0-only AND MIT) OR MPL-2.0",
        "BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1",
        "Mozilla Public License 2.0 (MPL 2.0)",
    ],
)
def test_what_may_stay(licences, text: str) -> None:
    assert licences.refusal(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "GPLv3",
        "GNU General Public License v3 (GPLv3)",
        "AGPL-3.0-or-later",
        "LGPL-2.1-only",
        "GNU Lesser General Public License v2 (LGPLv2)",
        "MIT AND GPL-2.0-or-later",
        "MIT AND (GPL-2.0-only OR LGPL-2.1-only)",
        "GPL-2.0-only OR LGPL-2.1-only",
        "CC-BY-NC-4.0",
        "free for non-commercial use",
        "",
    ],
)
def test_what_may_not(licences, text: str) -> None:
    assert licences.refusal(text)


def test_the_tree_goes_down_and_heeds_markers_and_extras(licences) -> None:
    found = licences.tree(["torch", "nowhere-to-be-found>=1", "rich; python_version < '3'"])
    assert found["nowhere-to-be-found"] is None
    assert found["torch"] is not None
    assert "filelock" in found
    assert "rich" not in found
    assert "jinja2" in licences.tree(["torch"])


def test_what_is_installed_is_free(licences, capsys) -> None:
    assert licences.main([]) == 0
    said = capsys.readouterr()
    assert not said.err
    core = said.out[: re.search(r"^\w+: \d+ packages", said.out[5:], re.MULTILINE).start()]
    assert "torch" in core
    assert "tmtools" not in core
    assert licences.main(["all"]) == 2


def test_one_that_is_refused_is_named(licences, capsys, tmp_path, monkeypatch) -> None:
    pytest.importorskip("tmtools")
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\ndependencies = ["tmtools"]\noptional-dependencies = {a = ["no-such-package"]}\n')
    monkeypatch.setattr(licences, "PROJECT", project)
    assert licences.main([]) == 1
    assert "refused: tmtools, of the core: not permissive: GNU General" in capsys.readouterr().err
    assert licences.main(["complete"]) == 1
    assert "no-such-package: not installed" in capsys.readouterr().err


def test_nothing_in_the_package_imports_an_exception(licences) -> None:
    names = "|".join(re.escape(name) for _, name in licences.EXCEPTIONS)
    used = [
        path.name
        for path in (ROOT / "protgm").rglob("*.py")
        if re.search(rf"^\s*(import|from) ({names})\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert used == []
