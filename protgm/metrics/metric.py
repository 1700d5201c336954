"""What a metric is: one registered object that says what a figure is called, means and should be, and measures it.

    from protgm.metrics import metric

    @metric("prolines", "share of prolines", unit="share", good="native", at_most=0.3)
    def prolines(subject):
        return subject.backbone.sequence.count("P") / max(len(subject.backbone), 1)

From then on it stands in the tables, the report and, since it has a limit, in the gate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from protgm.checks import check_kind

if TYPE_CHECKING:
    from protgm.metrics.subject import Subject
    from protgm.structure.backbone import Backbone

__all__ = ["At", "Figures", "Metric", "measure", "metric", "register", "registered", "unregister"]


class At(NamedTuple):
    """A figure, and the residue (its index) that it is the figure of."""

    value: float
    residue: int | None


@dataclass(frozen=True)
class Metric:
    """One figure of a structure.

    Parameters
    ----------
    name : str
        Key in tables; a Python name.
    help : str
        What it is, in words that "is 0.3" can follow.
    unit : str
        ``A``, ``degrees``, ``share``, ...; empty for a plain number.
    good : str
        ``high``, ``low``, or ``native``: near what natives have; empty where nothing is better.
    function : callable, optional
        From a `Subject` to a number or `At`: NaN where it cannot be measured, None where the figure does not apply and
        is left out. Without a function the figure comes from a step of an evaluation that sees all structures.
    at_least, at_most : float, optional
        What the gate asks. Its settings have the metric's name; with ``_min`` and ``_max`` where both are given.
    column : int, optional
        Shown in the report's table from the start, in the order of these numbers.
    title : str
        Heading of its histogram in the report; empty: none is drawn.
    tile : str
        Label of its mean among the report's tiles; empty: none is shown.
    """

    name: str
    help: str
    unit: str = ""
    good: Literal["", "high", "low", "native"] = ""
    function: Callable[[Subject], float | At | None] | None = None
    at_least: float | None = None
    at_most: float | None = None
    column: int | None = None
    title: str = ""
    tile: str = ""

    def __post_init__(self) -> None:
        check_kind("name", self.name, str)
        if not self.name.isidentifier():
            raise ValueError(f"metric {self.name!r}: its name must be letters, digits and _ only, no digit first")
        if not self.help:
            raise ValueError(f"metric {self.name}: needs a help text, in words that 'is 0.3' can follow")

    @property
    def words(self) -> str:
        """Help text and unit."""
        return f"{self.help}, {self.unit}" if self.unit not in ("", "share") else self.help

    @property
    def limits(self) -> dict[str, tuple[Literal[">=", "<="], float]]:
        """The gate's settings for it: name to sense and default."""
        found: dict[str, tuple[Literal[">=", "<="], float]] = {}
        both = self.at_least is not None and self.at_most is not None
        if self.at_least is not None:
            found[f"{self.name}_min" if both else self.name] = (">=", self.at_least)
        if self.at_most is not None:
            found[f"{self.name}_max" if both else self.name] = ("<=", self.at_most)
        return found


_REGISTRY: dict[str, Metric] = {}


def register(one: Metric) -> Metric:
    """Make a metric known, and give it back.

    Raises
    ------
    ValueError
        If another one has its name, or the name of one of its limits.
    """
    check_kind("one", one, Metric)
    if one.name in _REGISTRY:
        raise ValueError(f"metric {one.name}: is registered already; use another name")
    taken = {key for other in _REGISTRY.values() for key in other.limits}
    for key in one.limits:
        if key in taken:
            raise ValueError(f"metric {one.name}: the gate has a limit {key} already; use another name")
    _REGISTRY[one.name] = one
    return one


def unregister(name: str) -> None:
    """Forget a metric.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    check_kind("name", name, str)
    if _REGISTRY.pop(name, None) is None:
        raise ValueError(f"metric {name}: is not registered")


def registered() -> tuple[Metric, ...]:
    """All metrics, in the order of their registration."""
    return tuple(_REGISTRY.values())


def metric(
    name: str, help: str, **more: Any
) -> Callable[[Callable[[Subject], float | At | None]], Callable[[Subject], float | At | None]]:
    """Decorator that registers a function as a `Metric`; ``more`` are the metric's other fields."""

    def add(function: Callable[[Subject], float | At | None]) -> Callable[[Subject], float | At | None]:
        register(Metric(name, help, function=function, **more))
        return function

    return add


class Figures(Mapping[str, float]):
    """What was measured on one structure, by name; attributes are the same, NaN where a figure is not known.

    Parameters
    ----------
    values : mapping
        Angstrom, degrees, shares in [0, 1]; NaN where a figure needs atoms that are missing.
    where : mapping
        The residue that a figure is the figure of, such as ``A45``.
    """

    def __init__(self, values: Mapping[str, float], where: Mapping[str, str]) -> None:
        self._values, self.where = dict(values), dict(where)

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("_values", {}):
            return self._values[name]
        if name in _REGISTRY:
            return math.nan
        raise AttributeError(f"there is no figure {name}")

    def __repr__(self) -> str:
        return f"Figures({', '.join(f'{k}={v:.4g}' for k, v in self.items())})"

    def to_dict(self) -> dict[str, float | int | None]:
        """The figures by name, None for NaN (JSON has no NaN)."""
        return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in self.items()}


def measure(structure: Backbone | Subject) -> Figures:
    """All registered metrics of one structure.

    Parameters
    ----------
    structure : Backbone or Subject
        With a `Subject` that knows what was given only what was generated is judged.

    Returns
    -------
    Figures
    """
    from protgm.metrics.subject import Subject

    subject = structure if isinstance(structure, Subject) else Subject(structure)
    values: dict[str, float] = {}
    where: dict[str, str] = {}
    with np.errstate(invalid="ignore"):
        for one in registered():
            if one.function is None:
                continue
            try:
                found = one.function(subject)
            except Exception as error:
                error.add_note(f"in the metric {one.name} of {subject.backbone.name}")
                raise
            if found is None:
                continue
            value, residue = found if isinstance(found, At) else (found, None)
            values[one.name] = value if isinstance(value, int) else float(value)
            if residue is not None:
                where[one.name] = subject.backbone.label(residue)
    return Figures(values, where)
