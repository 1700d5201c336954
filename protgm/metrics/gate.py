"""The gate: limits a structure must keep to be worth a second look, and the reason when it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from protgm.metrics.metric import Figures, Metric, register, registered

__all__ = ["Gate"]

register(Metric("passed", "whether the structure passes the geometry gate", column=3))
register(Metric("reasons", "why it does not", column=1000))


def _defaults() -> dict[str, float]:
    return {key: limit for one in registered() for key, (_, limit) in one.limits.items()}


class Gate:
    """Limits of the registered metrics; lengths in Angstrom, angles in degrees.

    The defaults pass 95 % and more of the natives that were not used to set them. Natives from old or
    low-resolution entries are why single-site limits are wide; a limit of ``inf`` (or ``-inf``) switches a rule off.

    Parameters
    ----------
    limits : float
        Those to be others than the metrics' own, by name: ``Gate(breaks=2, rg_ratio_max=2.5)``.

    Raises
    ------
    ValueError
        If there is no such limit, or it is no number.
    """

    def __init__(self, **limits: float) -> None:
        known = _defaults()
        for name, value in limits.items():
            if name not in known:
                raise ValueError(f"gate: there is no limit {name}; there are {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
                raise ValueError(f"gate: {name} must be a number, got {value!r}")
        self._set = dict(limits)

    @classmethod
    def of(cls, settings: Any) -> Gate:
        """From a group of settings.

        Raises
        ------
        ValueError
            If it is no group, or a limit is no number; the message is in the words of the command line.
        """
        if not isinstance(settings, Mapping):
            raise ValueError(f"gate={settings}: is a group of settings, such as gate.{next(iter(_defaults()))}=")
        for name, value in settings.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"gate.{name}={value}: must be a number")
        return cls(**settings)

    @property
    def limits(self) -> dict[str, float]:
        """All limits by name."""
        return _defaults() | self._set

    def __getattr__(self, name: str) -> float:
        limits = self.limits if not name.startswith("_") else {}
        if name not in limits:
            raise AttributeError(f"the gate has no limit {name}")
        return limits[name]

    def __repr__(self) -> str:
        return f"Gate({', '.join(f'{key}={value}' for key, value in self._set.items())})"

    def check(self, figures: Figures) -> tuple[str, ...]:
        """Reasons why the structure fails, empty when it passes.

        Each reason starts with the name of the figure; a figure that could not be measured (NaN) is not judged.
        """
        reasons = []
        for one in registered():
            value = figures.get(one.name, math.nan)
            for key, (sense, default) in one.limits.items():
                limit = self._set.get(key, default)
                if math.isnan(value) or (value <= limit if sense == "<=" else value >= limit):
                    continue
                unit = f" {one.unit}" if one.unit not in ("", "share") else ""
                site = figures.where.get(one.name)
                place = f" (at {site})" if site else ""
                reasons.append(f"{one.name}: {one.help} is {value:.3g}{unit}{place}, limit {sense} {limit:g}")
        if figures.get("length") == 0:
            reasons.append("missing: no residues")
        return tuple(reasons)
