"""Fluxes without a model: exact-overlap apertures, compensated Gaussians, local background."""

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

# Half the diagonal of a pixel.
_DIAGONAL = 0.7071067811865476


@njit(cache=True, nogil=True)
def _asin_small(t: float) -> float:
    """Return asin(t), below 0.35 by its series (error 1e-8), which is four times faster."""
    if abs(t) > 0.35:
        return np.arcsin(t)
    t2 = t * t
    return t * (
        1 + t2 * (1 / 6 + t2 * (3 / 40 + t2 * (15 / 336 + t2 * (105 / 3456 + t2 * 0.0224))))
    )


@njit(cache=True, nogil=True)
def _quadrant_overlap(x0: float, x1: float, y0: float, y1: float, r: float) -> float:
    """Area of the circle about the origin inside a rectangle of the first quadrant.

    ∫ clip(√(r² - x²) - y0, 0, y1 - y0) dx, where the integral of √(r² - x²) between two abscissae
    is a trapezium to their arc and the sector between them.
    """
    r2 = r * r
    full = np.sqrt(r2 - y1 * y1) if r > y1 else 0.0
    some = np.sqrt(r2 - y0 * y0) if r > y0 else 0.0
    lo = min(max(full, x0), x1)
    hi = min(max(some, x0), x1)
    area = (lo - x0) * (y1 - y0)
    if hi > lo:
        top_lo = np.sqrt(max(r2 - lo * lo, 0.0))
        top_hi = np.sqrt(max(r2 - hi * hi, 0.0))
        angle = _asin_small((hi * top_lo - lo * top_hi) / r2)
        area += 0.5 * (hi * top_hi - lo * top_lo + r2 * angle) - y0 * (hi - lo)
    return area


@njit(cache=True, nogil=True)
def circle_overlap(dx: float, dy: float, r: float) -> float:
    """Area of a unit pixel that a circle covers.

    Parameters
    ----------
    dx, dy : float
        Centre of the pixel relative to that of the circle.
    r : float
        Radius of the circle.
    """
    dx, dy = abs(dx), abs(dy)
    x0, x1, y0, y1 = dx - 0.5, dx + 0.5, dy - 0.5, dy + 0.5
    area = _quadrant_overlap(max(x0, 0.0), x1, max(y0, 0.0), y1, r)
    # A pixel across an axis has a second part, which is mirrored into the first quadrant.
    if x0 < 0:
        area += _quadrant_overlap(0.0, -x0, max(y0, 0.0), y1, r)
    if y0 < 0:
        area += _quadrant_overlap(max(x0, 0.0), x1, 0.0, -y0, r)
    if x0 < 0 and y0 < 0:
        area += _quadrant_overlap(0.0, -x0, 0.0, -y0, r)
    return area


@njit(cache=True, nogil=True)
def _first_holding(radii: Float64, guess: int, distance: float) -> int:
    """Return which is the first radius of at least `distance`, searching from a guess."""
    while guess > 0 and radii[guess - 1] >= distance:
        guess -= 1
    while guess < radii.size and radii[guess] < distance:
        guess += 1
    return guess


@njit(cache=True, nogil=True)
def nested_apertures(
    stamp: Float64,
    variance: Float64,
    x: float,
    y: float,
    radii: Float64,
    out: Float64,
) -> None:
    """Sum within circles of rising radii about one centre, with exact overlaps.

    Parameters
    ----------
    stamp, variance : ndarray, shape (n_row, n_col), float64
        NaN in `stamp` where there is no value.
    x, y : float
        Centre.
    radii : ndarray, shape (m,), float64
        Rising, at least 1.
    out : ndarray, shape (3, m), float64
        Written to: sum of values, of variances times overlap squared, area without a value.

    Notes
    -----
    One pass serves all radii. A pixel off the rims costs one addition, since sums over rings are
    accumulated at the end; one on a rim costs four roots.
    """
    m = radii.size
    n_row, n_col = stamp.shape
    out[:] = 0.0
    rim = np.zeros((3, m), np.float64)
    largest = radii[m - 1] + _DIAGONAL
    for v in range(int(np.floor(y - largest)), int(np.ceil(y + largest)) + 1):
        dy = v - y
        if largest * largest <= dy * dy:
            continue
        half = np.sqrt(largest * largest - dy * dy)
        ring = m
        for u in range(int(np.ceil(x - half)), int(np.floor(x + half)) + 1):
            dx = u - x
            distance = np.sqrt(dx * dx + dy * dy)
            # The first circle that holds the whole pixel; it changes little along a row.
            ring = _first_holding(radii, ring, distance + _DIAGONAL)
            known = 0 <= v < n_row and 0 <= u < n_col and not np.isnan(stamp[v, u])
            value = stamp[v, u] if known else 0.0
            noise = variance[v, u] if known else 0.0
            if ring < m:
                out[0, ring] += value
                out[1, ring] += noise
                out[2, ring] += 0.0 if known else 1.0
            cut = ring - 1
            while cut >= 0 and radii[cut] > distance - _DIAGONAL:
                overlap = circle_overlap(dx, dy, radii[cut])
                rim[0, cut] += overlap * value
                rim[1, cut] += overlap * overlap * noise
                rim[2, cut] += 0.0 if known else overlap
                cut -= 1
    for k in range(1, m):
        out[:, k] += out[:, k - 1]
    out += rim


@njit(cache=True, nogil=True)
def fill_variance(scene: Scene, x0: int, y0: int, stamp: Float64) -> None:
    """Write the variances of a stamp, 0 off the image."""
    ny, nx = scene.variance.shape
    n_row, n_col = stamp.shape
    for v in range(n_row):
        for u in range(n_col):
            inside = 0 <= y0 + v < ny and 0 <= x0 + u < nx
            stamp[v, u] = scene.variance[y0 + v, x0 + u] if inside else 0.0


@njit(cache=True, nogil=True)
def compensated_gaussian(
    stamp: Float64, variance: Float64, x: float, y: float, sigma: float, ratio: float, reach: float
) -> tuple[float, float, bool]:
    """Flux through g(σ) - g(tσ)/t² with g of unit peak: blind to a constant background.

    f = Σ W I · 2 (t² + 1)/(t² - 1), right for a Gaussian source of the same σ. The wide part is
    scaled such that the sum of W over the pixels is zero exactly, whatever is cut off.

    Parameters
    ----------
    stamp, variance : ndarray, shape (n_row, n_col), float64
    x, y : float
        Centre.
    sigma, ratio : float
        σ and t.
    reach : float
        Half width of the square that is used, pixels.

    Returns
    -------
    flux, variance : float
    complete : bool
        Whether every pixel has a value.

    Notes
    -----
    Both Gaussians are products of one factor a row and one a column: two products a pixel.
    """
    n_row, n_col = stamp.shape
    first_u, last_u = int(np.ceil(x - reach)), int(np.floor(x + reach))
    first_v, last_v = int(np.ceil(y - reach)), int(np.floor(y + reach))
    complete = first_u >= 0 and first_v >= 0 and last_u < n_col and last_v < n_row
    n_u, n_v = last_u - first_u + 1, last_v - first_v + 1
    factors = np.empty((4, max(n_u, n_v)), np.float64)
    wide = ratio * sigma
    for i in range(n_u):
        d2 = (first_u + i - x) ** 2
        factors[0, i] = np.exp(-0.5 * d2 / sigma**2)
        factors[1, i] = np.exp(-0.5 * d2 / wide**2)
    for i in range(n_v):
        d2 = (first_v + i - y) ** 2
        factors[2, i] = np.exp(-0.5 * d2 / sigma**2)
        factors[3, i] = np.exp(-0.5 * d2 / wide**2)
    scale = factors[0, :n_u].sum() * factors[2, :n_v].sum()
    scale /= factors[1, :n_u].sum() * factors[3, :n_v].sum()
    flux, spread = 0.0, 0.0
    for v in range(max(first_v, 0), min(last_v + 1, n_row)):
        narrow_y, wide_y = factors[2, v - first_v], scale * factors[3, v - first_v]
        for u in range(max(first_u, 0), min(last_u + 1, n_col)):
            value = stamp[v, u]
            if np.isnan(value):
                complete = False
                continue
            w = narrow_y * factors[0, u - first_u] - wide_y * factors[1, u - first_u]
            flux += w * value
            spread += w * w * variance[v, u]
    norm = 2 * (ratio * ratio + 1) / (ratio * ratio - 1)
    return norm * flux, norm * norm * spread, complete


@njit(cache=True, nogil=True)
def measure_fluxes(
    scene: Scene,
    rows: Int64,
    x: Float64,
    y: Float64,
    radii: Float64,
    gaussians: Float64,
    apertures: Float64,
    compensated: Float64,
) -> None:
    """Apertures and compensated Gaussian fluxes of sources.

    Parameters
    ----------
    scene : Scene
    rows : ndarray, shape (n,), int64
        Sources of the scene.
    x, y : ndarray, shape (n,), float64
        Their centres.
    radii : ndarray, shape (m,), float64
        Rising, pixels.
    gaussians : ndarray, shape (g, 3), float64
        σ, t and reach of each filter, pixels.
    apertures : ndarray, shape (n, 3, m), float64
        Written to: sums, their variances, areas without a value.
    compensated : ndarray, shape (n, 3, g), float64
        Written to: fluxes, their variances, 1 where a pixel has no value.
    """
    half = int(np.ceil(radii[-1])) + 1
    for g in range(len(gaussians)):
        half = max(half, int(np.ceil(gaussians[g, 2])) + 1)
    stamp = np.empty((2 * half + 1, 2 * half + 1), np.float64)
    variance = np.empty((2 * half + 1, 2 * half + 1), np.float64)
    for k in range(rows.size):
        x0 = int(np.floor(x[k] + 0.5)) - half
        y0 = int(np.floor(y[k] + 0.5)) - half
        fill_stamp(scene, rows[k], x0, y0, stamp)
        fill_variance(scene, x0, y0, variance)
        nested_apertures(stamp, variance, x[k] - x0, y[k] - y0, radii, apertures[k])
        for g in range(len(gaussians)):
            sigma, ratio, reach = gaussians[g]
            flux, spread, complete = compensated_gaussian(
                stamp, variance, x[k] - x0, y[k] - y0, sigma, ratio, reach
            )
            compensated[k, 0, g] = flux
            compensated[k, 1, g] = spread
            compensated[k, 2, g] = 0.0 if complete else 1.0


@njit(cache=True, nogil=True)
def local_backgrounds(
    image: Float32,
    blocked: Bool,
    x: Float64,
    y: Float64,
    inner: float,
    outer: float,
    clip: float,
    found: Float64,
) -> None:
    """Clipped mean of the unblocked pixels of a ring about each source.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float32
    blocked : ndarray, shape (ny, nx), bool
        Pixels that belong to sources or have no value.
    x, y : ndarray, shape (n,), float64
        Centres.
    inner, outer : float
        Radii, pixels.
    clip : float
        Pixels further than this times the spread (1.4826 × median absolute deviation) from the
        median are left out.
    found : ndarray, shape (n, 3), float64
        Written to: level, its standard deviation, pixels used.
    """
    ny, nx = image.shape
    size = 2 * int(np.ceil(outer)) + 1
    values = np.empty(size * size, np.float64)
    for k in range(x.size):
        n = 0
        for v in range(max(0, int(np.ceil(y[k] - outer))), min(ny, int(y[k] + outer) + 1)):
            for u in range(max(0, int(np.ceil(x[k] - outer))), min(nx, int(x[k] + outer) + 1)):
                d2 = (u - x[k]) ** 2 + (v - y[k]) ** 2
                if inner * inner <= d2 <= outer * outer and not blocked[v, u]:
                    values[n] = image[v, u]
                    n += 1
        found[k, 0] = found[k, 1] = np.nan
        found[k, 2] = 0.0
        if n == 0:
            continue
        center = np.median(values[:n])
        limit = clip * 1.4826 * np.median(np.abs(values[:n] - center))
        total, squares, used = 0.0, 0.0, 0
        for i in range(n):
            d = values[i] - center
            if abs(d) <= limit:
                total += d
                squares += d * d
                used += 1
        mean = total / used
        found[k, 0] = center + mean
        found[k, 2] = used
        if used > 1:
            found[k, 1] = np.sqrt(max(squares - total * mean, 0.0) / (used - 1) / used)
