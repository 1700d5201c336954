"""A fact of nature or of the field stands in one file; others import it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "protgm"


def homes(is_fact) -> set[str]:
    """Files with a constant that is the fact; what stands in docstrings and messages is prose."""
    return {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and is_fact(node.value)
    }


@pytest.mark.parametrize(
    ("is_fact", "home"),
    [
        (lambda value: isinstance(value, str) and "ACDEFGHIKLMNPQRSTVWY" in value, "structure/residues.py"),
        (lambda value: value == 0.38, "structure/size.py"),  # the exponent of a native's radius
        (lambda value: value in (1.329, 1.458, 1.525, 1.231), "structure/ideal.py"),  # Engh & Huber, Angstrom
        (lambda value: isinstance(value, str) and value in (".mmcif", ".ent"), "structure/source.py"),
    ],
    ids=["twenty letters", "radius of gyration", "bond lengths", "endings of structure files"],
)
def test_a_fact_has_one_home(is_fact, home):
    assert homes(is_fact) == {home}
