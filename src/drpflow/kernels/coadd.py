"""Coadds: robust means over stacks of warps, differences from them, weighted sums.

A stack is float32 of shape (N, ny, nx): a pixel of all visits is read along the first axis. Cells
are squares of `cell` pixels whose corners lie at multiples of `cell` on the *tract*, so that the
same pixel belongs to the same cell whatever part of the tract is at hand; `row0` and `column0`
are the places of an array's first pixel within its first cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bool = NDArray[np.bool_]
    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    UInt8 = NDArray[np.uint8]
    UInt16 = NDArray[np.uint16]

VOID, FLAGGED, GOOD = 0, 1, 2
"""States of a pixel of a warp: no value, a value that a mask plane doubts, a value."""

_FEWEST_IN_CELL = 12
_NORMAL_QUARTILES = 1.3489795
_HALVES = 11
_LARGEST_SCALE = 10.0
_SMALLEST_SCALE = 0.3


@njit(cache=True, nogil=True)
def pixel_states(image: Float32, variance: Float32, mask: Int32, void: int, doubt: int) -> UInt8:
    """Return the state of each pixel.

    Parameters
    ----------
    image, variance : ndarray, float32, shape (ny, nx)
    mask : ndarray, int32, shape (ny, nx)
    void, doubt : int
        Bits of planes that say that there is no value, or a doubtful one.
    """
    ny, nx = image.shape
    state = np.empty((ny, nx), np.uint8)
    for y in range(ny):
        for x in range(nx):
            bits = mask[y, x]
            there = np.isfinite(image[y, x]) and variance[y, x] > 0 and np.isfinite(variance[y, x])
            if not there or bits & void:
                state[y, x] = VOID
            else:
                state[y, x] = FLAGGED if bits & doubt else GOOD
    return state


@njit(cache=True, nogil=True)
def medians(values: Float32, state: UInt8, out: Float32, good: UInt16) -> None:
    """Write the median over the visits: of the good values, of flagged ones if none is good.

    Of two values the lower counts: what does not belong to the sky is light that is added to it.
    0.3 µs a pixel of 30 visits.

    Parameters
    ----------
    values, state
        Shape (N, ny, nx).
    out
        Filled, shape (ny, nx); NaN where no visit has a value.
    good
        Filled: number of good values.
    """
    n, ny, nx = values.shape
    sorted_values = np.empty(n, np.float32)
    for y in range(ny):
        for x in range(nx):
            for wanted in (GOOD, FLAGGED):
                count = 0
                for v in range(n):
                    if state[v, y, x] == wanted:
                        value = values[v, y, x]
                        k = count
                        while k > 0 and sorted_values[k - 1] > value:
                            sorted_values[k] = sorted_values[k - 1]
                            k -= 1
                        sorted_values[k] = value
                        count += 1
                if wanted == GOOD:
                    good[y, x] = count
                if count:
                    break
            if count == 0:
                out[y, x] = np.nan
            elif count == 2 or count % 2:
                out[y, x] = sorted_values[(count - 1) // 2]
            else:
                half = np.float32(0.5)
                out[y, x] = half * (sorted_values[count // 2 - 1] + sorted_values[count // 2])


@njit(cache=True, nogil=True)
def _is_kept(value: float, start: float, variance: float, clip: float, tolerance: float) -> bool:
    """Return whether a value is near enough to where the mean begins."""
    return abs(value - start) <= clip * np.sqrt(variance) + tolerance * abs(start)


@njit(cache=True, nogil=True)
def clipped_means(
    values: Float32,
    variance: Float32,
    state: UInt8,
    good: UInt16,
    start: Float32,
    scales: Float32,
    weights: Float64,
    rules: tuple[float, float, int, int, int],
    mean: Float32,
    total: Float32,
    noise: Float32,
) -> None:
    """Write the weighted mean of the values that are near their median; of all, if none is.

    Parameters
    ----------
    values, variance, state
        Shape (N, ny, nx).
    good, start
        Of :func:`medians`.
    scales
        By what the noise exceeds the square root of the variance, shape (N, my, mx), by cells;
        not positive: unknown, the visit does not count there.
    weights
        Of the visits, shape (N,).
    rules
        Greatest distance in standard deviations, further distance as a share of the median; cell,
        row0, column0.
    mean, total, noise
        Filled, shape (ny, nx): Σ w I / Σ w, Σ w, Σ w² σ².
    """
    clip, tolerance, cell, row0, column0 = rules
    n, ny, nx = values.shape
    for y in range(ny):
        j = (row0 + y) // cell
        for x in range(nx):
            i = (column0 + x) // cell
            wanted = GOOD if good[y, x] > 0 else FLAGGED
            signal, weight, variances = 0.0, 0.0, 0.0
            # Half of the visits may be far above the median, half far below: then all of them.
            for any_value in (False, True):
                for v in range(n):
                    scale = scales[v, j, i]
                    if state[v, y, x] < wanted or not scale > 0:
                        continue
                    value, spread = values[v, y, x], scale * scale * variance[v, y, x]
                    if any_value or _is_kept(value, start[y, x], spread, clip, tolerance):
                        w = weights[v]
                        signal += w * value
                        weight += w
                        variances += w * w * spread
                if weight > 0.0:
                    break
            mean[y, x] = signal / weight if weight > 0 else np.float32(np.nan)
            total[y, x] = weight
            noise[y, x] = variances


@njit(cache=True, nogil=True)
def others(
    value: float, spread: float, kept: bool, weight: float, mean: float, total: float, noise: float
) -> tuple[float, float]:
    """Return the mean of the other visits and its variance; a negative variance if there are none.

    Parameters
    ----------
    value, spread, kept, weight
        Of the visit: pixel, its variance, whether it is in the mean, weight.
    mean, total, noise
        Of :func:`clipped_means`.
    """
    if not kept:
        return mean, noise / (total * total)
    rest = total - weight
    if rest <= 1e-6 * total:
        return 0.0, -1.0
    return (total * mean - weight * value) / rest, max(0.0, noise - weight * weight * spread) / (
        rest * rest
    )


@njit(cache=True, nogil=True)
def _shortest_half(values: Float32) -> float:
    """Return the length of the shortest of eleven intervals that hold half of sorted values.

    A trail through a cell is all to one side of the rest, and moves that little.
    """
    n = values.size
    shortest = np.inf
    for k in range(_HALVES):
        first = k * (n - n // 2 - 1) // (_HALVES - 1)
        shortest = min(shortest, values[first + n // 2] - values[first])
    return shortest


@njit(cache=True, nogil=True)
def cell_scales(
    values: Float32,
    variance: Float32,
    state: UInt8,
    good: UInt16,
    start: Float32,
    scales: Float32,
    weights: Float64,
    rules: tuple[float, float, int, int, int],
    sums: tuple[Float32, Float32, Float32],
    step: int,
    out: Float32,
) -> None:
    """Write by what the spread of the differences from the other visits exceeds their noise.

    From the shortest half of the differences in a cell, every `step`-th pixel along both axes of
    the tract; the level of the differences does not matter. 0 where a cell shows too few pixels.

    Parameters
    ----------
    values, variance, state, good, start, scales, weights, rules
        As in :func:`clipped_means`; the scales those with which `sums` were made.
    sums
        mean, total, noise of :func:`clipped_means`.
    step
        Spacing of the pixels that are looked at; divides the cell.
    out
        Filled, shape (N, my, mx).
    """
    clip, tolerance, cell, row0, column0 = rules
    mean, total, noise = sums
    n, ny, nx = values.shape
    found = np.empty((cell // step + 1) ** 2, np.float32)
    for v in range(n):
        for j in range(out.shape[1]):
            for i in range(out.shape[2]):
                count = 0
                scale = scales[v, j, i]
                for y in range(max(0, j * cell - row0), min(ny, (j + 1) * cell - row0)):
                    if (row0 + y) % step:
                        continue
                    for x in range(max(0, i * cell - column0), min(nx, (i + 1) * cell - column0)):
                        if (column0 + x) % step or state[v, y, x] == VOID or not total[y, x] > 0:
                            continue
                        spread = scale * scale * variance[v, y, x]
                        value = values[v, y, x]
                        kept = state[v, y, x] >= (GOOD if good[y, x] > 0 else FLAGGED)
                        kept = kept and _is_kept(value, start[y, x], spread, clip, tolerance)
                        rest, error = others(
                            value, spread, kept, weights[v], mean[y, x], total[y, x], noise[y, x]
                        )
                        if error >= 0:
                            found[count] = (value - rest) / np.sqrt(spread + error)
                            count += 1
                out[v, j, i] = 0.0
                if count >= _FEWEST_IN_CELL:
                    grown = scale * _shortest_half(np.sort(found[:count])) / _NORMAL_QUARTILES
                    out[v, j, i] = min(max(grown, _SMALLEST_SCALE), _LARGEST_SCALE)


@njit(cache=True, nogil=True)
def _beyond(difference: float, excess: float) -> float:
    """Return a difference moved towards zero by an excess, and not past it."""
    size = max(0.0, abs(difference) - excess)
    return size if difference > 0 else -size


@njit(cache=True, nogil=True)
def compare(
    image: Float32,
    variance: Float32,
    state: UInt8,
    sky: tuple[Float32, Float32, Float32, Float32, UInt16, Float32],
    scales: Float32,
    rules: tuple[float, float, int, int, int],
    weight: float,
    tolerance: float,
    floor: float,
    pixel_variance: Float32,
    out: tuple[Float32, Float32],
) -> None:
    """Write how a visit differs from the mean of the others.

        significance = d / √(σ² + σ_others² + (t A)² + (f s)²),
        level = sign(d) max(0, |d| - t A) / s,

    t being the tolerance, A the brightest of the static sky near by, f the floor, s the noise of
    the pixel before it was convolved.

    Parameters
    ----------
    image, variance, state, scales
        The visit, shape (ny, nx), and its noise by cells, shape (my, mx).
    sky
        start, mean, total, noise, good, amplitude A of the static sky, each of that shape.
    rules, weight
        With which the mean was made.
    tolerance, floor
        Shares of A and of s that a difference may have without meaning anything.
    pixel_variance
        s², the variance of the direct warp, of that shape.
    out
        significance and level: filled; 0 where nothing can be compared.
    """
    cell, row0, column0 = rules[2:]
    start, mean, total, noise, good, amplitude = sky
    significance, level = out
    ny, nx = image.shape
    for y in range(ny):
        j = (row0 + y) // cell
        for x in range(nx):
            significance[y, x] = level[y, x] = 0.0
            scale = scales[j, (column0 + x) // cell]
            whole = pixel_variance[y, x]
            if state[y, x] == VOID or not (total[y, x] > 0 and scale > 0 and whole > 0):
                continue
            spread = scale * scale * variance[y, x]
            kept = state[y, x] >= (GOOD if good[y, x] > 0 else FLAGGED)
            kept = kept and _is_kept(image[y, x], start[y, x], spread, rules[0], rules[1])
            rest, error = others(
                image[y, x], spread, kept, weight, mean[y, x], total[y, x], noise[y, x]
            )
            if error >= 0:
                difference = image[y, x] - rest
                excess = tolerance * amplitude[y, x]
                error += spread + excess * excess + floor * floor * whole
                significance[y, x] = difference / np.sqrt(error)
                level[y, x] = _beyond(difference, excess) / np.sqrt(whole)


@njit(cache=True, nogil=True)
def compare_direct(
    image: Float32,
    variance: Float32,
    state: UInt8,
    median: Float32,
    amplitude: Float32,
    tolerance: float,
    out: Float32,
) -> None:
    """Write by what a visit as it is differs from the median beyond what its PSF may do.

        sign(d) max(0, |d| - t A) / σ

    Parameters
    ----------
    image, variance, state
        The visit.
    median, amplitude
        Static sky, and the brightest of it near by.
    tolerance
        Share t of the amplitude.
    out
        Filled; 0 where nothing can be compared.
    """
    ny, nx = image.shape
    for y in range(ny):
        for x in range(nx):
            out[y, x] = 0.0
            if state[y, x] == VOID or not np.isfinite(median[y, x]):
                continue
            beyond = _beyond(image[y, x] - median[y, x], tolerance * amplitude[y, x])
            out[y, x] = beyond / np.sqrt(variance[y, x])


@njit(cache=True, nogil=True)
def box_maxima(values: Float32, reach: int, out: Float32) -> None:
    """Write the greatest |value| in squares of 2 reach + 1 pixels about each pixel; NaN is 0."""
    ny, nx = values.shape
    rows = np.zeros((ny, nx), np.float32)
    for y in range(ny):
        for x in range(nx):
            size = abs(values[y, x])
            if size > 0:
                for u in range(max(0, x - reach), min(nx, x + reach + 1)):
                    if size > rows[y, u]:
                        rows[y, u] = size
    out[:] = 0.0
    for y in range(ny):
        for v in range(max(0, y - reach), min(ny, y + reach + 1)):
            for x in range(nx):
                if rows[y, x] > out[v, x]:
                    out[v, x] = rows[y, x]


@njit(cache=True, nogil=True)
def _any_near(mask: Int32, y: int, x: int, bits: int) -> bool:
    """Return whether one of 3 x 3 pixels, of which (y, x) is the first, has a plane."""
    for v in range(y, y + 3):
        for u in range(x, x + 3):
            if mask[v, u] & bits:
                return True
    return False


@njit(cache=True, nogil=True)
def add_warp(
    image: Float32,
    variance: Float32,
    mask: Int32,
    left_out: Bool,
    weight: float,
    bits: tuple[int, int, int, int],
    sums: tuple[Float64, Float64, Float64],
    spare: tuple[Float64, Float64, Float64],
    saturated: Float64,
    count: Int32,
    planes: tuple[Int32, Int32, UInt8],
) -> None:
    """Add a visit to the sums of a weighted mean.

    Arrays have the shape (ny, nx); those of the visit have one pixel more on all sides, which
    tells where its data end.

    Parameters
    ----------
    image, variance, mask, weight
        The visit, with the rim.
    left_out
        Pixels of artifacts, without the rim.
    bits
        Planes: no data, rejected, saturated, edge.
    sums, spare
        Σ w I, Σ w, Σ w² V of what is used, and of what is rejected but has a value.
    saturated
        Σ w of saturated pixels.
    count
        Number of visits used.
    planes
        OR of the planes used, OR of the planes rejected, and marks: 1 an artifact was left out,
        2 a pixel was rejected, 4 the data of the visit end here.
    """
    no_data, rejected, full, edge = bits
    used_planes, spare_planes, marks = planes
    ny, nx = left_out.shape
    for y in range(ny):
        for x in range(nx):
            bit = mask[y + 1, x + 1]
            value, noise = image[y + 1, x + 1], variance[y + 1, x + 1]
            if bit & no_data or not (np.isfinite(value) and np.isfinite(noise)):
                continue
            if bit & edge or _any_near(mask, y, x, no_data):
                marks[y, x] |= 4
            if bit & full:
                saturated[y, x] += weight
            if left_out[y, x]:
                marks[y, x] |= 1
            elif bit & rejected:
                marks[y, x] |= 2
                spare_planes[y, x] |= bit
                _add(spare, y, x, weight, value, noise)
            else:
                used_planes[y, x] |= bit
                count[y, x] += 1
                _add(sums, y, x, weight, value, noise)


@njit(cache=True, nogil=True)
def _add(
    sums: tuple[Float64, Float64, Float64],
    y: int,
    x: int,
    weight: float,
    value: float,
    noise: float,
) -> None:
    """Add a pixel to Σ w I, Σ w, Σ w² V."""
    signal, total, variances = sums
    signal[y, x] += weight * value
    total[y, x] += weight
    variances[y, x] += weight * weight * noise
