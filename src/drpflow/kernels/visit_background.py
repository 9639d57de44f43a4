"""Sums over the cells of a detector, and what the wings of bright stars add to them."""

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


@njit(cache=True, nogil=True)
def cell_means(
    image: Float32, flat: Float32, excluded: Bool, limit: float, cell: int
) -> tuple[Float32, Int32, Float32, Float32]:
    """Return mean, number and mean place of the good pixels of square cells.

    Parameters
    ----------
    image
        Pixels, shape (ny, nx).
    flat
        The same less what is smooth; pixels where it leaves ± `limit` do not count.
    excluded
        Pixels that do not count; their values may be NaN.
    limit
        In the unit of the image.
    cell
        Side of the cells, pixels; those at the upper edges may be incomplete.

    Returns
    -------
    level : float32, shape (my, mx)
        NaN where no pixel counts.
    count : int32, same shape
    x, y : float32, same shape
        Mean place of the pixels that count; the cell's corner where none does.
    """
    ny, nx = image.shape
    my, mx = (ny + cell - 1) // cell, (nx + cell - 1) // cell
    total = np.zeros((my, mx))
    sum_x, sum_y = np.zeros((my, mx)), np.zeros((my, mx))
    count = np.zeros((my, mx), np.int32)
    for v in range(ny):
        j = v // cell
        for u in range(nx):
            if not excluded[v, u] and abs(flat[v, u]) <= limit:
                i = u // cell
                total[j, i] += image[v, u]
                sum_x[j, i] += u
                sum_y[j, i] += v
                count[j, i] += 1
    level = np.full((my, mx), np.nan, np.float32)
    x, y = np.empty((my, mx), np.float32), np.empty((my, mx), np.float32)
    for j in range(my):
        for i in range(mx):
            x[j, i], y[j, i] = i * cell, j * cell
            n = count[j, i]
            if n > 0:
                level[j, i] = total[j, i] / n
                x[j, i], y[j, i] = sum_x[j, i] / n, sum_y[j, i] / n
    return level, count, x, y


@njit(cache=True, nogil=True)
def wing_columns(
    x: Float64, y: Float64, star_x: Float64, star_y: Float64, flux: Float64, region: Int64,
    radii: Float64, n_regions: int,
) -> tuple[Float32, Bool]:  # fmt: skip
    """Return what each node of the wings' profile adds at places, and places within cores.

    The profile of a star of unit flux is c(r) / r², c linear in ln r between nodes, 0 at the last.

    Parameters
    ----------
    x, y
        Places, pixels, shape (n,).
    star_x, star_y, flux, region
        Stars: place, flux, and the region of the focal plane whose profile holds, shape (m,).
    radii
        Nodes, pixels, evenly spaced in their logarithm, shape (k,).
    n_regions
        Number of regions.

    Returns
    -------
    columns : float32, shape (n, n_regions · (k - 1))
        Derivative of the light at each place with respect to c at each node of each region.
    core : bool, shape (n,)
        Places nearer to a star than the first node.
    """
    n_nodes = radii.size - 1
    columns = np.zeros((x.size, n_regions * n_nodes), np.float32)
    core = np.zeros(x.size, np.bool_)
    first, step = np.log(radii[0]), np.log(radii[1] / radii[0])
    inner2, outer2 = radii[0] ** 2, radii[-1] ** 2
    for s in range(star_x.size):
        start = region[s] * n_nodes
        for n in range(x.size):
            r2 = (x[n] - star_x[s]) ** 2 + (y[n] - star_y[s]) ** 2
            if r2 >= outer2:
                continue
            if r2 < inner2:
                core[n] = True
                continue
            place = (0.5 * np.log(r2) - first) / step
            j = min(int(place), n_nodes - 1)
            t = place - j
            columns[n, start + j] += flux[s] / r2 * (1.0 - t)
            if j + 1 < n_nodes:
                columns[n, start + j + 1] += flux[s] / r2 * t
    return columns, core
