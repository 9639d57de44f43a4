"""Fits of the PSF model to sources: position and flux of least variance, and the PSF flux."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from drpflow.kernels.stamps import Scene, fill_stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]
    Int32 = NDArray[np.int32]

# Central difference of order 8: at FWHM 2 pixels the derivative of a PSF is right to 1 %.
_TAPS = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
# The model of the variance stays above this share of that of the sky.
_VARIANCE_FLOOR = 0.01


@njit(cache=True, nogil=True)
def _slope(values: Float64, v: int, u: int, step_v: int, step_u: int) -> float:
    """Return the derivative of an image along an axis; beyond its edges it is zero."""
    n_row, n_col = values.shape
    total = 0.0
    for i in range(1, 5):
        ahead, behind = 0.0, 0.0
        if v + i * step_v < n_row and u + i * step_u < n_col:
            ahead = values[v + i * step_v, u + i * step_u]
        if v - i * step_v >= 0 and u - i * step_u >= 0:
            behind = values[v - i * step_v, u - i * step_u]
        total += _TAPS[i - 1] * (ahead - behind)
    return total


@njit(cache=True, nogil=True)
def blank_excluded(scene: Scene, x0: int, y0: int, stamp: Float64) -> None:
    """Set pixels of a stamp that are no measurement to NaN."""
    n_row, n_col = stamp.shape
    ny, nx = scene.excluded.shape
    for v in range(n_row):
        for u in range(n_col):
            inside = 0 <= y0 + v < ny and 0 <= x0 + u < nx
            if not inside or scene.excluded[y0 + v, x0 + u]:
                stamp[v, u] = np.nan


@njit(cache=True, nogil=True)
def _variance_model(
    scene: Scene, x0: int, y0: int, stamp: Float64, phi: Float64
) -> tuple[float, float]:
    """Variance of the sky, and how much that of the source adds for each unit of φ.

    Weights from the variance plane itself would favour pixels that fluctuated downwards, since
    photon noise is estimated from the same pixels. The sky's share is the median over the rim of
    the stamp, the source's the least-squares amplitude of φ in what exceeds it.
    """
    n_row, n_col = stamp.shape
    rim = np.empty(2 * (n_row + n_col), np.float64)
    n = 0
    for v in range(n_row):
        for u in range(0, n_col, 1 if v in (0, n_row - 1) else n_col - 1):
            if not np.isnan(stamp[v, u]):
                rim[n] = scene.variance[y0 + v, x0 + u]
                n += 1
    if n == 0:
        return np.nan, 0.0
    sky = np.median(rim[:n])
    excess, power = 0.0, 0.0
    for v in range(n_row):
        for u in range(n_col):
            if not np.isnan(stamp[v, u]):
                excess += phi[v, u] * (scene.variance[y0 + v, x0 + u] - sky)
                power += phi[v, u] ** 2
    return sky, max(0.0, excess / power) if power > 0 else 0.0


@njit(cache=True, nogil=True)
def _solve3(matrix: Float64, inverse: Float64) -> bool:
    """Invert a symmetric 3 × 3 matrix; False where it has no positive determinant."""
    m = matrix
    c00 = m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1]
    c01 = m[1, 2] * m[2, 0] - m[1, 0] * m[2, 2]
    c02 = m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0]
    det = m[0, 0] * c00 + m[0, 1] * c01 + m[0, 2] * c02
    if not det > 1e-9 * m[0, 0] * m[1, 1] * m[2, 2]:
        return False
    inverse[0, 0] = c00 / det
    inverse[0, 1] = inverse[1, 0] = c01 / det
    inverse[0, 2] = inverse[2, 0] = c02 / det
    inverse[1, 1] = (m[0, 0] * m[2, 2] - m[0, 2] * m[2, 0]) / det
    inverse[1, 2] = inverse[2, 1] = (m[0, 2] * m[1, 0] - m[0, 0] * m[1, 2]) / det
    inverse[2, 2] = (m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]) / det
    return True


@njit(cache=True, nogil=True)
def _normal_equations(
    scene: Scene,
    x0: int,
    y0: int,
    stamp: Float64,
    phi: Float64,
    reach2: float,
    x: float,
    y: float,
    noise: tuple[float, float],
    system: Float64,
) -> None:
    """Accumulate Aᵀ W A, Aᵀ W V W A and Aᵀ W I for A = (φ, -∂φ/∂x, -∂φ/∂y).

    `system`, shape (7, 3), receives the two matrices and the vector.
    """
    sky, source = noise
    n_row, n_col = stamp.shape
    row = np.empty(3, np.float64)
    system[:] = 0.0
    for v in range(n_row):
        for u in range(n_col):
            if (u - x) ** 2 + (v - y) ** 2 > reach2 or np.isnan(stamp[v, u]):
                continue
            row[0] = phi[v, u]
            row[1] = -_slope(phi, v, u, 0, 1)
            row[2] = -_slope(phi, v, u, 1, 0)
            w = 1.0 / max(sky + source * phi[v, u], _VARIANCE_FLOOR * sky)
            spread = w * w * scene.variance[y0 + v, x0 + u]
            for i in range(3):
                system[6, i] += w * row[i] * stamp[v, u]
                for j in range(i + 1):
                    system[i, j] += w * row[i] * row[j]
                    system[3 + i, j] += spread * row[i] * row[j]
    for i in range(3):
        for j in range(i):
            system[j, i] = system[i, j]
            system[3 + j, i] = system[3 + i, j]


@njit(cache=True, nogil=True)
def fit_positions(
    scene: Scene,
    rows: Int64,
    images: Float64,
    x0: Int64,
    y0: Int64,
    x: Float64,
    y: Float64,
    radius: float,
    found: Float64,
) -> None:
    """One Gauss–Newton step of position and flux of each source.

    Minimises Σ (I - f φ(x, y))² / v over f, x and y, with v a smooth model of the variance. The
    model is linear in f and is linearised in x and y. The covariance is H⁻¹ Aᵀ W V W A H⁻¹ with V
    the variance plane, right also where v is not.

    Parameters
    ----------
    scene : Scene
    rows : ndarray, shape (n,), int64
        Sources of the scene.
    images : ndarray, shape (n, n_pix, n_pix), float64
        φ, the PSF placed at (x, y).
    x0, y0 : ndarray, shape (n,), int64
        First column and row of each image.
    x, y : ndarray, shape (n,), float64
        Positions to improve.
    radius : float
        Pixels further from the position are not used.
    found : ndarray, shape (n, 6), float64
        Written to: steps in x and y, flux, variances of x and y, their covariance. NaN where the
        pixels determine no position.
    """
    stamp = np.empty(images.shape[1:], np.float64)
    system = np.empty((7, 3), np.float64)
    inverse = np.empty((3, 3), np.float64)
    reach2 = radius * radius
    for k in range(rows.size):
        found[k, :] = np.nan
        fill_stamp(scene, rows[k], x0[k], y0[k], stamp)
        blank_excluded(scene, x0[k], y0[k], stamp)
        noise = _variance_model(scene, x0[k], y0[k], stamp, images[k])
        if not noise[0] > 0:
            continue
        u, v = x[k] - x0[k], y[k] - y0[k]
        _normal_equations(scene, x0[k], y0[k], stamp, images[k], reach2, u, v, noise, system)
        if _solve3(system[:3], inverse):
            _step(inverse, system, found[k])


@njit(cache=True, nogil=True)
def _step(inverse: Float64, system: Float64, found: Float64) -> None:
    """Write steps, flux and covariance of one source, if its flux is positive."""
    solved = inverse @ system[6]
    flux = solved[0]
    if flux > 0:
        covariance = inverse @ system[3:6] @ inverse / flux**2
        found[0], found[1], found[2] = solved[1] / flux, solved[2] / flux, flux
        found[3], found[4], found[5] = covariance[1, 1], covariance[2, 2], covariance[1, 2]


@njit(cache=True, nogil=True)
def _chi2(scene: Scene, x0: int, y0: int, stamp: Float64, phi: Float64, flux: float) -> float:
    """Sum (I - f φ)²/v over the usable pixels; NaN without a flux."""
    total = 0.0
    for v in range(stamp.shape[0]):
        for u in range(stamp.shape[1]):
            if not np.isnan(stamp[v, u]):
                noise = scene.variance[y0 + v, x0 + u]
                total += (stamp[v, u] - flux * phi[v, u]) ** 2 / noise
    return total if not np.isnan(flux) else np.nan


@njit(cache=True, nogil=True)
def psf_fluxes(
    scene: Scene,
    rows: Int64,
    images: Float64,
    x0: Int64,
    y0: Int64,
    found: Float64,
    pixels: Int32,
) -> None:
    """PSF flux f = Σ φ I / Σ φ² with variance Σ φ² v / (Σ φ²)², over the usable pixels.

    Pixels are not weighted by their variance, so that an error of φ biases bright and faint
    sources by the same factor.

    Parameters
    ----------
    scene : Scene
    rows : ndarray, shape (n,), int64
        Sources of the scene.
    images : ndarray, shape (n, n_pix, n_pix), float64
        φ, the PSF placed at each source.
    x0, y0 : ndarray, shape (n,), int64
        First column and row of each image.
    found : ndarray, shape (n, 5), float64
        Written to: flux, its variance, chi squared, effective area (Σ φ)²/Σ φ² of all of φ,
        share of Σ φ² on usable pixels.
    pixels : ndarray, shape (n,), int32
        Written to: number of usable pixels.
    """
    _, n_row, n_col = images.shape
    stamp = np.empty((n_row, n_col), np.float64)
    for k in range(rows.size):
        fill_stamp(scene, rows[k], x0[k], y0[k], stamp)
        blank_excluded(scene, x0[k], y0[k], stamp)
        phi = images[k]
        s_i, s_v, used, every, total, count = 0.0, 0.0, 0.0, 0.0, 0.0, 0
        for v in range(n_row):
            for u in range(n_col):
                power = phi[v, u] ** 2
                every += power
                total += phi[v, u]
                if np.isnan(stamp[v, u]):
                    continue
                count += 1
                used += power
                s_i += phi[v, u] * stamp[v, u]
                s_v += power * scene.variance[y0[k] + v, x0[k] + u]
        flux = s_i / used if used > 0 else np.nan
        found[k, 0] = flux
        found[k, 1] = s_v / used**2 if used > 0 else np.nan
        found[k, 2] = _chi2(scene, x0[k], y0[k], stamp, phi, flux)
        found[k, 3] = total**2 / every
        found[k, 4] = used / every
        pixels[k] = count


@njit(cache=True, nogil=True)
def shift_responses(
    scene: Scene, rows: Int64, images: Float64, x0: Int64, y0: Int64, found: Float64
) -> None:
    """Measure how much sources and the PSF answer to a shift of the PSF model.

    The slope of Σ φ I against a shift of I is that of Σ ∂φ/∂x ∂I/∂x = -Σ ∂²φ/∂x² I.

    Parameters
    ----------
    scene : Scene
    rows : ndarray, shape (n,), int64
        Sources of the scene.
    images : ndarray, shape (n, n_pix, n_pix), float64
        φ, the PSF placed at each source.
    x0, y0 : ndarray, shape (n,), int64
        First column and row of each image.
    found : ndarray, shape (n, 2), float64
        Written to: -Σ Δφ I and -Σ Δφ φ over the usable pixels, Δ the Laplace operator.
    """
    _, n_row, n_col = images.shape
    stamp = np.empty((n_row, n_col), np.float64)
    for k in range(rows.size):
        fill_stamp(scene, rows[k], x0[k], y0[k], stamp)
        blank_excluded(scene, x0[k], y0[k], stamp)
        phi = images[k]
        found[k, :] = 0.0
        for v in range(1, n_row - 1):
            for u in range(1, n_col - 1):
                if np.isnan(stamp[v, u]):
                    continue
                around = phi[v - 1, u] + phi[v + 1, u] + phi[v, u - 1] + phi[v, u + 1]
                curvature = 4 * phi[v, u] - around
                found[k, 0] += curvature * stamp[v, u]
                found[k, 1] += curvature * phi[v, u]


@njit(cache=True, nogil=True)
def shift_images(images: Float64, step_x: Float64, step_y: Float64) -> None:
    """Move images by small steps, to first order, in place.

    Parameters
    ----------
    images : ndarray, shape (n, n_row, n_col), float64
    step_x, step_y : ndarray, shape (n,), float64
        Far below a pixel: what is left is of the order step² × second derivative.
    """
    _, n_row, n_col = images.shape
    before = np.empty((n_row, n_col), np.float64)
    for k in range(len(images)):
        before[:] = images[k]
        for v in range(n_row):
            for u in range(n_col):
                images[k, v, u] -= step_x[k] * _slope(before, v, u, 0, 1) + step_y[k] * _slope(
                    before, v, u, 1, 0
                )
