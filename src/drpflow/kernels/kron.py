"""Kron fluxes: light within an ellipse whose size is the first moment of the light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from drpflow.kernels.stamps import Scene, fill_stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]

# The slope of the flux against the radius is taken between the radius times and over this.
_STEP = 1.15


@njit(cache=True, nogil=True)
def ellipse_metric(xx: float, yy: float, xy: float) -> tuple[float, float, float]:
    """Return a, b, c of r² = a dx² + b dy² + 2 c dx dy, the circular radius of an ellipse.

    Ellipses of constant r have the shape of the moments M and the area π r²: r² = √det M dᵀM⁻¹d.
    """
    det = xx * yy - xy * xy
    scale = np.sqrt(det) / det
    return yy * scale, xx * scale, -xy * scale


@njit(cache=True, nogil=True)
def first_moment(
    stamp: Float64, x: float, y: float, metric: tuple[float, float, float], reach: float
) -> float:
    """Return Σ r I / Σ I over the pixels whose centres lie within an ellipse; NaN without light.

    Parameters
    ----------
    stamp : ndarray, shape (n_row, n_col), float64
        NaN where there is no value.
    x, y : float
        Centre.
    metric
        Of :func:`ellipse_metric`.
    reach : float
        Largest r.
    """
    a, b, c = metric
    n_row, n_col = stamp.shape
    light, moment = 0.0, 0.0
    half_y, half_x = reach * np.sqrt(a), reach * np.sqrt(b)
    for v in range(max(0, int(np.ceil(y - half_y))), min(n_row, int(y + half_y) + 1)):
        dy = v - y
        for u in range(max(0, int(np.ceil(x - half_x))), min(n_col, int(x + half_x) + 1)):
            dx = u - x
            r2 = a * dx * dx + b * dy * dy + 2 * c * dx * dy
            if r2 <= reach * reach and not np.isnan(stamp[v, u]):
                light += stamp[v, u]
                moment += np.sqrt(r2) * stamp[v, u]
    return moment / light if light > 0 else np.nan


@njit(cache=True, nogil=True)
def _covered(distance: float, slope: float) -> float:
    """Return the part of a pixel inside a border that it meets at right angles or not.

    The border is taken as straight, and smoothed over the width of a pixel along its gradient: an
    ellipse of any size holds a third of a pixel too much.
    """
    return min(max(0.5 + distance / slope, 0.0), 1.0)


@njit(cache=True, nogil=True)
def elliptical_sum(
    scene: Scene,
    stamp: Float64,
    place: tuple[int, int, float, float],
    metric: tuple[float, float, float],
    radius: float,
    out: Float64,
) -> None:
    """Sum within an ellipse.

    Parameters
    ----------
    scene : Scene
        Its variance is used.
    stamp : ndarray, shape (n_row, n_col), float64
        NaN where there is no value.
    place
        Column and row of the image that are the first of the stamp; centre on the stamp.
    metric
        Of :func:`ellipse_metric`.
    radius : float
        r of the border.
    out : ndarray, shape (3,), float64
        Written to: sum, its variance, area without a value.
    """
    x0, y0, x, y = place
    a, b, c = metric
    ny, nx = scene.variance.shape
    n_row, n_col = stamp.shape
    half_y, half_x = radius * np.sqrt(a) + 1, radius * np.sqrt(b) + 1
    out[:] = 0.0
    for v in range(int(np.ceil(y - half_y)), int(np.floor(y + half_y)) + 1):
        dy = v - y
        for u in range(int(np.ceil(x - half_x)), int(np.floor(x + half_x)) + 1):
            dx = u - x
            along_x, along_y = a * dx + c * dy, b * dy + c * dx
            r = np.sqrt(max(along_x * dx + along_y * dy, 1e-12))
            slope = np.sqrt(along_x * along_x + along_y * along_y) / r
            weight = _covered(radius - r, max(slope, 1e-6))
            if weight == 0.0:
                continue
            inside = 0 <= v < n_row and 0 <= u < n_col
            if not inside or np.isnan(stamp[v, u]):
                out[2] += weight
                continue
            out[0] += weight * stamp[v, u]
            if 0 <= y0 + v < ny and 0 <= x0 + u < nx:
                out[1] += weight * weight * scene.variance[y0 + v, x0 + u]


@njit(cache=True, nogil=True)
def _noise_of_radius(
    scene: Scene,
    stamp: Float64,
    place: tuple[int, int, float, float],
    metric: tuple[float, float, float],
    radii: tuple[float, float, float],
    growth: float,
) -> float:
    """Return what noise adds to the variance of the flux by way of the Kron radius.

    Noise n changes the radius by Σ (r - R) n / Σ I, and that the flux by `growth` times as much,
    beside Σ w n of the pixels in the aperture. The two together have the variance
    Σ [w + growth (r - R)/Σ I]² v; what exceeds Σ w² v is returned.

    `radii` are those of the first moment's ellipse, R, and of the aperture.
    """
    x0, y0, x, y = place
    a, b, c = metric
    reach, kron, aperture = radii
    ny, nx = scene.variance.shape
    n_row, n_col = stamp.shape
    light, cross, square = 0.0, 0.0, 0.0
    half_y, half_x = reach * np.sqrt(a), reach * np.sqrt(b)
    for v in range(max(0, int(np.ceil(y - half_y))), min(n_row, int(y + half_y) + 1)):
        for u in range(max(0, int(np.ceil(x - half_x))), min(n_col, int(x + half_x) + 1)):
            dx, dy = u - x, v - y
            r = np.sqrt(a * dx * dx + b * dy * dy + 2 * c * dx * dy)
            inside = 0 <= y0 + v < ny and 0 <= x0 + u < nx
            if r > reach or not inside or np.isnan(stamp[v, u]):
                continue
            noise = scene.variance[y0 + v, x0 + u]
            light += stamp[v, u]
            square += (r - kron) ** 2 * noise
            if r <= aperture:
                cross += (r - kron) * noise
    if not light > 0:
        return 0.0
    return max(2 * growth * cross / light + (growth / light) ** 2 * square, 0.0)


@njit(cache=True, nogil=True)
def kron_fluxes(
    scene: Scene,
    rows: Int64,
    x: Float64,
    y: Float64,
    moments: Float64,
    least: Float64,
    factor: float,
    reach_sigma: float,
    half_size: int,
    found: Float64,
) -> None:
    """Kron radii and fluxes of sources.

    Parameters
    ----------
    scene : Scene
    rows : ndarray, shape (n,), int64
        Sources of the scene.
    x, y : ndarray, shape (n,), float64
        Their centres.
    moments : ndarray, shape (n, 3), float64
        xx, yy, xy: shape and size of the ellipse in which the first moment is taken.
    least : ndarray, shape (n,), float64
        Kron radii are not below these.
    factor : float
        Radius of the aperture over the Kron radius.
    reach_sigma : float
        Radius of the first moment's ellipse over the determinant radius of the moments; no Kron
        radius is above half of it.
    half_size : int
        Of the stamp.
    found : ndarray, shape (n, 5), float64
        Written to: Kron radius, flux, its variance with that of the radius, area without a value,
        1 where the radius is `least` because the light gives none.
    """
    size = 2 * half_size + 1
    stamp = np.empty((size, size), np.float64)
    for k in range(rows.size):
        x0 = int(np.floor(x[k] + 0.5)) - half_size
        y0 = int(np.floor(y[k] + 0.5)) - half_size
        fill_stamp(scene, rows[k], x0, y0, stamp)
        place = (x0, y0, x[k] - x0, y[k] - y0)
        xx, yy, xy = moments[k]
        metric = ellipse_metric(xx, yy, xy)
        longest = np.sqrt(max(metric[0], metric[1]))
        reach = min(reach_sigma * (xx * yy - xy * xy) ** 0.25, half_size / longest)
        _kron_flux(scene, stamp, place, metric, (reach, least[k], factor), found[k])


@njit(cache=True, nogil=True)
def _kron_flux(
    scene: Scene,
    stamp: Float64,
    place: tuple[int, int, float, float],
    metric: tuple[float, float, float],
    limits: tuple[float, float, float],
    found: Float64,
) -> None:
    """Measure one source; `limits` are reach, least radius and factor of :func:`kron_fluxes`."""
    reach, least, factor = limits
    radius = first_moment(stamp, place[2], place[3], metric, reach)
    known = not np.isnan(radius) and 0 < radius <= reach / 2
    kron = max(radius, least) if known else least
    elliptical_sum(scene, stamp, place, metric, factor * kron, found[1:4])
    if known and radius > least:
        larger, smaller = np.empty(3, np.float64), np.empty(3, np.float64)
        elliptical_sum(scene, stamp, place, metric, _STEP * factor * kron, larger)
        elliptical_sum(scene, stamp, place, metric, factor * kron / _STEP, smaller)
        growth = (larger[0] - smaller[0]) / ((_STEP - 1 / _STEP) * kron)
        radii = (reach, kron, factor * kron)
        found[2] += _noise_of_radius(scene, stamp, place, metric, radii, growth)
    found[0] = kron
    found[4] = 0.0 if known else 1.0
