"""One set of paired points laid on another, in numpy and in double precision (`protgm.lie.points` has tensors)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protgm.checks import points

__all__ = ["superposed_rmsd", "superposition"]

_Pairs = tuple[NDArray[np.float64], NDArray[np.float64]]


def superposition(mobile: ArrayLike, target: ArrayLike) -> _Pairs:
    """The rigid move of least squared distance (Kabsch 1976): ``mobile @ rotation.T + shift`` lies on ``target``.

    Parameters
    ----------
    mobile, target : array, shape (N, 3)
        Paired points; rows with NaN in either are left out.

    Returns
    -------
    rotation : ndarray, shape (3, 3)
    shift : ndarray, shape (3,)

    Raises
    ------
    ValueError
        If they are not two arrays of one such shape.
    """
    a, b = _paired(mobile, target, "mobile", "target")
    u, _, vh = np.linalg.svd((b - b.mean(axis=0)).T @ (a - a.mean(axis=0)))
    turn = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vh))])
    rotation = u @ turn @ vh
    return rotation, b.mean(axis=0) - rotation @ a.mean(axis=0)


def superposed_rmsd(first: ArrayLike, second: ArrayLike) -> float:
    """RMSD of matched points, shape (L, 3) each, after the best rotation and translation (Kabsch 1976).

    Rows with NaN in either are left out; NaN if fewer than three are left.

    Raises
    ------
    ValueError
        If they are not two arrays of one such shape.
    """
    a, b = _paired(first, second, "first", "second")
    if len(a) < 3:
        return float("nan")
    rotation, shift = superposition(a, b)
    return float(np.sqrt(np.square(a @ rotation.T + shift - b).sum(axis=-1).mean()))


def _paired(first: ArrayLike, second: ArrayLike, *names: str) -> _Pairs:
    a, b = (points(name, x, "L", 3).astype(np.float64) for name, x in zip(names, (first, second), strict=True))
    if len(a) != len(b):
        raise ValueError(
            f"{names[0]} and {names[1]}: {len(a)} and {len(b)} points; the same number is wanted, matched in order"
        )
    known = np.isfinite(a).all(axis=-1) & np.isfinite(b).all(axis=-1)
    return a[known], b[known]
