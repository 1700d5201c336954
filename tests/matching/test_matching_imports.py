"""The mathematics stands alone: no protein, no geomstats, in what `protgm.matching` and `protgm.lie` import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import protgm

ROOT = Path(protgm.__file__).parent
MODULES = sorted((ROOT / "matching").glob("*.py")) + sorted((ROOT / "lie").glob("*.py"))
#: Of the ground floor what knows no protein either: random streams, checks of arguments.
GROUND = ("protgm.streams", "protgm.checks")
BELOW = (*GROUND, "protgm.lie", "protgm.matching")


def imported(path: Path) -> set[str]:
    """Every protgm module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
    return {name for name in found if name.startswith("protgm")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_imports_point_down(path):
    allowed = BELOW[:-1] if path.parent.name == "lie" else BELOW
    assert all(name.startswith(allowed) for name in imported(path)), imported(path)


@pytest.mark.slow
def test_nothing_else_comes_along():
    """In a fresh interpreter, all of the mathematics is imported without a model, data, structures, or geomstats."""
    code = (
        "import sys, protgm.matching, protgm.lie.so3, protgm.matching.geomstats_space\n"
        "print(sorted(m for m in sys.modules if m.startswith('protgm.') and m.count('.') == 1))\n"
        "print('geomstats' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert set(ast.literal_eval(shown[0])) <= {*BELOW, "protgm.version"}
    assert shown[1] == "False"


def test_every_public_name_exists():
    import protgm.matching as matching

    assert matching.__all__ == sorted(matching.__all__)
    for name in matching.__all__:
        assert getattr(matching, name) is not None
