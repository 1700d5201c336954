"""Numbers such as ``-12.345`` in columns of bytes, all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["plain_decimals"]

#: Digits that float64 holds exactly, and powers of ten that it does.
_MAX_DIGITS = 15
_POWERS = 10.0 ** np.arange(_MAX_DIGITS + 1)


def plain_decimals(texts: NDArray[np.bytes_]) -> NDArray[np.float64] | None:
    """What ``float`` makes of each text; None unless all are a sign or none, digits, a point, digits, and blanks.

    The digits without the point and the power of ten to divide them by are exact in float64 and the quotient is rounded
    once: the result is the nearest number to what is written, as ``float``'s is.
    """
    width = texts.dtype.itemsize
    # One row per place of the texts: what follows works on whole rows.
    places = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), width).T.copy()
    digits = places - ord("0")
    are_digits = digits < 10
    points = places == ord(".")
    blanks = (places == ord(" ")) | (places == 0)
    negative = places[0] == ord("-")
    valid = are_digits | points | blanks
    valid[0] |= negative
    count = are_digits.sum(axis=0)
    fit = valid.all() and (points.sum(axis=0) == 1).all() and (blanks[:-1] <= blanks[1:]).all()
    if not fit or not ((count >= 1) & (count <= _MAX_DIGITS)).all():
        return None
    value = np.zeros(len(texts))
    for row, are in zip(digits, are_digits, strict=True):
        np.copyto(value, value * 10 + row, where=are)
    decimals = count - (points.argmax(axis=0) - negative)
    value /= _POWERS[decimals]
    return np.negative(value, out=value, where=negative)
