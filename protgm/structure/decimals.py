"""The numbers in columns of text, as files write them."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["plain_decimals", "read_number", "read_numbers"]

#: Digits that float64 holds exactly, and powers of ten that it does.
_MAX_DIGITS = 15
_POWERS = 10.0 ** np.arange(_MAX_DIGITS + 1)

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
    """What ``float`` makes of each text; None unless all are blanks, a sign or none, digits, a point, digits, blanks.

    The digits without the point and the power of ten to divide them by are exact in float64 and the quotient is rounded
    once: the result is the nearest number to what is written, as ``float``'s is.
    """
    width = texts.dtype.itemsize
    places = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), width)
    if (aligned := _aligned(places)) is not None:
        return aligned
    # One row per place of the texts: what follows works on whole rows.
    places = places.T.copy()
    digits = places - ord("0")
    are_digits, points, minus = digits < 10, places == ord("."), places == ord("-")
    filled = places > ord(" ")
    known = np.count_nonzero(are_digits) + np.count_nonzero(points) + np.count_nonzero(minus)
    if known != np.count_nonzero(filled) or np.count_nonzero(places[~filled] % ord(" ")):
        return None
    # One word each, with one point and a digit, its only sign in front.
    words = np.count_nonzero(filled[0]) + np.count_nonzero(filled[1:] > filled[:-1])
    if words != len(texts) or np.count_nonzero(points) != len(texts) or (minus[1:] & filled[:-1]).any():
        return None
    count = are_digits.sum(axis=0)
    if not points.any(axis=0).all() or count.min() < 1 or count.max() > _MAX_DIGITS:
        return None
    value = np.zeros(len(texts))
    for row, are in zip(digits, are_digits, strict=True):
        np.copyto(value, value * 10 + row, where=are)
    behind = np.logical_or.accumulate(points, axis=0)
    value /= _POWERS[(are_digits & behind).sum(axis=0)]
    return np.negative(value, out=value, where=minus.any(axis=0))


@lru_cache(maxsize=100)
def _weights(width: int, point: int) -> NDArray[np.float64]:
    """What a digit counts at each place of a number without its point."""
    return np.insert(_POWERS[width - 2 :: -1], point, 0.0)


def _aligned(places: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """`plain_decimals` of texts (n, width) that have their points below each other, and digits to their ends."""
    width = places.shape[1]
    point = int((places[0] == ord(".")).argmax())
    digits = places - ord("0")
    are_digits = digits < 10
    head, blank, minus = are_digits[:, :point], places[:, :point] == ord(" "), places[:, :point] == ord("-")
    if (
        not point < width - 1 <= _MAX_DIGITS
        or np.count_nonzero(places[:, point] == ord(".")) < len(places)
        or not are_digits[:, point + 1 :].all()
        or not (head | blank | minus).all()
        # Blanks, a sign, digits: behind the first that is no blank come digits alone.
        or (~blank[:, :-1] & ~head[:, 1:]).any()
    ):
        return None
    digits *= are_digits
    value: NDArray[np.float64] = digits @ _weights(width, point)
    value /= _POWERS[width - 1 - point]
    return np.negative(value, out=value, where=minus.any(axis=1))
