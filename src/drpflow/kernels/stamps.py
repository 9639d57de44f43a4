"""Stamps: the neighbourhood of one source, its neighbours' light replaced by noise.

All kernels that measure sources take a :class:`Scene` and build the stamp of a source from it:
the common image, in which every detected footprint holds noise, with the pixels of that source
put back. In a stamp NaN marks pixels that do not exist, have no value, or lie off the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]


class Scene(NamedTuple):
    """What stamps are made of.

    Attributes
    ----------
    image : ndarray, shape (ny, nx), float32
        Background with noise in place of all sources; NaN where there is no value.
    variance : ndarray, shape (ny, nx), float32
    excluded : ndarray, shape (ny, nx), bool
        Pixels whose value is no measurement (bad, saturated, hit by a cosmic ray).
    span_y, span_x0, span_x1 : ndarray, shape (n_spans,), int32
        Runs of the footprints.
    first_span : ndarray, shape (n + 1,), int64
    values : ndarray, shape (n_pixels,), float32
        Pixels of each source alone, in the order of its runs.
    first_value : ndarray, shape (n + 1,), int64
    """

    image: Float32
    variance: Float32
    excluded: Bool
    span_y: Int32
    span_x0: Int32
    span_x1: Int32
    first_span: Int64
    values: Float32
    first_value: Int64


@njit(cache=True, nogil=True)
def fill_stamp(scene: Scene, row: int, x0: int, y0: int, stamp: Float64) -> None:
    """Write the stamp of a source.

    Parameters
    ----------
    scene : Scene
    row : int
        The source.
    x0, y0 : int
        Column and row of the image that are the first of the stamp; may be negative.
    stamp : ndarray, shape (n_row, n_col), float64
        Written to.
    """
    ny, nx = scene.image.shape
    n_row, n_col = stamp.shape
    left = max(0, -x0)
    right = min(n_col, nx - x0)
    for v in range(n_row):
        y = y0 + v
        if y < 0 or y >= ny or right <= left:
            stamp[v, :] = np.nan
            continue
        stamp[v, :left] = np.nan
        stamp[v, max(right, 0) :] = np.nan
        for u in range(left, right):
            stamp[v, u] = scene.image[y, x0 + u]
    at = scene.first_value[row]
    for s in range(scene.first_span[row], scene.first_span[row + 1]):
        length = scene.span_x1[s] - scene.span_x0[s]
        v = scene.span_y[s] - y0
        if 0 <= v < n_row:
            first = max(0, x0 - scene.span_x0[s])
            last = min(length, x0 + n_col - scene.span_x0[s])
            for i in range(first, last):
                u = scene.span_x0[s] + i - x0
                if not np.isnan(stamp[v, u]):
                    stamp[v, u] = scene.values[at + i]
        at += length


@njit(cache=True, nogil=True)
def mark_spans(span_y: Int32, span_x0: Int32, span_x1: Int32, marked: Bool) -> None:
    """Set an image true in all runs.

    Parameters
    ----------
    span_y, span_x0, span_x1 : ndarray, shape (n_spans,), int32
    marked : ndarray, shape (ny, nx), bool
        Written to.
    """
    for s in range(span_y.size):
        marked[span_y[s], span_x0[s] : span_x1[s]] = True


@njit(cache=True, nogil=True)
def mask_bits(
    mask: Int32,
    scene: Scene,
    x: Float64,
    y: Float64,
    radius: float,
    footprint: Int32,
    center: Int32,
) -> None:
    """OR of the mask over the footprint of each source, and about its centroid.

    Parameters
    ----------
    mask : ndarray, shape (ny, nx), int32
    scene : Scene
    x, y : ndarray, shape (n,), float64
        Centroids.
    radius : float
        Pixels whose centre is as near as this are about the centroid.
    footprint, center : ndarray, shape (n,), int32
        Written to.
    """
    ny, nx = mask.shape
    for k in range(x.size):
        bits = np.int32(0)
        for s in range(scene.first_span[k], scene.first_span[k + 1]):
            for u in range(scene.span_x0[s], scene.span_x1[s]):
                bits |= mask[scene.span_y[s], u]
        footprint[k] = bits
        bits = np.int32(0)
        for v in range(max(0, int(y[k] - radius)), min(ny, int(y[k] + radius) + 2)):
            for u in range(max(0, int(x[k] - radius)), min(nx, int(x[k] + radius) + 2)):
                if (u - x[k]) ** 2 + (v - y[k]) ** 2 <= radius * radius:
                    bits |= mask[v, u]
        center[k] = bits
