"""The one error of structure files."""

from __future__ import annotations

from protgm.text import printable

__all__ = ["StructureError", "malformed"]


class StructureError(ValueError):
    """A structure file cannot be read or written. The message is one line: file, line where there is one, reason."""


def malformed(source: str, reason: str, line: int | None = None, unit: str = "line") -> StructureError:
    """The error for ``source`` (a path); ``line`` counts from 1, in lines or in what ``unit`` says."""
    where = printable(source, limit=1000)
    return StructureError(f"{where}: {reason}" if line is None else f"{where}, {unit} {line}: {reason}")
