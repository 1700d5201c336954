"""Licences of everything that is installed with protgm: the core, and what each extra adds.

    python scripts/licences.py             judges what is installed; `make lint`
    python scripts/licences.py complete    what is not installed is an error too; `make licences`

Names of licences come from the installed metadata: the licence expression, else the classifiers, else the first line of
the licence field. GPL, AGPL, LGPL, SSPL and non-commercial terms are refused, unless the expression offers another
licence by OR, and so is a package whose licence is not stated.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["licence", "refusal", "tree"]

PROJECT = Path(__file__).parents[1] / "pyproject.toml"

#: Licences that the metadata of a package does not name, and where they were read.
STATED: dict[str, str] = {}

#: Packages of an extra that may stay although their licence is refused elsewhere, and why.
EXCEPTIONS = {
    ("dev", "tmtools"): "oracle of the tests of TM-scores; nothing in the package imports it",
}

_REFUSED = re.compile(
    r"\b[AL]?GPL|\bSSPL|general public license|non-?commercial|\bnc\b|research only|academic use", re.IGNORECASE
)
# GCC's runtime library, which wheels of numpy and scipy carry, may be used by any program.
_EXEMPT = re.compile(r"GPL-[\d.]+(-or-later|-only)?\s+WITH\s+GCC-exception-[\d.]+", re.IGNORECASE)


def licence(found: Distribution) -> str:
    """What the metadata of a package says of its licence, empty if nothing."""
    metadata = found.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [
        c.split("::")[-1].strip() for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    named = [c for c in classifiers if c not in ("OSI Approved", "DFSG approved")]
    if named:
        return " AND ".join(named)
    lines = (metadata.get("License") or "").strip().splitlines()
    return lines[0].strip() if lines and lines[0].strip().upper() != "UNKNOWN" else ""


def refusal(text: str) -> str | None:
    """Why a licence is not acceptable; None if it is.

    Parameters
    ----------
    text : str
        SPDX expression, classifiers, or a line of prose.
    """
    if not text:
        return "no licence stated"
    bad = [bool(_REFUSED.search(_EXEMPT.sub("", part))) for part in _alternatives(text)]
    return "not permissive" if all(bad) else None


def _alternatives(text: str) -> list[str]:
    """The parts of an expression between its outermost ORs."""
    parts, depth, start = [], 0, 0
    for token in re.finditer(r"[()]|\bOR\b", text):
        if token.group() == "(":
            depth += 1
        elif token.group() == ")":
            depth -= 1
        elif depth == 0:
            parts.append(text[start : token.start()])
            start = token.end()
    return [*parts, text[start:]]


def tree(requirements: Iterable[str]) -> dict[str, Distribution | None]:
    """Packages that requirements bring, with all that these require in turn: None for those that are not installed.

    Parameters
    ----------
    requirements : iterable of str
        As in pyproject.toml.
    """
    found: dict[str, Distribution | None] = {}
    waiting = [(Requirement(line), "") for line in requirements]
    seen: set[tuple[str, str]] = set()
    while waiting:
        need, wanted = waiting.pop()
        if need.marker is not None and not need.marker.evaluate({"extra": wanted}):
            continue
        name = canonicalize_name(need.name)
        if name not in found:
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                found[name] = None
        here = found[name]
        for extra in ("", *need.extras):
            if (name, extra) not in seen and here is not None:
                seen.add((name, extra))
                waiting.extend((Requirement(line), extra) for line in here.requires or [])
    return dict(sorted(found.items()))


def main(words: list[str]) -> int:
    """Print the list; 1 if something in it is refused."""
    if words not in ([], ["complete"]):
        print(f"licences.py takes nothing or `complete`, not {' '.join(words)}", file=sys.stderr)
        return 2
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    core = tree(project["dependencies"])
    wrong: list[str] = []
    for extra, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        packages = {name: found for name, found in tree(lines).items() if not extra or name not in core}
        print(f"{extra or 'core'}: {len(packages)} packages")
        for name, found in packages.items():
            if found is None:
                print(f"  {name:28s} not installed here")
                if words:
                    wrong.append(f"{name}: not installed, its licence could not be read")
                continue
            text = licence(found) or STATED.get(name, "")
            reason = refusal(text)
            excuse = EXCEPTIONS.get((extra, name)) if reason else None
            print(f"  {name:28s} {found.version:12s} {text}{f' ({excuse})' if excuse else ''}")
            if reason and not excuse:
                wrong.append(f"{name}, of {extra or 'the core'}: {reason}: {text or 'nothing in its metadata'}")
    for line in wrong:
        print(f"refused: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
