"""Superposition of many weighted sets of paired points at once, from their moments.

Points enter as rows of `features`, so that the weighted moments of many superpositions of the same points are one
product of matrices, and the squared distances after each superposition another. The best rotation is the eigenvector
of the largest eigenvalue of Horn's matrix (Horn 1987, J. Opt. Soc. Am. A 4:629), found as Theobald (2005, Acta Cryst.
A 61:478) does, by Newton's method on its characteristic polynomial: a fiftieth of the time that a decomposition of
each 3x3 matrix by LAPACK takes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float32]

__all__ = ["COLUMNS", "distance_rows", "features", "fit"]

#: Of `features`: 1, x, y, the nine products x_i y_j, and |x|^2 + |y|^2.
COLUMNS = 17

_NEWTON = 8
_TINY = np.float32(1e-9)


def features(x: NDArray[np.float32], y: NDArray[np.float32], paired: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What superposition needs of pairs of points.

    Parameters
    ----------
    x, y : ndarray, shape (..., L, 3)
        Angstrom; best near the origin, for the precision.
    paired : ndarray of bool, shape (..., L)
        Pairs that exist; the rows of others are zero.

    Returns
    -------
    ndarray, shape (..., L, COLUMNS)
    """
    rows = np.empty((*paired.shape, COLUMNS), dtype=np.float32)
    rows[..., 0] = 1
    rows[..., 1:4] = x
    rows[..., 4:7] = y
    rows[..., 7:16] = (x[..., :, None] * y[..., None, :]).reshape(*paired.shape, 9)
    rows[..., 16] = (x * x).sum(axis=-1) + (y * y).sum(axis=-1)
    rows *= paired[..., None]
    return rows


def fit(moments: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The rotation and translation that lay x on y with the least squared distance.

    Parameters
    ----------
    moments : ndarray, shape (..., 16 or more)
        Weighted sums of the rows of `features`.

    Returns
    -------
    rotation : ndarray, shape (..., 3, 3)
    translation : ndarray, shape (..., 3)
        ``rotation @ x + translation`` lies on y.
    """
    m = np.moveaxis(np.asarray(moments, dtype=np.float32), -1, 0)
    total = np.maximum(m[0], _TINY)
    x, y = m[1:4] / total, m[4:7] / total
    s = m[7:16].reshape(3, 3, *total.shape) / total - x[:, None] * y[None]
    rotation = _rotation(s)
    translation = y - (rotation * x[None]).sum(axis=1)
    return np.moveaxis(rotation, (0, 1), (-2, -1)), np.moveaxis(translation, 0, -1)


def _rotation(s: NDArray[np.float32]) -> NDArray[np.float32]:
    """Best rotations of cross-covariances ``s[i, j] = <x_i y_j>``: both of shape (3, 3, ...)."""
    size = np.sqrt((s * s).sum(axis=(0, 1)))
    s = s / np.maximum(size, _TINY)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = s
    # Upper triangle of Horn's matrix.
    aa, ab, ac, ad = xx + yy + zz, yz - zy, zx - xz, xy - yx
    bb, bc, bd = xx - yy - zz, xy + yx, zx + xz
    cc, cd, dd = yy - xx - zz, yz + zy, zz - xx - yy
    minors = (
        (yy * zz - yz * zy, yz * zx - yx * zz, yx * zy - yy * zx),
        (xz * zy - xy * zz, xx * zz - xz * zx, xy * zx - xx * zy),
        (xy * yz - xz * yy, xz * yx - xx * yz, xx * yy - xy * yx),
    )
    determinant = xx * minors[0][0] + xy * minors[0][1] + xz * minors[0][2]
    # The roots are sums of the singular values a, b, c with signs, a^2 + b^2 + c^2 = 1 here.
    c2, c1, c0 = -2.0, -8.0 * determinant, 1 - 4 * sum(k * k for row in minors for k in row)
    # The sum of the singular values is at most sqrt(3) of the norm, which is 1 here: Newton descends to the root.
    root = np.full(size.shape, np.sqrt(3.0), dtype=np.float32)
    for _ in range(_NEWTON):
        square = root * root
        value = (square + c2) * square + c1 * root + c0
        slope = (4 * square + 2 * c2) * root + c1
        root = root - value / np.maximum(slope, _TINY)
    columns = _cofactors(aa - root, ab, ac, ad, bb - root, bc, bd, cc - root, cd, dd - root)
    norms = (columns * columns).sum(axis=1)
    best = norms.argmax(axis=0)
    q = np.take_along_axis(columns, best[None, None], axis=0)[0]
    norm = np.take_along_axis(norms, best[None], axis=0)[0]
    # Points that fix no rotation (one of them, or none): the identity.
    lost = (norm < 1e-14) | (size < _TINY)
    q = q / np.sqrt(np.where(lost, 1.0, norm))
    q = np.where(lost, np.array([1, 0, 0, 0], dtype=np.float32).reshape(4, *(1,) * size.ndim), q)
    a, b, c, d = q
    return np.stack(
        (
            np.stack((a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c))),
            np.stack((2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b))),
            np.stack((2 * (b * d - a * c), 2 * (c * d + a * b), a * a - b * b - c * c + d * d)),
        )
    )


def _cofactors(
    aa: _Array,
    ab: _Array,
    ac: _Array,
    ad: _Array,
    bb: _Array,
    bc: _Array,
    bd: _Array,
    cc: _Array,
    cd: _Array,
    dd: _Array,
) -> _Array:
    """Columns of the adjugate of symmetric 4x4 matrices, given by their upper triangles: (4, 4, ...)."""
    cc_dd, bc_cd, bc_dd = cc * dd - cd * cd, bc * cd - bd * cc, bc * dd - bd * cd
    a0 = bb * cc_dd - bc * bc_dd + bd * bc_cd
    a1 = -(ab * cc_dd - ac * bc_dd + ad * bc_cd)
    # Minors of the first two columns.
    m23 = ab * bc - ac * bb
    m24 = ab * bd - ad * bb
    m34 = ac * bd - ad * bc
    a2 = m23 * dd - m24 * cd + m34 * bd
    a3 = -(m23 * cd - m24 * cc + m34 * bc)
    b1 = aa * cc_dd - ac * (ac * dd - ad * cd) + ad * (ac * cd - ad * cc)
    n23 = aa * bc - ac * ab
    n24 = aa * bd - ad * ab
    b2 = -(n23 * dd - n24 * cd + m34 * ad)
    b3 = n23 * cd - n24 * cc + m34 * ac
    n22 = aa * bb - ab * ab
    c2 = n22 * dd - n24 * bd + m24 * ad
    c3 = -(n22 * cd - n24 * bc + m24 * ac)
    d3 = n22 * cc - n23 * bc + m23 * ac
    return np.stack(
        (np.stack((a0, a1, a2, a3)), np.stack((a1, b1, b2, b3)), np.stack((a2, b2, c2, c3)), np.stack((a3, b3, c3, d3)))
    )


def distance_rows(rotation: NDArray[np.floating], translation: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows whose product with those of `features` is the squared distance of each pair after the superposition.

    Parameters
    ----------
    rotation : ndarray, shape (..., 3, 3)
    translation : ndarray, shape (..., 3)

    Returns
    -------
    ndarray, shape (..., COLUMNS)
    """
    rows = np.empty((*translation.shape[:-1], COLUMNS), dtype=np.float32)
    rows[..., 0] = (translation**2).sum(axis=-1)
    rows[..., 1:4] = 2 * (translation[..., None, :] @ rotation)[..., 0, :]
    rows[..., 4:7] = -2 * translation
    rows[..., 7:16] = -2 * np.swapaxes(rotation, -1, -2).reshape(*translation.shape[:-1], 9)
    rows[..., 16] = 1
    return rows
