"""Point sources in blends: loops of the deblender over the peaks of all blends of an image.

Label images and stamps are those of :mod:`drpflow.kernels.deblend`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]

# A source may move this far in one linear step, pixels.
MAX_STEP_PIX = 0.5
# A flux that changes by less than this, in its own standard deviations, does not change.
SETTLED_SIGMA = 0.02


@njit(cache=True, nogil=True)
def _gradient(stamp: Float32, i: int, j: int) -> tuple[float, float]:
    """Return how a pixel changes when the source moves right, and when it moves up."""
    n = stamp.shape[0]
    along_x = 0.0
    along_y = 0.0
    if 0 < j < n - 1:
        along_x = 0.5 * (np.float64(stamp[i, j - 1]) - np.float64(stamp[i, j + 1]))
    if 0 < i < n - 1:
        along_y = 0.5 * (np.float64(stamp[i - 1, j]) - np.float64(stamp[i + 1, j]))
    return along_x, along_y


@njit(cache=True, nogil=True)
def add_points(
    image: Float32,
    labels: Int32,
    owner: Int32,
    stamps: Float32,
    x0: Int64,
    y0: Int64,
    coefficients: Float64,
    sign: float,
) -> None:
    """Add point sources to the pixels of their blends.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float32
        Changed in place.
    labels : ndarray, shape (ny, nx), int32
        The blend of each pixel.
    owner : ndarray, shape (K,), int32
        The blend of each source.
    stamps : ndarray, shape (K, n, n), float32
        Images of unit flux.
    x0, y0 : ndarray, shape (K,), int64
        Their first pixels.
    coefficients : ndarray, shape (K, 3), float64
        Flux, and flux times displacement along x and y.
    sign : float
        Factor of everything.
    """
    n = stamps.shape[1]
    ny, nx = image.shape
    for k in range(owner.size):
        f, fx, fy = coefficients[k]
        if f == 0 and fx == 0 and fy == 0:
            continue
        for i in range(max(0, -y0[k]), min(n, ny - y0[k])):
            for j in range(max(0, -x0[k]), min(n, nx - x0[k])):
                y, x = y0[k] + i, x0[k] + j
                if labels[y, x] == owner[k]:
                    gx, gy = _gradient(stamps[k], i, j)
                    value = f * stamps[k, i, j] + fx * gx + fy * gy
                    image[y, x] += np.float32(sign * value)


@njit(cache=True, nogil=True)
def _normal_equations(
    residual: Float32,
    variance: Float32,
    bad: Bool,
    labels: Int32,
    label: int,
    stamp: Float32,
    place: tuple[int, int, float, float],
    coefficient: Float64,
    radius: float,
    matrix: Float64,
    vector: Float64,
) -> int:
    """Fill the normal equations of one source's three coefficients; return the pixels used."""
    x0, y0, xc, yc = place
    n = stamp.shape[0]
    ny, nx = residual.shape
    matrix[:] = 0
    vector[:] = 0
    count = 0
    row = np.empty(3)
    for y in range(max(y0, 0, int(np.ceil(yc - radius))), min(y0 + n, ny, int(yc + radius) + 1)):
        reach = np.sqrt(max(radius * radius - (y - yc) ** 2, 0.0))
        for x in range(max(x0, 0, int(np.ceil(xc - reach))), min(x0 + n, nx, int(xc + reach) + 1)):
            if labels[y, x] != label or bad[y, x]:
                continue
            row[0] = stamp[y - y0, x - x0]
            row[1], row[2] = _gradient(stamp, y - y0, x - x0)
            own = coefficient[0] * row[0] + coefficient[1] * row[1] + coefficient[2] * row[2]
            weight = 1.0 / variance[y, x]
            for a in range(3):
                vector[a] += weight * row[a] * (residual[y, x] + own)
                for b in range(3):
                    matrix[a, b] += weight * row[a] * row[b]
            count += 1
    return count


@njit(cache=True, nogil=True)
def _solve(matrix: Float64, vector: Float64, solution: Float64) -> bool:
    """Solve three symmetric equations by elimination; return whether that was possible.

    numpy's solver takes seconds to compile.
    """
    a, b, c = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    if not a > 0:
        return False
    d = matrix[1, 1] - b * b / a
    e = matrix[1, 2] - b * c / a
    f = matrix[2, 2] - c * c / a
    determinant = d * f - e * e
    if not determinant > 0:
        return False
    u = vector[1] - vector[0] * b / a
    v = vector[2] - vector[0] * c / a
    solution[1] = (f * u - e * v) / determinant
    solution[2] = (d * v - e * u) / determinant
    solution[0] = (vector[0] - b * solution[1] - c * solution[2]) / a
    return True


@njit(cache=True, nogil=True)
def _next_coefficients(matrix: Float64, vector: Float64, move: bool, new: Float64) -> None:
    """Find the flux, not negative, and the displacement if wished, of one source."""
    new[:] = 0
    if not matrix[0, 0] > 0:
        return
    new[0] = max(vector[0] / matrix[0, 0], 0.0)
    if not move or new[0] == 0:
        return
    # A ridge keeps the displacement at 0 where the pixels do not tell it.
    matrix[1, 1] += 1e-3 * matrix[0, 0]
    matrix[2, 2] += 1e-3 * matrix[0, 0]
    free = np.empty(3)
    if _solve(matrix, vector, free) and free[0] > 0:
        limit = MAX_STEP_PIX * free[0]
        new[0] = free[0]
        new[1] = min(max(free[1], -limit), limit)
        new[2] = min(max(free[2], -limit), limit)


@njit(cache=True, nogil=True)
def fit_points(
    residual: Float32,
    variance: Float32,
    bad: Bool,
    labels: Int32,
    owner: Int32,
    stamps: Float32,
    x0: Int64,
    y0: Int64,
    xc: Float64,
    yc: Float64,
    coefficients: Float64,
    radius: float,
    sweeps: int,
    move: bool,
) -> None:
    """Fit point sources jointly, by sweeps over them, each fitted beside all the others.

    Gauss-Seidel steps of the weighted least squares of Σ_k (f_k φ_k + f_k dx_k ∂φ_k/∂x +
    f_k dy_k ∂φ_k/∂y); fluxes are not negative.

    Parameters
    ----------
    residual : ndarray, shape (ny, nx), float32
        Image less all sources; updated.
    variance, bad : ndarray, shape (ny, nx), float32 and bool
        Weights are 1/variance, none where bad.
    labels, owner, stamps, x0, y0
        See :func:`add_points`.
    xc, yc : ndarray, shape (K,), float64
        Centres of the sources.
    coefficients : ndarray, shape (K, 3), float64
        Updated.
    radius : float
        Pixels within this distance from a centre tell its coefficients.
    sweeps : int
        How often all are visited.
    move : bool
        Whether the displacements are fitted, too.
    """
    matrix, vector, new = np.empty((3, 3)), np.empty(3), np.empty(3)
    for _ in range(sweeps):
        for k in range(owner.size):
            place = (x0[k], y0[k], xc[k], yc[k])
            old = coefficients[k].copy()
            count = _normal_equations(
                residual, variance, bad, labels, owner[k], stamps[k], place, old, radius,
                matrix, vector,
            )  # fmt: skip
            _next_coefficients(matrix, vector, move and count > 5, new)
            # What has settled is left alone: to change it costs more than to find that out.
            if np.abs(new - old).max() ** 2 * matrix[0, 0] < SETTLED_SIGMA**2:
                continue
            coefficients[k] = new
            add_points(
                residual, labels, owner[k : k + 1], stamps[k : k + 1], x0[k : k + 1],
                y0[k : k + 1], (new - old).reshape(1, 3), -1.0,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def point_chi2(
    residual: Float32,
    image: Float32,
    variance: Float32,
    bad: Bool,
    labels: Int32,
    owner: Int32,
    xc: Float64,
    yc: Float64,
    radius: float,
    tolerance: float,
    chi2: Float64,
    good: Float64,
) -> None:
    """Judge the fit in the core of each source.

    χ² = Σ residual²/(variance + (tolerance × model)²) over the pixels within the radius.

    Parameters
    ----------
    residual, image, variance, bad, labels, owner, xc, yc
        See :func:`fit_points`; `image` is what was fitted.
    radius, tolerance : float
        Radius of the core, pixels; error of the model relative to itself.
    chi2, good : ndarray, shape (K,), float64
        Written to: χ² per pixel, and the part of the core's pixels that is usable.
    """
    ny, nx = residual.shape
    for k in range(owner.size):
        total = 0.0
        used = 0
        pixels = 0
        for y in range(int(np.ceil(yc[k] - radius)), int(yc[k] + radius) + 1):
            for x in range(int(np.ceil(xc[k] - radius)), int(xc[k] + radius) + 1):
                if (x - xc[k]) ** 2 + (y - yc[k]) ** 2 > radius * radius:
                    continue
                pixels += 1
                if not (0 <= y < ny and 0 <= x < nx) or bad[y, x] or labels[y, x] != owner[k]:
                    continue
                model = np.float64(image[y, x]) - np.float64(residual[y, x])
                noise = variance[y, x] + (tolerance * model) ** 2
                total += np.float64(residual[y, x]) ** 2 / noise
                used += 1
        chi2[k] = total / used if used else np.inf
        good[k] = used / pixels if pixels else 0.0


@njit(cache=True, nogil=True)
def _add_template(
    image: Float32,
    labels: Int32,
    label: int,
    values: Float32,
    first: int,
    box: Int64,
    factor: float,
) -> None:
    """Add a template times a factor to the pixels of its blend."""
    ny, nx = image.shape
    x0, x1, y0, y1 = box
    scale = np.float32(factor)
    for y in range(max(y0, 0), min(y1, ny)):
        at = first + (y - y0) * (x1 - x0) - x0
        for x in range(max(x0, 0), min(x1, nx)):
            if labels[y, x] == label:
                image[y, x] += scale * values[at + x]


@njit(cache=True, nogil=True)
def retry_points(
    residual: Float32, image: Float32, variance: Float32, bad: Bool, labels: Int32,
    candidates: Int64, owner: Int32, values: Float32, first: Int64, boxes: Int64,
    weights: Float64, stamps: Float32, x0: Int64, y0: Int64, xc: Float64, yc: Float64,
    coefficients: Float64, least_flux: Float64, radii: Float64, limits: Float64, accepted: Bool,
) -> None:  # fmt: skip
    """Fit sources, one at a time, as point sources in the place of their templates.

    Parameters
    ----------
    residual : ndarray, shape (ny, nx), float32
        Image less all weighted templates; where a point is accepted it replaces the template.
    image, variance, bad, labels, owner, values, first, boxes, weights
        See :func:`fit_points` and :func:`drpflow.kernels.deblend.fit_weights`; `image` is what
        was fitted, arrays of sources hold all K.
    candidates : ndarray, shape (N,), int64
        Which sources.
    stamps, x0, y0, xc, yc, coefficients
        See :func:`fit_points`; of the N candidates. The coefficients are written to.
    least_flux : ndarray, shape (N,), float64
        Fainter ones are not accepted; infinite for fluxes and displacements alone.
    radii, limits : ndarray, shape (2,), float64
        Radii of the fit and of the core, pixels; tolerance of the model, largest χ² per pixel.
    accepted : ndarray, shape (N,), bool
        Written to.
    """
    chi2, usable = np.empty(1), np.empty(1)
    for i in range(candidates.size):
        k = candidates[i]
        own = slice(i, i + 1)
        move = least_flux[i] == np.inf
        template = (values, first[k], boxes[k])
        _add_template(residual, labels, owner[k], *template, weights[k])
        fit_points(
            residual, variance, bad, labels, owner[k : k + 1], stamps[own], x0[own], y0[own],
            xc[own], yc[own], coefficients[own], radii[0], 2, move,
        )  # fmt: skip
        if coefficients[i, 0] > least_flux[i]:
            point_chi2(
                residual, image, variance, bad, labels, owner[k : k + 1], xc[own], yc[own],
                radii[1], limits[0], chi2, usable,
            )  # fmt: skip
            accepted[i] = chi2[0] <= limits[1]
        if not accepted[i]:
            add_points(
                residual, labels, owner[k : k + 1], stamps[own], x0[own], y0[own],
                coefficients[own], 1.0,
            )  # fmt: skip
            _add_template(residual, labels, owner[k], *template, -weights[k])
