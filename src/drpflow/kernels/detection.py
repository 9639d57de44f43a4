"""Detection: the matched filter, runs of pixels above a level, and the peaks among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from drpflow.kernels.disjoint_sets import find_root, join_sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]


@njit(cache=True, nogil=True)
def matched_filter(
    image: Float32, variance: Float32, bad: Bool, taps: Float32, out: Float32
) -> None:
    """Write the signal-to-noise ratio of a point source at each pixel.

    With the kernel k(i, j) = t(i) t(j) and g = 1 at good pixels, 0 at bad ones,

        out = Σ k g I / √(Σ k² g V),

    the least-squares flux over its error where the noise is white. One pass over the frame: the
    rows that the kernel reaches are held in a ring and summed along columns first, so that
    every inner loop runs along a row; nothing of the size of the frame is made.

    Parameters
    ----------
    image, variance
        Pixels and their variance, float32, shape (ny, nx).
    bad
        Pixels that do not count; their values may be NaN.
    taps
        Kernel along one axis, float32, shape (2 r + 1,).
    out
        Filled: shape (ny, nx); 0 where the kernel meets no good pixel.
    """
    ny, nx = image.shape
    size = taps.size
    reach = size // 2
    squares = taps * taps
    signal = np.zeros((size, nx), np.float32)
    noise = np.zeros((size, nx), np.float32)
    # Zeros to the left and right save the test for the end of the row.
    column_signal = np.zeros(nx + 2 * reach, np.float32)
    column_noise = np.zeros(nx + 2 * reach, np.float32)
    row_noise = np.zeros(nx, np.float32)
    for y in range(-reach, ny):
        _load_row(image, variance, bad, y + reach, signal, noise)
        if y < 0:
            continue
        column_signal[reach : reach + nx] = 0.0
        column_noise[reach : reach + nx] = 0.0
        for i in range(size):
            slot = (y - reach + i) % size
            t, u = taps[i], squares[i]
            for x in range(nx):
                column_signal[reach + x] += t * signal[slot, x]
                column_noise[reach + x] += u * noise[slot, x]
        row = out[y]
        row[:] = 0.0
        row_noise[:] = 0.0
        for i in range(size):
            t, u = taps[i], squares[i]
            for x in range(nx):
                row[x] += t * column_signal[x + i]
                row_noise[x] += u * column_noise[x + i]
        for x in range(nx):
            row[x] = row[x] / np.sqrt(row_noise[x]) if row_noise[x] > 0.0 else np.float32(0.0)


@njit(cache=True, nogil=True)
def _load_row(
    image: Float32, variance: Float32, bad: Bool, y: int, signal: Float32, noise: Float32
) -> None:
    """Put a row into its place in the ring; zeros for bad pixels and beyond the frame."""
    slot = y % signal.shape[0]
    if y >= image.shape[0]:
        signal[slot] = 0.0
        noise[slot] = 0.0
        return
    for x in range(image.shape[1]):
        signal[slot, x] = np.float32(0.0) if bad[y, x] else image[y, x]
        noise[slot, x] = np.float32(0.0) if bad[y, x] else variance[y, x]


@njit(cache=True, nogil=True)
def bin_means(plane: Float32, bad: Bool, step: int) -> Float32:
    """Return means over the good pixels of square bins; NaN where a bin has none.

    Bins at the upper edges may be incomplete.
    """
    ny, nx = plane.shape
    my, mx = (ny + step - 1) // step, (nx + step - 1) // step
    total = np.zeros((my, mx), np.float32)
    count = np.zeros((my, mx), np.float32)
    for y in range(ny):
        j = y // step
        for x in range(nx):
            if not bad[y, x]:
                total[j, x // step] += plane[y, x]
                count[j, x // step] += np.float32(1.0)
    for j in range(my):
        for i in range(mx):
            total[j, i] = total[j, i] / count[j, i] if count[j, i] > 0.0 else np.float32(np.nan)
    return total


@njit(cache=True, nogil=True)
def local_medians(values: Float32, reach: int) -> Float32:
    """Return medians in square windows, of what is not NaN; NaN where there is nothing.

    Parameters
    ----------
    values
        Shape (my, mx).
    reach
        Windows have 2 reach + 1 values a side, fewer at the edges.
    """
    my, mx = values.shape
    result = np.full((my, mx), np.nan, np.float32)
    window = np.empty((2 * reach + 1) ** 2, np.float32)
    for j in range(my):
        for i in range(mx):
            n = 0
            for v in range(max(0, j - reach), min(my, j + reach + 1)):
                for u in range(max(0, i - reach), min(mx, i + reach + 1)):
                    if not np.isnan(values[v, u]):
                        window[n] = values[v, u]
                        n += 1
            if n > 0:
                result[j, i] = np.median(window[:n])
    return result


@njit(cache=True, nogil=True)
def spread_bins(bins: Float32, step: int, out: Float32) -> None:
    """Fill a plane by bilinear interpolation between the centres of bins; constant beyond them.

    Parameters
    ----------
    bins
        Values of square bins, shape (my, mx).
    step
        Side of the bins, pixels.
    out
        Filled, shape (ny, nx).
    """
    ny, nx = out.shape
    my, mx = bins.shape
    line = np.empty(mx, np.float32)
    for y in range(ny):
        v = min(max((y + 0.5) / step - 0.5, 0.0), my - 1.0)
        j = min(int(v), max(my - 2, 0))
        below, upper = np.float32(v - j), min(j + 1, my - 1)
        for i in range(mx):
            line[i] = bins[j, i] + below * (bins[upper, i] - bins[j, i])
        for x in range(nx):
            u = min(max((x + 0.5) / step - 0.5, 0.0), mx - 1.0)
            i = min(int(u), max(mx - 2, 0))
            out[y, x] = line[i] + np.float32(u - i) * (line[min(i + 1, mx - 1)] - line[i])


@njit(cache=True, nogil=True)
def variance_ratios(
    above: Float32, below: Float32, bad: Bool, taps: Float32, y: Int32, x: Int32
) -> Float32:
    """Return Σ k² g A / Σ k² g B about pixels; k and g as in :func:`matched_filter`.

    Parameters
    ----------
    above, below
        The planes A and B, shape (ny, nx).
    bad
        Pixels that do not count.
    taps
        Kernel along one axis.
    y, x
        The pixels.

    Returns
    -------
    ndarray, float32, shape (n,)
        1 where the kernel meets no good pixel.
    """
    ny, nx = bad.shape
    reach = taps.size // 2
    ratios = np.ones(y.size, np.float32)
    for k in range(y.size):
        upper, lower = 0.0, 0.0
        for v in range(max(0, y[k] - reach), min(ny, y[k] + reach + 1)):
            row = taps[v - y[k] + reach] ** 2
            for u in range(max(0, x[k] - reach), min(nx, x[k] + reach + 1)):
                if not bad[v, u]:
                    square = row * taps[u - x[k] + reach] ** 2
                    upper += square * above[v, u]
                    lower += square * below[v, u]
        if lower > 0.0:
            ratios[k] = upper / lower
    return ratios


@njit(cache=True, nogil=True)
def ring_medians(
    values: Float32, blocked: Bool, y: Int32, x: Int32, inner: float, outer: float, least: float
) -> Float32:
    """Return medians in rings about pixels, every second pixel along both axes.

    Parameters
    ----------
    values
        Image, shape (ny, nx), smooth on two pixels.
    blocked
        Pixels that do not count.
    y, x
        Centres.
    inner, outer
        Radii, pixels.
    least
        Share of the ring that has to count.

    Returns
    -------
    ndarray, float32, shape (n,)
        0 where less of the ring counts.
    """
    ny, nx = values.shape
    reach = int(outer) // 2
    offsets = np.empty(((2 * reach + 1) ** 2, 2), np.int64)
    size = 0
    for j in range(-reach, reach + 1):
        for i in range(-reach, reach + 1):
            if inner**2 <= 4 * (j * j + i * i) <= outer**2:
                offsets[size, 0], offsets[size, 1] = 2 * j, 2 * i
                size += 1
    window = np.empty(size, np.float32)
    medians = np.zeros(y.size, np.float32)
    for k in range(y.size):
        n = 0
        for m in range(size):
            v, u = y[k] + offsets[m, 0], x[k] + offsets[m, 1]
            if 0 <= v < ny and 0 <= u < nx and not blocked[v, u]:
                window[n] = values[v, u]
                n += 1
        if n > 0 and n >= least * size:
            medians[k] = np.median(window[:n])
    return medians


@njit(cache=True, nogil=True)
def find_spans(where: Bool) -> tuple[Int32, Int32, Int32]:
    """Return row, first column and end of each run of pixels that are set, in raster order."""
    ny, nx = where.shape
    count = 0
    for y in range(ny):
        before = False
        for x in range(nx):
            count += where[y, x] and not before
            before = where[y, x]
    rows = np.empty(count, np.int32)
    starts = np.empty(count, np.int32)
    ends = np.empty(count, np.int32)
    k = 0
    for y in range(ny):
        before = False
        for x in range(nx):
            here = where[y, x]
            if here and not before:
                rows[k] = y
                starts[k] = x
                k += 1
            if before and not here:
                ends[k - 1] = x
            before = here
        if before:
            ends[k - 1] = nx
    return rows, starts, ends


@njit(cache=True, nogil=True)
def connect_spans(rows: Int32, starts: Int32, ends: Int32) -> tuple[Int64, int]:
    """Join runs that touch (also at corners) into groups.

    Parameters
    ----------
    rows, starts, ends
        Runs in raster order.

    Returns
    -------
    group : int64, shape (n_spans,)
        0 … n - 1, numbered by their first runs.
    n : int
    """
    n = rows.size
    parent = np.arange(n)
    above = 0
    for k in range(n):
        while above < k and (
            rows[above] < rows[k] - 1 or (rows[above] == rows[k] - 1 and ends[above] < starts[k])
        ):
            above += 1
        other = above
        while other < k and rows[other] == rows[k] - 1 and starts[other] <= ends[k]:
            join_sets(parent, k, other)
            other += 1
    group = np.empty(n, np.int64)
    count = 0
    for k in range(n):
        # The smallest run of a set is its root, so a root is numbered before it is needed.
        root = find_root(parent, k)
        if root == k:
            group[k] = count
            count += 1
        else:
            group[k] = group[root]
    return group, count


@njit(cache=True, nogil=True)
def paint_spans(rows: Int32, starts: Int32, ends: Int32, half_widths: Int64, out: Bool) -> None:
    """Set all pixels within a disc about the pixels of runs.

    Parameters
    ----------
    rows, starts, ends
        Runs.
    half_widths
        Half width of the disc in each of its rows, shape (2 r + 1,); (0,) paints the runs alone.
    out
        Set to True there, shape (ny, nx).
    """
    ny, nx = out.shape
    reach = half_widths.size // 2
    for k in range(rows.size):
        for i in range(half_widths.size):
            y = rows[k] + i - reach
            if 0 <= y < ny:
                x0 = max(0, starts[k] - half_widths[i])
                x1 = min(nx, ends[k] + half_widths[i])
                out[y, x0:x1] = True


@njit(cache=True, nogil=True)
def local_maxima(
    values: Float32, rows: Int32, starts: Int32, ends: Int32
) -> tuple[Int32, Int32, Int64]:
    """Return the pixels in runs that no neighbour exceeds: column, row, number of the run.

    Of equal neighbours the last in raster order counts as the higher.
    """
    ny, nx = values.shape
    found_x = []
    found_y = []
    found_span = []
    for k in range(rows.size):
        y = rows[k]
        for x in range(starts[k], ends[k]):
            value = values[y, x]
            highest = True
            for v in range(max(0, y - 1), min(ny, y + 2)):
                for u in range(max(0, x - 1), min(nx, x + 2)):
                    later = v > y or (v == y and u > x)
                    if values[v, u] > value or (later and values[v, u] == value):
                        highest = False
            if highest:
                found_x.append(np.int32(x))
                found_y.append(np.int32(y))
                found_span.append(np.int64(k))
    n = len(found_x)
    column = np.empty(n, np.int32)
    row = np.empty(n, np.int32)
    span = np.empty(n, np.int64)
    for i in range(n):
        column[i], row[i], span[i] = found_x[i], found_y[i], found_span[i]
    return column, row, span


@njit(cache=True, nogil=True)
def prominences(
    values: Float32, y: Int32, x: Int32, peak_y: Int32, peak_x: Int32, slot: Int32
) -> Float32:
    """Return how far each peak rises above the pass to higher ground.

    Pixels are flooded from the highest down; where two lakes meet, the one with the lower peak
    ends, and its peak stands out by its height less that of the meeting place. Infinite for the
    highest peak of connected pixels. O(n) after the sort, n pixels.

    Parameters
    ----------
    values
        Image, shape (ny, nx).
    y, x
        The pixels, highest first.
    peak_y, peak_x
        Peaks: pixels of the list.
    slot
        Work space of the shape of the image, filled with -1; it comes back so.
    """
    ny, nx = values.shape
    n = y.size
    parent = np.arange(n)
    drop = np.full(n, np.inf, np.float32)
    for k in range(n):
        slot[y[k], x[k]] = k
        # The root of a lake is its peak: the pixel flooded first.
        for v in range(max(0, y[k] - 1), min(ny, y[k] + 2)):
            for u in range(max(0, x[k] - 1), min(nx, x[k] + 2)):
                other = slot[v, u]
                if other < 0:
                    continue
                a, b = find_root(parent, k), find_root(parent, other)
                if a != b:
                    high, low = min(a, b), max(a, b)
                    parent[low] = high
                    drop[low] = values[y[low], x[low]] - values[y[k], x[k]]
    result = np.empty(peak_y.size, np.float32)
    for i in range(peak_y.size):
        result[i] = drop[slot[peak_y[i], peak_x[i]]]
    for k in range(n):
        slot[y[k], x[k]] = -1
    return result
