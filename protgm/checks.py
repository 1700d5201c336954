"""Arguments as they come from Python: numbers of numpy and torch are numbers too, anything else is named."""

from __future__ import annotations

import math
import operator
from dataclasses import fields
from typing import Any

__all__ = ["check_numbers", "number", "whole"]


def whole(name: str, value: Any, least: int | None = None) -> int:
    """A whole number as Python's int.

    Raises
    ------
    ValueError
        If it is none (True and 3.0 are not), or below ``least``; the message begins with ``name=value``.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        found = operator.index(value)
    except TypeError:
        raise ValueError(f"{name}={value!r}: must be a whole number") from None
    if least is not None and found < least:
        raise ValueError(f"{name}={found} must be at least {least}")
    return found


def number(name: str, value: Any) -> float:
    """A finite number as Python's float.

    Raises
    ------
    ValueError
        If it is none, NaN or infinite.
    """
    try:
        if isinstance(value, bool | str):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{name}={value!r}: must be a number") from None
    if not math.isfinite(found):
        raise ValueError(f"{name}={found} must be finite")
    return found


def check_numbers(settings: Any) -> None:
    """Make the numbers of a frozen dataclass Python's own, so that they can be compared and written as JSON.

    Fields annotated ``int``, ``float`` and the same ``| None`` are looked at.

    Raises
    ------
    ValueError
        If one holds something else.
    """
    for field in fields(settings):
        kind, _, optional = str(field.type).partition(" | ")
        value = getattr(settings, field.name)
        if kind in ("int", "float") and optional in ("", "None") and not (value is None and optional):
            check = whole if kind == "int" else number
            object.__setattr__(settings, field.name, check(field.name, value))
