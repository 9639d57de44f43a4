"""Adaptive moments of stamps, their errors, and the flux of the Gaussian that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from drpflow.kernels.stamps import Scene, fill_stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]

# The weight ends at 5 sigma, as in GalSim's HSM.
_REACH2 = 25.0
# A missing pixel within 3 sigma spoils the moments.
_SPOILED2 = 9.0
_CAUTIOUS_FROM = 30
_SMALLEST_VARIANCE = 0.04
N_SUMS = 8


@njit(cache=True, nogil=True)
def weighted_sums(
    stamp: Float64, x: float, y: float, xx: float, yy: float, xy: float, sums: Float64
) -> bool:
    """Sum a stamp under the Gaussian weight exp(-½ dᵀ M⁻¹ d).

    Parameters
    ----------
    stamp : ndarray, shape (n_row, n_col), float64
        NaN where there is no value.
    x, y : float
        Centre of the weight.
    xx, yy, xy : float
        M.
    sums : ndarray, shape (8,), float64
        Written to: Σ of w I times 1, dx, dy, dx², dy², dx dy; Σ w²; Σ w.

    Returns
    -------
    bool
        Whether all pixels within 3 sigma have a value.

    """
    n_row, n_col = stamp.shape
    det = xx * yy - xy * xy
    a, b, c = yy / det, xx / det, xy / det
    reach = np.sqrt(_REACH2)
    complete = True
    sums[:] = 0.0
    first = int(np.ceil(y - reach * np.sqrt(yy)))
    last = int(np.floor(y + reach * np.sqrt(yy)))
    for v in range(first, last + 1):
        dy = v - y
        # dx runs between the roots of a dx² - 2 c dx dy + b dy² = reach².
        root = (c * dy) ** 2 - a * (b * dy * dy - _REACH2)
        if root <= 0:
            continue
        start = int(np.ceil(x + (c * dy - np.sqrt(root)) / a))
        stop = int(np.floor(x + (c * dy + np.sqrt(root)) / a)) + 1
        if v < 0 or v >= n_row or start < 0 or stop > n_col:
            complete = complete and not _near_missing(v, start, stop, x, dy, a, b, c, n_row, n_col)
            if v < 0 or v >= n_row:
                continue
            start = max(start, 0)
            stop = min(stop, n_col)
        s0, s1, s2, s3, s4, whole = _row_sums(stamp[v], start, stop, x, dy, a, b, c)
        complete = complete and whole
        sums[0] += s0
        sums[1] += s1
        sums[2] += s0 * dy
        sums[3] += s2
        sums[4] += s0 * dy * dy
        sums[5] += s1 * dy
        sums[6] += s3
        sums[7] += s4
    return complete


@njit(cache=True, nogil=True)
def _row_sums(
    values: Float64, start: int, stop: int, x: float, dy: float, a: float, b: float, c: float
) -> tuple[float, float, float, float, float, bool]:
    """Sum one row under the weight: w I times 1, dx and dx², w², w; and whether it is whole.

    Along a row the weight is the exponential of a parabola: two products a pixel instead of an
    exponential, which makes the sums five times faster.
    """
    dx = start - x
    w = np.exp(-0.5 * (a * dx * dx + b * dy * dy) + c * dx * dy)
    ratio = np.exp(-a * (dx + 0.5) + c * dy)
    change = np.exp(-a)
    s0, s1, s2, power, weight = 0.0, 0.0, 0.0, 0.0, 0.0
    whole = True
    for u in range(start, stop):
        power += w * w
        weight += w
        if np.isnan(values[u]):
            rho2 = a * dx * dx + b * dy * dy - 2 * c * dx * dy
            whole = whole and rho2 > _SPOILED2
        else:
            wi = w * values[u]
            s0 += wi
            s1 += wi * dx
            s2 += wi * dx * dx
        w *= ratio
        ratio *= change
        dx += 1.0
    return s0, s1, s2, power, weight, whole


@njit(cache=True, nogil=True)
def _near_missing(
    v: int,
    start: int,
    stop: int,
    x: float,
    dy: float,
    a: float,
    b: float,
    c: float,
    n_row: int,
    n_col: int,
) -> bool:
    """Return whether a row of the weight has a pixel within 3 sigma that is off the stamp."""
    for u in range(start, stop):
        if 0 <= v < n_row and 0 <= u < n_col:
            continue
        dx = u - x
        if a * dx * dx + b * dy * dy - 2 * c * dx * dy <= _SPOILED2:
            return True
    return False


@njit(cache=True, nogil=True)
def next_weight(
    moments: Float64, xx: float, yy: float, xy: float, cautious: bool
) -> tuple[float, float, float]:
    """Next M from the weighted moments C: C⁻¹ - M⁻¹ inverted, or 2 C where that is no matrix.

    The first is the answer at once for a Gaussian (C⁻¹ = G⁻¹ + M⁻¹); the second cannot overshoot.
    xx = 0 says that C is no covariance.
    """
    cxx, cyy, cxy = moments
    c_det = cxx * cyy - cxy * cxy
    m_det = xx * yy - xy * xy
    if not (c_det > 0 and cxx > 0):
        return 0.0, 0.0, 0.0
    p = cyy / c_det - yy / m_det
    q = cxx / c_det - xx / m_det
    r = xy / m_det - cxy / c_det
    det = p * q - r * r
    # One step changes the area by a factor of 16 at most.
    if cautious or not (det > 0 and p > 0) or det * m_det * 256.0 < 1.0:
        return 2 * cxx, 2 * cyy, 2 * cxy
    return q / det, p / det, -r / det


@njit(cache=True, nogil=True)
def _in_bounds(xx: float, yy: float, xy: float, largest: float) -> bool:
    """Return whether moments are those of something larger than noise and inside the stamp."""
    if min(xx, yy) < _SMALLEST_VARIANCE or max(xx, yy) > largest:
        return False
    return xx * yy - xy * xy >= _SMALLEST_VARIANCE**2


@njit(cache=True, nogil=True)
def adaptive_moments(
    stamp: Float64,
    x: float,
    y: float,
    sigma: float,
    max_shift: float,
    max_iterations: int,
    tolerance: float,
    state: Float64,
    sums: Float64,
) -> bool:
    """Moments of the Gaussian weight that reproduces itself (Bernstein & Jarvis 2002).

    Parameters
    ----------
    stamp : ndarray, shape (n_row, n_col), float64
    x, y, sigma : float
        Start of the iteration.
    max_shift : float
        A centre that moves further has lost its source.
    max_iterations : int
    tolerance : float
        Relative change of M at which the iteration ends.
    state : ndarray, shape (5,), float64
        Written to: x, y, xx, yy, xy.
    sums : ndarray, shape (8,), float64
        Written to: see :func:`weighted_sums`, at the last M but one.

    Returns
    -------
    bool
        Whether it converged on pixels that all have a value.
    """
    x_start, y_start = x, y
    xx, yy, xy = sigma * sigma, sigma * sigma, 0.0
    largest = (min(stamp.shape) / 6.0) ** 2
    for iteration in range(max_iterations):
        complete = weighted_sums(stamp, x, y, xx, yy, xy, sums)
        total = sums[0]
        if not total > 0:
            return False
        mean_x, mean_y = sums[1] / total, sums[2] / total
        cautious = iteration >= _CAUTIOUS_FROM
        new_xx, new_yy, new_xy = next_weight(sums[3:6] / total, xx, yy, xy, cautious)
        if not _in_bounds(new_xx, new_yy, new_xy, largest):
            return False
        # The weight halves the offset of a Gaussian that it matches.
        x += 2 * mean_x
        y += 2 * mean_y
        if (x - x_start) ** 2 + (y - y_start) ** 2 > max_shift * max_shift:
            return False
        scale = tolerance * (new_xx + new_yy)
        change = max(abs(new_xx - xx), abs(new_yy - yy), abs(new_xy - xy))
        moved = max(abs(mean_x), abs(mean_y))
        xx, yy, xy = new_xx, new_yy, new_xy
        if change <= scale and moved * moved <= tolerance * scale:
            state[0], state[1], state[2], state[3], state[4] = x, y, xx, yy, xy
            return complete
    return False


@njit(cache=True, nogil=True)
def moment_errors(
    scene: Scene, x0: int, y0: int, state: Float64, sums: Float64, kurtosis: float, out: Float64
) -> None:
    """Variances that the noise gives to centroid, moments and flux.

    Noise n changes the solution by

        δd = 2 Σ w n d / Σ w I,
        δM = 4 Σ w n [e (d dᵀ - M ρ²/2) + s M (ρ² - 1)/2] / Σ w I,
        δF = (2πσ²/Σ w²) Σ w n [1 + s (ρ² - 1)],     ρ² = dᵀ M⁻¹ d,  σ² = √det M,

    with the response of ellipticity e = 2/(4 - κ) and of size s = 1/(3 - κ), κ = ⟨ρ⁴⟩ under w I:
    2 for a Gaussian source (e = s = 1), more for one with wings.

    Parameters
    ----------
    scene : Scene
        Its variance is used.
    x0, y0 : int
        First column and row of the stamp.
    state : ndarray, shape (5,), float64
    sums : ndarray, shape (8,), float64
        See :func:`weighted_sums`.
    kurtosis : float
        κ.
    out : ndarray, shape (7,), float64
        Written to: variances of x, y; their covariance; variances of xx, yy, xy; of the flux.
    """
    ny, nx = scene.variance.shape
    x, y = state[0] + x0, state[1] + y0
    xx, yy, xy = state[2], state[3], state[4]
    det = xx * yy - xy * xy
    a, b, c = yy / det, xx / det, xy / det
    reach = np.sqrt(_REACH2)
    e, s = 2 / (4 - kurtosis), 1 / (3 - kurtosis)
    out[:] = 0.0
    rows = max(0, int(y - reach * np.sqrt(yy))), min(ny, int(y + reach * np.sqrt(yy)) + 1)
    columns = max(0, int(x - reach * np.sqrt(xx))), min(nx, int(x + reach * np.sqrt(xx)) + 1)
    for v in range(rows[0], rows[1]):
        dy = v - y
        for u in range(columns[0], columns[1]):
            dx = u - x
            rho2 = a * dx * dx + b * dy * dy - 2 * c * dx * dy
            noise = scene.variance[v, u]
            if rho2 > _REACH2 or not noise > 0:
                continue
            w = np.exp(-rho2) * noise
            out[0] += w * dx * dx
            out[1] += w * dy * dy
            out[2] += w * dx * dy
            growth = (s * (rho2 - 1) - e * rho2) / 2
            out[3] += w * (e * dx * dx + growth * xx) ** 2
            out[4] += w * (e * dy * dy + growth * yy) ** 2
            out[5] += w * (e * dx * dy + growth * xy) ** 2
            out[6] += w * (1 + s * (rho2 - 1)) ** 2
    out[:3] *= 4 / sums[0] ** 2
    out[3:6] *= 16 / sums[0] ** 2
    out[6] *= (2 * np.pi * np.sqrt(det) / sums[6]) ** 2


@njit(cache=True, nogil=True)
def measure_moments(
    scene: Scene,
    rows: Int64,
    x: Float64,
    y: Float64,
    sigma: Float64,
    half_size: int,
    limits: Float64,
    max_iterations: int,
    found: Float64,
    good: Bool,
) -> None:
    """Adaptive moments and Gaussian fluxes of sources.

    Parameters
    ----------
    scene : Scene
    rows : ndarray, shape (n,), int64
        Sources of the scene.
    x, y : ndarray, shape (n,), float64
        Where each is thought to be.
    sigma : ndarray, shape (n,), float64
        Start of the iteration.
    half_size : int
        Of the stamp.
    limits : ndarray, shape (3,), float64
        Largest shift of the centre [pix]; relative change of M at which the iteration ends; κ of
        :func:`moment_errors`.
    max_iterations : int
    found : ndarray, shape (n, 13), float64
        Written to: x, y, xx, yy, xy, flux; variances of x, y, their covariance, variances of xx,
        yy, xy, flux. NaN where the iteration fails.
    good : ndarray, shape (n,), bool
        Written to: it converged on pixels that all have a value.
    """
    size = 2 * half_size + 1
    stamp = np.empty((size, size), np.float64)
    state = np.empty(5, np.float64)
    sums = np.empty(N_SUMS, np.float64)
    for k in range(rows.size):
        x0 = int(np.floor(x[k] + 0.5)) - half_size
        y0 = int(np.floor(y[k] + 0.5)) - half_size
        u, v = x[k] - x0, y[k] - y0
        fill_stamp(scene, rows[k], x0, y0, stamp)
        state[0] = np.nan
        good[k] = adaptive_moments(
            stamp, u, v, sigma[k], limits[0], max_iterations, limits[1], state, sums
        )
        found[k, :] = np.nan
        if np.isnan(state[0]):
            continue
        moment_errors(scene, x0, y0, state, sums, limits[2], found[k, 6:])
        found[k, 0] = state[0] + x0
        found[k, 1] = state[1] + y0
        found[k, 2:5] = state[2:]
        det = state[2] * state[3] - state[4] ** 2
        found[k, 5] = 2 * np.pi * np.sqrt(det) * sums[0] / sums[6]


@njit(cache=True, nogil=True)
def stack_moments(images: Float64, x: Float64, y: Float64, sigma: float, found: Float64) -> None:
    """Adaptive moments of images without noise, such as those of a PSF model.

    Parameters
    ----------
    images : ndarray, shape (n, n_row, n_col), float64
    x, y : ndarray, shape (n,), float64
        Start, relative to the first pixel.
    sigma : float
        Start.
    found : ndarray, shape (n, 5), float64
        Written to: x, y, xx, yy, xy; NaN where there are none.
    """
    sums = np.empty(N_SUMS, np.float64)
    for k in range(len(images)):
        found[k, :] = np.nan
        adaptive_moments(images[k], x[k], y[k], sigma, 10.0, 100, 1e-7, found[k], sums)


@njit(cache=True, nogil=True)
def noisy_moments(
    images: Float64,
    noise: Float32,
    variance: Float32,
    x0: Int64,
    y0: Int64,
    x: Float64,
    y: Float64,
    sigma: Float64,
    limits: Float64,
    max_iterations: int,
    found: Float64,
) -> None:
    """Adaptive moments of images after noise has been added to them.

    Parameters
    ----------
    images : ndarray, shape (n, n_row, n_col), float64
        Changed: the noise is added.
    noise : ndarray, same shape, float32
        Of unit variance.
    variance : ndarray, shape (ny, nx), float32
        Of the frame; off it, and where it is not positive, there is no value.
    x0, y0 : ndarray, shape (n,), int64
        First column and row of each image.
    x, y, sigma : ndarray, shape (n,), float64
        Start.
    limits : ndarray, shape (2,), float64
        Largest shift of the centre in `sigma`; relative change of M at which the iteration ends.
    max_iterations : int
    found : ndarray, shape (n, 3), float64
        Written to: xx, yy, xy; NaN where the iteration fails.
    """
    ny, nx = variance.shape
    _, n_row, n_col = images.shape
    sums = np.empty(N_SUMS, np.float64)
    state = np.empty(5, np.float64)
    for k in range(len(images)):
        for v in range(n_row):
            for u in range(n_col):
                row, column = y0[k] + v, x0[k] + u
                inside = 0 <= row < ny and 0 <= column < nx
                if inside and variance[row, column] > 0:
                    images[k, v, u] += noise[k, v, u] * np.sqrt(variance[row, column])
                else:
                    images[k, v, u] = np.nan
        state[:] = np.nan
        adaptive_moments(
            images[k], x[k] - x0[k], y[k] - y0[k], sigma[k], limits[0] * sigma[k],
            max_iterations, limits[1], state, sums,
        )  # fmt: skip
        found[k] = state[2:]
