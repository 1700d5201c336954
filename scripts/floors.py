"""The lower bounds of pyproject.toml as exact versions, for pip: `make floors` installs and tests them.

python scripts/floors.py            every extra but docs, whose tools the tests do not need
python scripts/floors.py newest     names alone, without bounds, but for torch

torch stays at the version of constraints.txt in both: what else pip would choose brings gigabytes for graphics cards.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["floors", "newest"]

ROOT = Path(__file__).parents[1]


def _needs() -> list[Requirement]:
    """Requirements of the core and of every extra but docs, each once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra, more in project["optional-dependencies"].items():
        lines += more if extra != "docs" else []
    return [*{canonicalize_name(need.name): need for need in map(Requirement, lines)}.values()]


def floors() -> list[str]:
    """``name==version`` for the lower bound of each.

    Raises
    ------
    ValueError
        If a requirement has no lower bound.
    """
    found = []
    for need in _needs():
        lowest = [bound.version for bound in need.specifier if bound.operator in (">=", "==", "~=")]
        if not lowest:
            raise ValueError(f"pyproject.toml: {need} has no lower bound, as in {need.name}>=1.0")
        found.append(f"{need.name}=={lowest[0]}")
    return found


def newest() -> list[str]:
    """Names of all, torch with the version of the constraints."""
    pinned = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line.startswith("torch==")]
    return pinned + [need.name for need in _needs() if need.name != "torch"]


if __name__ == "__main__":
    try:
        print("\n".join(newest() if sys.argv[1:] == ["newest"] else floors()))
    except ValueError as error:
        sys.exit(str(error))
