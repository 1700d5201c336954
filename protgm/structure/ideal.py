"""Ideal backbone geometry: Engh & Huber (1991), Acta Cryst. A47:392, general residue; Angstrom and degrees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protgm.checks import points

__all__ = [
    "CA_C", "CA_CA_CIS", "CA_CA_TRANS", "CA_C_N", "CA_C_O", "C_N", "C_N_CA", "C_O", "N_CA", "N_CA_C", "beta_carbons",
]  # fmt: skip

N_CA, CA_C, C_N, C_O = 1.458, 1.525, 1.329, 1.231
N_CA_C, CA_C_N, C_N_CA, CA_C_O = 111.0, 116.2, 121.7, 120.8
#: Steps from CA to CA across a trans and a cis peptide.
CA_CA_TRANS, CA_CA_CIS = 3.80, 2.95


def beta_carbons(coords: NDArray[np.floating]) -> NDArray[np.floating]:
    """Where CB of an L residue would be, shape (..., 3), from N, CA and C (..., >=3, 3); Angstrom.

    Raises
    ------
    ValueError
        If the shape is another one, or the numbers are no positions.
    """
    coords = points("coords", coords, "...", ">=3", 3, infinite=True)
    n, ca, c = (coords[..., a, :] for a in range(3))
    u, v = ca - n, c - ca
    return ca - 0.58273431 * np.cross(u, v) + 0.56802827 * u - 0.54067466 * v
