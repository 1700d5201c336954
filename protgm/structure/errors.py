"""The one error of structure files, and how text from a file is made safe to show."""

from __future__ import annotations

__all__ = ["StructureError", "malformed", "printable"]


class StructureError(ValueError):
    """A structure file cannot be read or written. The message is one line: file, line where there is one, reason."""


def printable(text: object, limit: int = 80) -> str:
    """``text`` on one line, control and formatting characters escaped, shortened to ``limit`` characters.

    Whatever stands in a file may end on a terminal through a message: escape sequences must not.

    >>> printable("A\\x1b[2J")
    'A\\\\x1b[2J'
    """
    shown = str(text)
    if len(shown) > limit:
        shown = shown[: limit - 3] + "..."
    # Nearly always, and many times faster than looking at its characters one by one.
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


def malformed(source: str, reason: str, line: int | None = None, unit: str = "line") -> StructureError:
    """The error for ``source`` (a path); ``line`` counts from 1, in lines or in what ``unit`` says."""
    where = printable(source, limit=1000)
    return StructureError(f"{where}: {reason}" if line is None else f"{where}, {unit} {line}: {reason}")
