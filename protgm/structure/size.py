"""How large a chain is, and how large a globular one of its length would be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protgm.checks import number, points

__all__ = ["globular_radius", "radius_of_gyration"]


def globular_radius(length: Any) -> Any:
    """Radius of gyration of a globular protein of so many residues (a number or array), Angstrom: 2.2 L^0.38.

    Skolnick et al. 1997.

    Raises
    ------
    ValueError
        If it is no number or array, or a number below zero.
    """
    if not hasattr(length, "shape") and number("length", length) < 0:
        raise ValueError(f"length={length}: must be 0 or more residues")
    return 2.2 * length**0.38


def radius_of_gyration(positions: NDArray[np.floating]) -> float:
    """Of points (n, 3), in their unit."""
    x = points("positions", positions, "n", 3, infinite=True).astype(np.float64)
    return float(np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=-1).mean()))
