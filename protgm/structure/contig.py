"""The field's contig grammar: which stretches of a structure are kept, and how much is built between them.

    8-15,A92-99,16-30,A123-130,...      commas, as RFdiffusion 3 has them
    10-40/A163-181/10-40/0 B1-50        slashes; ``/0`` ends a chain

An element is a number of new residues (``12``), a range out of which each sample draws (``8-15``), a stretch of a
structure (``A92-99``), one residue of it (``A95``), a whole chain (``A``), or ``0``, which begins a new chain. A
stretch may name its file (``2:A92-99``, the second file given) and the body that it moves with (``A92-99@2``): bodies
move independently of each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from protgm.checks import check_kind

__all__ = ["Break", "New", "Segment", "chain_prefix", "parse_contig"]

_SEGMENT = re.compile(
    r"(?:(\d+):)?([A-Za-z]{1,2}|[^\s,/:@_]+_)(?:(-?\d+)([A-Za-z]?)(?:-(-?\d+)([A-Za-z]?))?)?(?:@(\d+))?"
)
_LETTERS = re.compile(r"[A-Za-z]{1,2}")


@dataclass(frozen=True)
class New:
    """Between ``low`` and ``high`` new residues."""

    low: int
    high: int


@dataclass(frozen=True)
class Break:
    """The end of a chain."""


@dataclass(frozen=True)
class Segment:
    """Residues of a structure, both ends included.

    Parameters
    ----------
    text : str
        As it was written, for messages.
    chain : str
    first, last : (number, insertion code), or None for the whole chain
    file : int
        Which of the structures, from 1.
    body : int
        Which rigid body it belongs to, from 1.
    """

    text: str
    chain: str
    first: tuple[int, str] | None = None
    last: tuple[int, str] | None = None
    file: int = 1
    body: int = 1


def parse_contig(text: str) -> tuple[New | Break | Segment, ...]:
    """The elements of a contig, in order.

    Raises
    ------
    ValueError
        Naming the element that is not one, and what would be.
    """
    check_kind("contig", text, str)
    elements: list[New | Break | Segment] = []
    for word in filter(None, re.split(r"[,/\s]+", text.strip().strip("[]'\""))):
        elements.append(_element(word, text))
    while elements and isinstance(elements[-1], Break):
        elements.pop()
    if not elements:
        raise ValueError(f"contig={text!r} is empty; write something like 8-15,A92-99,16-30")
    if isinstance(elements[0], Break) or any(
        isinstance(a, Break) and isinstance(b, Break) for a, b in pairwise(elements)
    ):
        raise ValueError(f"contig={text}: a chain break (0) must have residues on both sides")
    return tuple(elements)


def chain_prefix(chain: str) -> str:
    """A chain as it is written in front of residue numbers: ``A``, ``1_``."""
    return chain if _LETTERS.fullmatch(chain) else f"{chain}_"


def _element(word: str, text: str) -> New | Break | Segment:
    if word == "0":
        return Break()
    if match := re.fullmatch(r"(\d+)(?:-(\d+))?", word):
        low = int(match[1])
        high = int(match[2] or low)
        if low > high:
            raise ValueError(f"contig={text}: the range {word} runs backwards; write {high}-{low}")
        return New(low, high)
    match = _SEGMENT.fullmatch(word)
    if match is None:
        raise ValueError(
            f"contig={text}: {word} is neither a number of new residues (12, 8-15), nor residues of the structure "
            "(A92-99, A95, A; 1_92-99 of a chain 1), nor a chain break (0)"
        )
    file, chain, first, first_code, last, last_code, body = match.groups()
    chain = chain.removesuffix("_")
    begin = None if first is None else (int(first), first_code.upper())
    end = begin if last is None else (int(last), last_code.upper())
    if begin and end and end < begin:
        raise ValueError(f"contig={text}: {word} runs backwards")
    if file == "0" or body == "0":
        raise ValueError(f"contig={text}: {word}: files and bodies are numbered from 1")
    return Segment(word, chain, begin, end, int(file or 1), int(body or 1))
