"""Arguments as they come from Python: numbers of numpy and torch are numbers too, anything else is named."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_kind", "check_numbers", "check_path", "check_tensor", "number", "points", "several", "whole"]


T = TypeVar("T")


def check_kind(name: str, value: object, kind: type) -> None:
    """Refuse what is no object of a class.

    Raises
    ------
    ValueError
        Which names the argument, what was wanted and what came.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{name}: {_words(kind)} is wanted, got {_shown(value)}")


def check_path(name: str, value: object) -> None:
    """Refuse what is no path.

    Raises
    ------
    ValueError
        As `check_kind`.
    """
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name}: a path is wanted, got {_shown(value)}")


def several(name: str, values: Iterable[T], kind: type[T]) -> list[T]:
    """Objects of a class as a list.

    Raises
    ------
    ValueError
        If it is no sequence of such, naming the first that is none.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ValueError(f"{name}: {kind.__name__} objects are wanted, got {_shown(values)}")
    found = list(values)
    for place, value in enumerate(found):
        if not isinstance(value, kind):
            raise ValueError(f"{name}: {kind.__name__} objects are wanted, item {place} is {_shown(value)}")
    return found


def _words(kind: type) -> str:
    return "text" if kind is str else f"a{'n' * (kind.__name__[0] in 'AEIOU')} {kind.__name__}"


def _shown(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.40}".partition("\n")[0]


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


def points(
    name: str, value: Any, *shape: int | str, missing: bool = True, infinite: bool = False
) -> NDArray[np.floating]:
    """Positions as an array of floats.

    Parameters
    ----------
    name : str
        What errors call it.
    value : array
        Of numpy, torch or lists.
    shape : int or str
        The axes that are wanted: a number for what must be so long, ``">=3"`` for what must be so long at least, a name
        for what may have any length, the same name for the same length; ``"..."``, in front only, for any axes.
    missing, infinite : bool
        Whether NaN may stand for an atom that is missing; whether infinite values are somebody else's to refuse.

    Raises
    ------
    ValueError
        If the shape is another one, it does not hold real numbers, or one of them is infinite.
    """
    wanted = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name}: must be an array of shape {wanted} ({str(error)[:100]})") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: must be an array of real numbers of shape {wanted}, got {array.dtype}")
    if not _fits(array.shape, shape):
        raise ValueError(f"{name}: must have shape {wanted}, got {array.shape}")
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    if not infinite and np.isinf(array).any():
        raise ValueError(f"{name}: holds infinite values" + ("; a missing atom is NaN" if missing else ""))
    if not missing and np.isnan(array).any():
        raise ValueError(f"{name}: holds NaN")
    return array


def check_tensor(name: str, value: Any, *shape: int | str) -> None:
    """Refuse what is no tensor of floats with these axes (as those of `points`).

    Raises
    ------
    ValueError
        Which says what was wanted and what came.
    """
    wanted = f"({', '.join(map(str, shape))})"
    if not hasattr(value, "is_floating_point"):
        raise ValueError(f"{name}: a torch tensor of shape {wanted} is wanted, got {type(value).__name__}")
    if not value.is_floating_point() or not _fits(value.shape, shape):
        raise ValueError(f"{name}: floats of shape {wanted} are wanted, got {value.dtype} {tuple(value.shape)}")


def _fits(have: Sequence[int], want: Sequence[int | str]) -> bool:
    """Whether the axes of an array are those that are wanted."""
    if want[0] == "...":
        want = want[1:]
        if len(have) < len(want):
            return False
        have = have[len(have) - len(want) :]
    if len(have) != len(want) or not all(map(_long_enough, have, want)):
        return False
    named: dict[str, int] = {}
    return all(named.setdefault(str(name), size) == size for name, size in zip(want, have, strict=True))


def _long_enough(have: int, want: int | str) -> bool:
    if isinstance(want, str):
        return not want.startswith(">=") or have >= int(want[2:])
    return have == want


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
