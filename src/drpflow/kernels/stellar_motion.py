"""Place, proper motion, parallax and colour of stars, one after the other, from their detections.

A row is what a star has in a visit: its offset from the star's start, east and north, mas. The six
parameters are those of the start, (east, north), the proper motions, the parallax, and the colour
beyond that for which the WCSs hold:

    offset = (east, north) + t (pm_ra, pm_dec) + parallax · factor + colour · refraction

A prior holds what is known besides; it also keeps the normal matrix from being singular.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

N_PARAMETER = 6
"""East, north, proper motions, parallax, colour."""
_ALMOST = 1e-6


class Rows(NamedTuple):
    """Detections sorted by star: star s has the rows ``first[s]`` to ``first[s + 1]``.

    Parameters
    ----------
    first
        Shape (S + 1,).
    offset
        East and north of the start, mas, (N, 2).
    covariance
        East-east, east-north, north-north, mas², (N, 3).
    centroid
        What of it is the centroid's, (N, 3).
    years
        Since the star's epoch, (N,).
    factor
        Parallax factors east and north, (N, 2).
    refraction
        Displacement by a magnitude of colour, mas, (N, 2).
    """

    first: Integers
    offset: Floats
    covariance: Floats
    centroid: Floats
    years: Floats
    factor: Floats
    refraction: Floats


@njit(cache=True, nogil=True)
def _design(rows: Rows, i: int, at: Floats) -> None:
    """Fill the derivatives of a row's offset, (2, 6)."""
    at[:] = 0.0
    for c in range(2):
        at[c, c] = 1.0
        at[c, 2 + c] = rows.years[i]
        at[c, 4] = rows.factor[i, c]
        at[c, 5] = rows.refraction[i, c]


@njit(cache=True, nogil=True)
def _inverse2(a: float, b: float, d: float, out: Floats) -> bool:
    """Fill the inverse of a symmetric matrix, (3); return whether it is positive definite."""
    det = a * d - b * b
    if not (a > 0.0 and d > 0.0 and det > _ALMOST * a * d):
        return False
    out[0], out[1], out[2] = d / det, -b / det, a / det
    return True


@njit(cache=True, nogil=True)
def _quadratic(w: Floats, x: float, y: float) -> float:
    return w[0] * x * x + 2 * w[1] * x * y + w[2] * y * y


@njit(cache=True, nogil=True)
def _spread(at: Floats, covariance: Floats, out: Floats) -> None:
    """Fill the covariance of the place that parameters give, (3)."""
    for c in range(3):
        i, j = (0, 0) if c == 0 else ((0, 1) if c == 1 else (1, 1))
        total = 0.0
        for a in range(N_PARAMETER):
            if at[i, a] != 0.0:
                part = 0.0
                for b in range(N_PARAMETER):
                    part += covariance[a, b] * at[j, b]
                total += at[i, a] * part
        out[c] = total


@njit(cache=True, nogil=True)
def _invert(matrix: Floats, out: Floats) -> None:
    """Fill the inverse of a symmetric positive definite matrix by its Cholesky factor.

    The matrix is scaled to unit diagonal first: its units are of many sizes.
    """
    n = matrix.shape[0]
    scale = np.empty(n)
    for i in range(n):
        scale[i] = 1.0 / np.sqrt(matrix[i, i])
    low, inverse = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j] * scale[i] * scale[j]
            for k in range(j):
                total -= low[i, k] * low[j, k]
            low[i, j] = np.sqrt(max(total, 1e-300)) if i == j else total / low[j, j]
    for j in range(n):
        inverse[j, j] = 1.0 / low[j, j]
        for i in range(j + 1, n):
            total = 0.0
            for k in range(j, i):
                total -= low[i, k] * inverse[k, j]
            inverse[i, j] = total / low[i, i]
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, n):
                total += inverse[k, i] * inverse[k, j]
            out[i, j] = out[j, i] = total * scale[i] * scale[j]


@njit(cache=True, nogil=True)
def _solve(
    rows: Rows, a: int, b: int, on: NDArray[np.bool_], prior: Floats, target: Floats,
    theta: Floats, covariance: Floats,
) -> None:  # fmt: skip
    """Fill parameters and covariance of a star from the rows that count."""
    normal, right = prior.copy(), target.copy()
    at, w = np.empty((2, N_PARAMETER)), np.empty(3)
    for i in range(a, b):
        c = rows.covariance[i]
        if not on[i] or not _inverse2(c[0], c[1], c[2], w):
            continue
        _design(rows, i, at)
        x, y = rows.offset[i]
        for p in range(N_PARAMETER):
            u, v = w[0] * at[0, p] + w[1] * at[1, p], w[1] * at[0, p] + w[2] * at[1, p]
            right[p] += u * x + v * y
            for q in range(p + 1):
                normal[p, q] += u * at[0, q] + v * at[1, q]
    for p in range(N_PARAMETER):
        for q in range(p):
            normal[q, p] = normal[p, q]
    _invert(normal, covariance)
    for p in range(N_PARAMETER):
        theta[p] = 0.0
        for q in range(N_PARAMETER):
            theta[p] += covariance[p, q] * right[q]


@njit(cache=True, nogil=True)
def _residual(rows: Rows, i: int, at: Floats, theta: Floats) -> tuple[float, float]:
    x, y = rows.offset[i]
    for p in range(N_PARAMETER):
        x -= at[0, p] * theta[p]
        y -= at[1, p] * theta[p]
    return x, y


@njit(cache=True, nogil=True)
def _worst(
    rows: Rows, a: int, b: int, on: NDArray[np.bool_], theta: Floats, covariance: Floats
) -> tuple[int, float, int, float]:
    """Return the row farthest from what the others say, and the nearest of those left out.

    Distances are squares in standard deviations: a row that counts is compared with the solution
    without it, whose residual has the covariance C (C - H)⁻¹ C, H that of its place in the joint
    solution.
    """
    out, most, back, least = -1, 0.0, -1, np.inf
    at, h, w = np.empty((2, N_PARAMETER)), np.empty(3), np.empty(3)
    for i in range(a, b):
        _design(rows, i, at)
        _spread(at, covariance, h)
        c = rows.covariance[i]
        sign = -1.0 if on[i] else 1.0
        if not _inverse2(c[0] + sign * h[0], c[1] + sign * h[1], c[2] + sign * h[2], w):
            continue
        x, y = _residual(rows, i, at, theta)
        d = _quadratic(w, x, y)
        if on[i] and d > most:
            out, most = i, d
        elif not on[i] and d < least:
            back, least = i, d
    return out, most, back, least


@njit(cache=True, nogil=True)
def _shares(
    rows: Rows, i: int, theta: Floats, covariance: Floats, sums: Floats
) -> tuple[float, float]:
    """Fill what a row tells of the sizes of its errors; return its χ² and what is expected of it.

    With W = C⁻¹ and P = W - W H W: ρᵀWWρ and tr P for errors alike in all directions, ρᵀWKWρ and
    tr PK for those of the centroid, K.
    """
    at, h, w = np.empty((2, N_PARAMETER)), np.empty(3), np.empty(3)
    c, k = rows.covariance[i], rows.centroid[i]
    _design(rows, i, at)
    _spread(at, covariance, h)
    if not _inverse2(c[0], c[1], c[2], w):
        sums[:] = 0.0
        return 0.0, 0.0
    x, y = _residual(rows, i, at, theta)
    u, v = w[0] * x + w[1] * y, w[1] * x + w[2] * y
    # W H, then P.
    a00, a01 = w[0] * h[0] + w[1] * h[1], w[0] * h[1] + w[1] * h[2]
    a10, a11 = w[1] * h[0] + w[2] * h[1], w[1] * h[1] + w[2] * h[2]
    p00 = w[0] - (a00 * w[0] + a01 * w[1])
    p01 = w[1] - (a00 * w[1] + a01 * w[2])
    p11 = w[2] - (a10 * w[1] + a11 * w[2])
    sums[0], sums[1] = u * u + v * v, p00 + p11
    sums[2] = _quadratic(k, u, v)
    sums[3] = p00 * k[0] + 2 * p01 * k[1] + p11 * k[2]
    return u * x + v * y, 2.0 - a00 - a11


@njit(cache=True, nogil=True)
def fewest_kept(n: int, most_off: float) -> int:
    """Return how many of a star's n rows count in any case: three, and all but a share of them."""
    return max(min(n, 3), int(np.ceil((1 - most_off) * n)))


@njit(cache=True, nogil=True)
def fit_stars(
    rows: Rows,
    prior: Floats,
    target: Floats,
    limit2: float,
    most_off: float,
    on: NDArray[np.bool_],
    theta: Floats,
    covariance: Floats,
    chi2: Floats,
    sums: Floats,
) -> None:
    """Fit all stars; rows that are far from what the others say are left out, one by one.

    Parameters
    ----------
    rows
        The detections.
    prior, target
        Precision of the parameters before, (S, 6, 6), and that times their mean, (S, 6).
    limit2
        Squared distance, in standard deviations, beyond which a row is left out.
    most_off
        Largest share of a star's rows that may be; three rows stay in any case.
    on
        In and out: which rows count, (N,). What does not count at the start may come back.
    theta, covariance
        Out: parameters (S, 6) and their covariances (S, 6, 6).
    chi2
        Out: χ² of the rows that count and what is expected of it, (S, 2).
    sums
        Out: what each row tells of the sizes of errors, (N, 4), 0 for those that do not count.
    """
    for s in range(rows.first.size - 1):
        a, b = rows.first[s], rows.first[s + 1]
        least_on = fewest_kept(b - a, most_off)
        n_on = 0
        for i in range(a, b):
            n_on += on[i]
        for _ in range(2 * (b - a) + 1):
            _solve(rows, a, b, on, prior[s], target[s], theta[s], covariance[s])
            out, most, back, least = _worst(rows, a, b, on, theta[s], covariance[s])
            if out >= 0 and most > limit2 and n_on > least_on:
                on[out] = False
                n_on -= 1
            elif back >= 0 and least < 0.7 * limit2:
                on[back] = True
                n_on += 1
            else:
                break
        chi2[s] = 0.0
        for i in range(a, b):
            if on[i]:
                one, expected = _shares(rows, i, theta[s], covariance[s], sums[i])
                chi2[s, 0] += one
                chi2[s, 1] += expected
            else:
                sums[i] = 0.0
