"""What stands at the top of the project agrees with itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_one_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert cited["version"] == newest[1] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]


def test_hooks_are_the_tools_of_make_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    entries = [hook["entry"].removeprefix(".venv/bin/") for repo in hooks for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    wanted = [line.strip().removeprefix("$(BIN)/").removesuffix(" .") for line in recipe.splitlines()]
    assert [entry.removesuffix(" --force-exclude") for entry in entries] == wanted


def test_every_page_is_in_the_table_of_contents():
    site = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    listed = set(re.findall(r"[\w/.-]+\.md", str(site["nav"])))
    docs = ROOT / "docs"
    assert listed == {p.relative_to(docs).as_posix() for p in docs.rglob("*.md")}


def test_targets_that_contributing_names_are_in_the_makefile():
    named = set(re.findall(r"^make (\S+)", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE))
    targets = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    made = {target for line in targets for target in line.split()}
    assert len(named) >= 4
    assert named <= made
