"""The house has floors: a package imports those below it, never one beside or above it. The order is stated here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "protgm"

#: From the ground up. What shares a floor does not import each other, but for the ground floor's modules.
FLOORS = (
    # Needed by everyone: text, files, arguments, random streams, processes, devices, progress, settings.
    ("allocator", "checks", "config", "device", "files", "forked", "interrupt", "lock", "made", "memory", "pool",
     "progress", "seeds", "stopping", "streams", "text", "version", "workers"),
    ("lie",),
    ("structure", "matching", "alignment"),
    ("metrics", "model"),
    ("layout", "data"),
    ("process",),
    ("condition", "weights"),
    ("design", "selftest"),
    ("sample", "refold"),
    ("train", "evaluate", "score", "testing", "completion"),
    ("costs",),
    ("doctor",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)  # fmt: skip

GROUND = frozenset(FLOORS[0])
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}


def imported(tree: ast.AST) -> set[str]:
    """Modules of protgm that a file imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, "imports are absolute"
            found |= {f"protgm.{alias.name}" for alias in node.names} if node.module == "protgm" else {node.module}
    return {name for name in found if name.startswith("protgm.")}


def arrows() -> dict[tuple[str, str], list[str]]:
    """Packages that import another, and the files that do."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            other = name.split(".")[1]
            if other != own:
                found.setdefault((own, other), []).append(str(path.relative_to(ROOT)))
    return found


def test_every_package_has_a_floor():
    packages = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert packages - {"assets", "checkpoints", "py.typed", "__pycache__", "configs"} == set(FLOOR)
    assert sum(map(len, FLOORS)) == len(FLOOR)


def test_imports_point_down():
    up = {
        f"{own} -> {other}: {', '.join(files)}"
        for (own, other), files in arrows().items()
        if FLOOR[other] >= FLOOR[own] and not {own, other} <= GROUND
    }
    assert not up, "\n".join(sorted(up))


def test_the_ground_floor_has_no_circle():
    below: dict[str, set[str]] = {name: set() for name in GROUND}
    for own, other in arrows():
        if {own, other} <= GROUND:
            below[own].add(other)
    while ready := {name for name, wanted in below.items() if not wanted}:
        below = {name: wanted - ready for name, wanted in below.items() if name not in ready}
    assert not below


@pytest.mark.parametrize("line", ["import protgm.sample", "from protgm import sample", "from protgm.sample import run"])
def test_an_arrow_is_seen_in_every_form(line):
    assert {name.split(".")[1] for name in imported(ast.parse(f"def f():\n    {line}"))} == {"sample"}
