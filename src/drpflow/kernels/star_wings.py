"""Light in the wings of stars: star by star where it is bright, from one mesh where it is not.

The light L(r) = f c(r) / r² of a star is split at a radius R of its own. The tail T is L beyond R
and, within, the parabola in (r/R)² that has value, slope and curvature of L there, so that it is
smooth on the scale of R everywhere; tails of all stars are summed at the nodes of a mesh and
interpolated. L - T is 0 beyond R and summed pixel by pixel. (Sums over point charges are split in
the same way: Hockney & Eastwood 1988, Computer Simulation Using Particles, chapter 8.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]

INNER_RAMP = 0.75
"""Wings rise from nothing between this share of their inner radius and that radius."""


@njit(cache=True, nogil=True, inline="always")
def _profile(r: float, nodes: Float64, first: float, step: float) -> tuple[float, float]:
    """Return c and dc/d ln r at a distance, the first value going on within the first node."""
    place = (np.log(r) - first) / step
    if place <= 0.0:
        return nodes[0], 0.0
    j = min(int(place), nodes.size - 2)
    t = place - j
    return nodes[j] * (1.0 - t) + nodes[j + 1] * t, (nodes[j + 1] - nodes[j]) / step


@njit(cache=True, nogil=True, inline="always")
def _parabola(
    reach: float, flux: float, nodes: Float64, first: float, step: float
) -> tuple[float, float, float]:
    """Return value, slope and half the curvature of L in s = (r/R)² at s = 1.

    With c = c₀ + c₁ ln(r/R) = c₀ + ½ c₁ ln s and L = f c / (R² s).
    """
    c0, c1 = _profile(reach, nodes, first, step)
    unit = flux / (reach * reach)
    return unit * c0, unit * (0.5 * c1 - c0), unit * (c0 - 0.75 * c1)


@njit(cache=True, nogil=True)
def add_near_wings(
    out: Float64, x: Float64, y: Float64, star_x: Float64, star_y: Float64, flux: Float64,
    region: Int64, radii: Float64, profile: Float64, reach: Float64,
) -> None:  # fmt: skip
    """Add what the tails of stars lack of their wings, on a grid of columns and rows.

    Parameters
    ----------
    out
        Added to, shape (ny, nx).
    x, y
        Columns and rows, ascending, shapes (nx,) and (ny,).
    star_x, star_y, flux, region
        Stars: place, flux, and row of `profile`, shape (m,).
    radii
        Nodes of the profile, pixels, evenly spaced in their logarithm, shape (k,).
    profile
        c at the nodes of each region, shape (n_regions, k); 0 at the last.
    reach
        R of each star, shape (m,); stars with R at the last node have no tail.
    """
    first, step = np.log(radii[0]), np.log(radii[1] / radii[0])
    start, inner = INNER_RAMP * radii[0], radii[0]
    for s in range(star_x.size):
        nodes, far = profile[region[s]], reach[s]
        level, slope, bend = 0.0, 0.0, 0.0
        if far < radii[-1]:
            level, slope, bend = _parabola(far, flux[s], nodes, first, step)
        for v in range(np.searchsorted(y, star_y[s] - far), y.size):
            dy = y[v] - star_y[s]
            if dy > far:
                break
            for u in range(np.searchsorted(x, star_x[s] - far), x.size):
                dx = x[u] - star_x[s]
                if dx > far:
                    break
                r2 = dx * dx + dy * dy
                if r2 >= far * far:
                    continue
                q = r2 / (far * far) - 1.0
                out[v, u] -= level + q * (slope + q * bend)
                r = np.sqrt(r2)
                if r > start:
                    light = flux[s] / r2 * _profile(r, nodes, first, step)[0]
                    if r < inner:
                        light *= (r - start) / (inner - start)
                    out[v, u] += light


@njit(cache=True, nogil=True)
def wing_tails(
    x: Float64, y: Float64, star_x: Float64, star_y: Float64, flux: Float64, region: Int64,
    radii: Float64, profile: Float64, reach: Float64,
) -> Float64:  # fmt: skip
    """Return the sum of the tails of stars at columns x and rows y, shape (ny, nx).

    Parameters as of :func:`add_near_wings`.
    """
    out = np.zeros((y.size, x.size))
    first, step = np.log(radii[0]), np.log(radii[1] / radii[0])
    end = radii[-1]
    for s in range(star_x.size):
        nodes, far = profile[region[s]], reach[s]
        if far >= end:
            continue
        level, slope, bend = _parabola(far, flux[s], nodes, first, step)
        for v in range(np.searchsorted(y, star_y[s] - end), y.size):
            dy = y[v] - star_y[s]
            if dy > end:
                break
            for u in range(np.searchsorted(x, star_x[s] - end), x.size):
                dx = x[u] - star_x[s]
                if dx > end:
                    break
                r2 = dx * dx + dy * dy
                if r2 < far * far:
                    q = r2 / (far * far) - 1.0
                    out[v, u] += level + q * (slope + q * bend)
                elif r2 < end * end:
                    out[v, u] += flux[s] / r2 * _profile(np.sqrt(r2), nodes, first, step)[0]
    return out


@njit(cache=True, nogil=True)
def add_interpolated(
    out: Float64, x: Float64, y: Float64, values: Float64, x0: int, y0: int, spacing: float
) -> None:
    """Add a mesh, interpolated by the cubics through four nodes in each direction.

    Parameters
    ----------
    out
        Added to, shape (ny, nx).
    x, y
        Columns and rows, shapes (nx,) and (ny,).
    values
        The mesh, shape (my, mx); its nodes lie at whole multiples of the spacing, and at least
        one on the far side of those that bracket a place.
    x0, y0
        Multiples at which the first column and row of nodes lie.
    spacing
        Distance of nodes, pixels.
    """
    left, weights = np.empty(x.size, np.int64), np.empty((x.size, 4))
    for u in range(x.size):
        left[u] = _cubic(x[u] / spacing, weights[u]) - x0
    row, across = np.empty(values.shape[1]), np.empty(4)
    for v in range(y.size):
        top = _cubic(y[v] / spacing, across) - y0
        for i in range(row.size):
            row[i] = 0.0
            for k in range(4):
                row[i] += across[k] * values[top + k, i]
        for u in range(x.size):
            i = left[u]
            out[v, u] += (
                weights[u, 0] * row[i]
                + weights[u, 1] * row[i + 1]
                + weights[u, 2] * row[i + 2]
                + weights[u, 3] * row[i + 3]
            )


@njit(cache=True, nogil=True)
def _cubic(place: float, weights: Float64) -> int:
    """Set the weights of four nodes (Lagrange's cubic); return the number of the first one."""
    base = int(np.floor(place))
    t = place - base
    weights[0] = -t * (t - 1.0) * (t - 2.0) / 6.0
    weights[1] = (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0
    weights[2] = -(t + 1.0) * t * (t - 2.0) / 2.0
    weights[3] = (t + 1.0) * t * (t - 1.0) / 6.0
    return base - 1
