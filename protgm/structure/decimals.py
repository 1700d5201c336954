"""The numbers in columns of text, as files write them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["plain_decimals", "read_number", "read_numbers"]

#: From so many texts on it takes less time to read all at once.
_MANY = 600

#: Characters that are one number of 64 bits, and what makes neighbouring digits of such a number one.
_WORD = 8
_JOINS = [
    (np.uint64(10**k * 2 ** (8 * k) + 1), np.uint64(8 * k), np.uint64(mask))
    for k, mask in ((1, 0x00FF00FF00FF00FF), (2, 0x0000FFFF0000FFFF), (4, 0x00000000FFFFFFFF))
]

#: A number as files have it, perhaps with its uncertainty in brackets. Python's own syntax allows more.
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?)(?:\(\d*\))?", re.ASCII | re.I)
_ABSENT = frozenset({".", "?", "nan", "+nan", "-nan"})


def read_numbers(column: NDArray[Any], *, blank: bool = False) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers of a column.

    Parameters
    ----------
    column : ndarray, shape (n,)
        Bytes, str objects or numbers.
    blank : bool
        Whether blanks say that there is no number; otherwise they are wrong.

    Returns
    -------
    values : ndarray, shape (n,)
        NaN where the file says that there is none: ``nan``, ``.`` or ``?``.
    wrong : ndarray of bool, shape (n,)
        What is no number at all, and no word for none.
    """
    wrong = np.zeros(len(column), dtype=bool)
    if column.dtype.kind in "iuf":
        return column.astype(np.float64), wrong
    if column.dtype.kind == "S" and len(column) and (plain := plain_decimals(column)) is not None:
        return plain, wrong
    entries = column.tolist()
    known = {entry: read_number(entry, blank=blank) for entry in set(entries)}
    wrong = np.array([known[entry] is None for entry in entries], dtype=bool)
    return np.array([math.nan if known[entry] is None else known[entry] for entry in entries], dtype=float), wrong


def read_number(entry: object, *, blank: bool = False) -> float | None:
    """The number that `read_numbers` finds in one entry of a column; None for what is wrong."""
    if isinstance(entry, int | float | np.number):
        return float(entry)
    text = (entry.decode("latin-1") if isinstance(entry, bytes) else str(entry)).replace("\0", " ").strip()
    if text.lower() in _ABSENT or (blank and not text):
        return math.nan
    match = _NUMBER.fullmatch(text)
    return float(match[1]) if match else None


def plain_decimals(texts: NDArray[np.bytes_]) -> NDArray[np.float64] | None:
    """What ``float`` makes of each text; None unless all are blanks, a sign or none, digits and a point, blanks."""
    if len(texts) >= _MANY and texts.dtype.itemsize <= _WORD and (found := _words(texts)) is not None:
        return found
    if texts.tobytes().translate(None, b"0123456789.- \0"):
        return None
    try:
        return np.fromiter(map(float, texts.tolist()), np.float64, len(texts))
    except ValueError:
        return None


def _bytes(byte: int) -> np.uint64:
    """The word of eight times one byte."""
    return np.uint64(byte * 0x0101010101010101)


def _words(texts: NDArray[np.bytes_]) -> NDArray[np.float64] | None:
    """`plain_decimals` of texts of eight characters at most, one at least, whose points are as far from their ends.

    Eight characters are one number, the first one its lowest byte: what holds of characters is asked of all at once.
    The digits without the point and the power of ten to divide them by are exact in float64 and the quotient is rounded
    once: the result is the nearest number to what is written, as ``float``'s is.
    """
    width = texts.dtype.itemsize
    places = np.full((len(texts), _WORD), ord(" "), dtype=np.uint8)
    places[:, _WORD - width :] = np.ascontiguousarray(texts).view(np.uint8).reshape(-1, width)
    words = places.view("<u8")[:, 0]
    if (words & _bytes(0x80)).any():
        return None
    # Blanks behind become blanks before.
    for _ in range(width):
        blank = words >> np.uint64(56) == ord(" ")
        if not blank.any():
            break
        words = np.where(blank, words << np.uint64(8) | np.uint64(ord(" ")), words)
    point = words[:1].tobytes().find(b".")
    if not 0 <= point < _WORD - 1:
        return None
    head = np.uint64(256**point - 1)
    tail = ~(head << np.uint64(8) | np.uint64(0xFF))
    # Of each byte the highest bit: whether it is no digit.
    digits = words ^ _bytes(ord("0"))
    others = (digits + _bytes(0x80 - 10)) & _bytes(0x80)
    # All bits of bytes before the point that are no digits: blanks, the last one perhaps a sign.
    front = ((others & head) >> np.uint64(7)) * np.uint64(0xFF)
    signs = (words ^ _bytes(ord(" "))) & front
    minus = signs != 0
    wrong = (words >> np.uint64(8 * point)) & np.uint64(0xFF) != ord(".")
    wrong |= (others & tail) | (front & (front + np.uint64(1))) != 0
    wrong |= minus & (signs != _bytes(ord("-") ^ ord(" ")) & (front ^ (front >> np.uint64(8))))
    if wrong.any():
        return None
    digits = (digits & ~front & head) << np.uint64(8) | (digits & tail)
    # Pairs of digits, pairs of these, and pairs of these.
    for factor, bits, mask in _JOINS:
        digits = ((digits * factor) >> bits) & mask
    value: NDArray[np.float64] = digits / 10.0 ** (_WORD - 1 - point)
    return np.negative(value, out=value, where=minus)
