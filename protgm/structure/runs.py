"""Runs of atoms, the pieces that residues are made of, column by column: objects would take most of the time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Run", "Runs", "whole_number"]


class Run(NamedTuple):
    """Consecutive atoms of one conformer of one residue."""

    chain: str
    block: Hashable
    position: str
    #: What tells residue numbers apart: as it is written, or its value.
    written: Any
    code: str
    #: The residue number; None where what is written is none.
    number: int | None
    comp: str
    altloc: str
    #: Whether the file itself calls the residue part of a chain: ATOM record, label_seq_id.
    polymer: bool
    segment: str
    #: What is wrong with the residue's number or names; only of interest if it is one of a protein.
    problem: str | None = None


@dataclass
class Runs:
    """The fields of `Run`, one entry a run; ``problem`` is empty where nothing is wrong."""

    chain: list[str] = field(default_factory=list)
    block: list[Any] = field(default_factory=list)
    position: list[str] = field(default_factory=list)
    written: list[Any] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    number: list[int | None] = field(default_factory=list)
    comp: list[str] = field(default_factory=list)
    altloc: list[str] = field(default_factory=list)
    polymer: list[bool] = field(default_factory=list)
    segment: list[str] = field(default_factory=list)
    problem: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.chain)

    def __iter__(self) -> Iterator[Run]:
        columns = [getattr(self, name) for name in Run._fields[:-1]]
        return map(Run, *columns, self.problem or [None] * len(self))

    def at(self, rows: Sequence[int] | NDArray[np.integer]) -> Runs:
        """The runs of these numbers."""
        rows = rows.tolist() if isinstance(rows, np.ndarray) else list(rows)
        columns = {name: getattr(self, name) for name in Run._fields}
        return Runs(**{name: [*map(column.__getitem__, rows)] for name, column in columns.items() if column})

    def subset(self, rows: Sequence[int] | NDArray[np.integer]) -> Runs:
        """The runs of these numbers, which grow."""
        return self if len(rows) == len(self) else self.at(rows)


_HYBRID36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def whole_number(text: str) -> int | None:
    """A residue number; those above 9999 also as A000, A001, ... ZZZZ, a000, ... (hybrid-36, cci.lbl.gov/hybrid_36)."""
    if text.isascii() and text.removeprefix("-").isdecimal():
        value = int(text) if len(text) < 12 else 2**31
        return value if abs(value) < 2**31 else None
    if len(text) != 4 or not text[0].isalpha() or not text.isascii() or not text.isalnum():
        return None
    if not (text.isupper() or text.islower()):
        return None
    value = 0
    for digit in text.upper():
        value = value * 36 + _HYBRID36.index(digit)
    return value + 10**4 + (16 * 36**3 if text.islower() else -10 * 36**3)
