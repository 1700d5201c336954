"""Docstrings are whole, and name what the code has: what ruff's rules of style do not see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import protgm

ROOT = Path(protgm.__file__).parent
_INTERVAL = re.compile(r"\[[^()\[\]]*\)|\([^()\[\]]*\]")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def documented(text: str) -> Iterator[tuple[str, ast.AST, str]]:
    """Name, node and docstring of everything that has one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DOCUMENTED) and (said := ast.get_docstring(node)):
            yield getattr(node, "name", "the module"), node, said


def faults(name: str, node: ast.AST, said: str) -> list[str]:
    """What is broken in one docstring."""
    found = []
    for paragraph in re.split(r"\n\s*\n", said):
        if paragraph.lstrip().startswith(">>>"):
            continue
        plain = _INTERVAL.sub("", paragraph)
        if plain.count("(") != plain.count(")") or paragraph.count("``") % 2:
            found.append(f"{name}: a bracket or a quotation does not end in its paragraph: {paragraph[:60]!r}")
    if re.search(r"^\S.*\S -{4,}|^-{4,}[ \t]*[^-\s]", said, re.MULTILINE):
        found.append(f"{name}: the line below a heading is not alone")
    have = names(node)
    if have is not None and (unknown := [n for n in parameters(said) if n not in have]):
        found.append(f"{name}: has no parameter {', '.join(unknown)}")
    return found


def parameters(said: str) -> list[str]:
    """Names that a section of parameters lists."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", said, re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^(\S.*?)(?: : .*)?$", section[1], re.MULTILINE) if section else []
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def names(node: ast.AST) -> set[str] | None:
    """Parameters that a function or class has; None where others than its own are among them."""
    if isinstance(node, ast.ClassDef):
        own = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return None if not (own or made) else own.union(*map(_arguments, made))
    return _arguments(node) if isinstance(node, ast.FunctionDef) else None


def _arguments(node: ast.FunctionDef) -> set[str]:
    given = node.args
    several = [a for a in (given.vararg, given.kwarg) if a is not None]
    return {a.arg for a in [*given.posonlyargs, *given.args, *given.kwonlyargs, *several]}


@pytest.mark.parametrize("package", sorted({p.relative_to(ROOT).parts[0] for p in ROOT.rglob("*.py")}))
def test_docstrings_are_whole(package):
    files = sorted((ROOT / package).rglob("*.py")) or [ROOT / package]
    found = [f"{f}: {w}" for f in files for one in documented(f.read_text("utf-8")) for w in faults(*one)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ('"""Row i belongs to row i (Tong et al.\n\n2024)."""', "does not end"),
        ('"""A law.\n\nNotes\n----- The law is whole.\n"""', "not alone"),
        ('"""A law. Notes ----- The law is whole."""', "not alone"),
        ('def f(x):\n    """Both.\n\n    Parameters\n    ----------\n    x, y : int\n    """', "no parameter y"),
    ],
)
def test_broken_ones_are_found(broken, what):
    assert [w for one in documented(broken) for w in faults(*one) if what in w]
