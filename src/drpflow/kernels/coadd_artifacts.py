"""What of a visit is not on the sky: candidates by pixel, bins, counts over visits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bool = NDArray[np.bool_]
    Float32 = NDArray[np.float32]
    Int32 = NDArray[np.int32]
    UInt16 = NDArray[np.uint16]


@njit(cache=True, nogil=True)
def grow_from(
    significance: Float32,
    high: float,
    low: float,
    reach: int,
    halo: tuple[float, int],
    out: Bool,
) -> None:
    """Set the pixels beyond `low` within a disc about one beyond `high` on the same side of zero.

    Pixels beyond `high` set themselves. `out` keeps what is set already.

    Parameters
    ----------
    significance
        The pixels.
    high, low, reach
        Levels; radius of the disc, pixels.
    halo
        Pixels below this share of the greatest within so many rows and columns do not count: they
        show light that convolution has spread.
    out
        Set there.
    """
    share, around = halo
    ny, nx = significance.shape
    for y in range(ny):
        for x in range(nx):
            size = significance[y, x]
            if abs(size) < high:
                continue
            least = low
            if share > 0.0:
                least = max(low, share * _greatest_near(significance, y, x, around))
                if abs(size) < least:
                    continue
            for v in range(max(0, y - reach), min(ny, y + reach + 1)):
                half = int(np.sqrt(float(reach * reach - (v - y) ** 2)))
                for u in range(max(0, x - half), min(nx, x + half + 1)):
                    other = significance[v, u]
                    if abs(other) >= least and (other > 0) == (size > 0):
                        out[v, u] = True


@njit(cache=True, nogil=True)
def _greatest_near(values: Float32, y: int, x: int, reach: int) -> float:
    """Return the greatest value on the side of zero of that at (y, x), in a square about it."""
    ny, nx = values.shape
    sign = 1.0 if values[y, x] > 0 else -1.0
    greatest = 0.0
    for v in range(max(0, y - reach), min(ny, y + reach + 1)):
        for u in range(max(0, x - reach), min(nx, x + reach + 1)):
            greatest = max(greatest, sign * values[v, u])
    return greatest


@njit(cache=True, nogil=True)
def compact_sums(values: Float32, out: Float32) -> None:
    """Write the larger of each value and its sum with neighbours under a kernel of 3 x 3 pixels.

    The kernel (1 2 1)ᵀ(1 2 1) is normalised to unit noise of independent pixels: what a cosmic ray
    leaves when it is resampled is spread over 2 x 2 pixels at worst.
    """
    ny, nx = values.shape
    norm = np.float32(1.0 / 6.0)  # the square root of Σ k² is 6
    for y in range(ny):
        for x in range(nx):
            out[y, x] = values[y, x]
            if y == 0 or x == 0 or y == ny - 1 or x == nx - 1:
                continue
            total = np.float32(0.0)
            for j in range(-1, 2):
                for i in range(-1, 2):
                    total += values[y + j, x + i] * np.float32((2 - abs(j)) * (2 - abs(i)))
            if abs(total * norm) > abs(values[y, x]):
                out[y, x] = total * norm


@njit(cache=True, nogil=True)
def differing(significance: Float32, direct: Float32, low: float, direct_low: float) -> Bool:
    """Return the pixels beyond a level, and their neighbours.

    Parameters
    ----------
    significance, direct
        Of the matched and of the direct differences.
    low, direct_low
        Their levels.
    """
    ny, nx = significance.shape
    near = np.zeros((ny, nx), np.bool_)
    for y in range(ny):
        for x in range(nx):
            if abs(significance[y, x]) >= low or abs(direct[y, x]) >= direct_low:
                near[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = True
    return near


@njit(cache=True, nogil=True)
def static_peaks(model: Float32, least: Float32, reach: int) -> tuple[Int32, Int32]:
    """Return rows and columns of pixels above `least` that none within `reach` exceeds."""
    ny, nx = model.shape
    rows = []
    columns = []
    for y in range(reach, ny - reach):
        for x in range(reach, nx - reach):
            here = model[y, x]
            if not here > least[y, x]:
                continue
            highest = True
            for v in range(y - reach, y + reach + 1):
                for u in range(x - reach, x + reach + 1):
                    if model[v, u] > here:
                        highest = False
                        break
                if not highest:
                    break
            if highest:
                rows.append(np.int32(y))
                columns.append(np.int32(x))
    n = len(rows)
    found_y, found_x = np.empty(n, np.int32), np.empty(n, np.int32)
    for k in range(n):
        found_y[k], found_x[k] = rows[k], columns[k]
    return found_y, found_x


@njit(cache=True, nogil=True)
def spare_variables(
    significance: Float32,
    level: Float32,
    rows: Int32,
    columns: Int32,
    limits: tuple[float, float],
    profile: tuple[float, float, float],
    reaches: tuple[int, float, float],
    out: Bool,
) -> None:
    """Set discs about sources of the static sky whose light differs from the mean.

    The difference of a variable source has the shape of the PSF and its peak where the source is;
    what passes by, or hits near by, has its peak elsewhere. A disc reaches to where the difference
    has fallen to a level.

    Parameters
    ----------
    significance, level
        Of the differences.
    rows, columns
        Of :func:`static_peaks`.
    limits
        Least significance of the peak; level at the edge of a disc.
    profile
        The PSF: sigma of its core in pixels, amplitude and width of its wings relative to it.
    reaches
        How far about a source the greatest difference is looked for, how near it lies to the
        source, the largest radius of a disc; pixels.
    out
        Set there; what is set already stays.
    """
    high, edge = limits
    look, near, largest = reaches
    ny, nx = significance.shape
    for k in range(rows.size):
        y, x = rows[k], columns[k]
        best, best_y, best_x = 0.0, y, x
        for v in range(max(0, y - look), min(ny, y + look + 1)):
            for u in range(max(0, x - look), min(nx, x + look + 1)):
                if abs(significance[v, u]) > best:
                    best, best_y, best_x = abs(significance[v, u]), v, u
        if best < high or (best_y - y) ** 2 + (best_x - x) ** 2 > near * near:
            continue
        radius = _lit_radius(abs(level[best_y, best_x]) / edge, profile, largest)
        _set_disc(y, x, radius, out)


@njit(cache=True, nogil=True)
def spare_blended(
    significance: Float32,
    level: Float32,
    static: Float32,
    share: float,
    limits: tuple[float, float],
    profile: tuple[float, float, float],
    reaches: tuple[int, float],
    out: Bool,
) -> None:
    """Set discs about differences that the static light beneath them may be the source of.

    A source in the light of a brighter one has no peak of its own in the static sky.

    Parameters
    ----------
    significance, level
        Of the differences.
    static
        The static sky in the units of `level`.
    share
        Differences count up to this share of it.
    limits, profile
        As in :func:`spare_variables`.
    reaches
        How far about a peak of the differences there is no greater one, the largest radius of a
        disc; pixels.
    out
        Set there; what is set already stays.
    """
    high, edge = limits
    reach, largest = reaches
    ny, nx = significance.shape
    for y in range(ny):
        for x in range(nx):
            if abs(significance[y, x]) < high or not abs(level[y, x]) <= share * static[y, x]:
                continue
            if _is_highest(significance, y, x, reach):
                _set_disc(y, x, _lit_radius(abs(level[y, x]) / edge, profile, largest), out)


@njit(cache=True, nogil=True)
def _is_highest(values: Float32, y: int, x: int, reach: int) -> bool:
    """Return whether no |value| in a square about (y, x) is greater than that there."""
    ny, nx = values.shape
    here = abs(values[y, x])
    for v in range(max(0, y - reach), min(ny, y + reach + 1)):
        for u in range(max(0, x - reach), min(nx, x + reach + 1)):
            if abs(values[v, u]) > here:
                return False
    return True


@njit(cache=True, nogil=True)
def _lit_radius(core: float, profile: tuple[float, float, float], largest: float) -> float:
    """Return how far about a source its light is above 1, where it is `core` in the middle."""
    sigma, wing, ratio = profile
    radius = sigma * np.sqrt(2.0 * np.log(max(core, 1.0)))
    wide = ratio * sigma * np.sqrt(2.0 * np.log(max(wing * core, 1.0)))
    return min(largest, max(radius, wide) + 2.0)


@njit(cache=True, nogil=True)
def _set_disc(y: int, x: int, radius: float, out: Bool) -> None:
    """Set the pixels of `out` within a radius."""
    ny, nx = out.shape
    whole = int(radius)
    for v in range(max(0, y - whole), min(ny, y + whole + 1)):
        half = int(np.sqrt(max(0.0, radius * radius - (v - y) ** 2)))
        out[v, max(0, x - half) : min(nx, x + half + 1)] = True


@njit(cache=True, nogil=True)
def box_counts(where: Bool, reach: int) -> Int32:
    """Return how many pixels are set in squares of 2 reach + 1 pixels about each pixel."""
    ny, nx = where.shape
    table = np.zeros((ny + 1, nx + 1), np.int32)
    for y in range(ny):
        row = 0
        for x in range(nx):
            row += where[y, x]
            table[y + 1, x + 1] = table[y, x + 1] + row
    out = np.empty((ny, nx), np.int32)
    for y in range(ny):
        y0, y1 = max(0, y - reach), min(ny, y + reach + 1)
        for x in range(nx):
            x0, x1 = max(0, x - reach), min(nx, x + reach + 1)
            out[y, x] = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return out


@njit(cache=True, nogil=True)
def box_sums(values: Float32, reach: int) -> Float32:
    """Return sums in squares of 2 reach + 1 pixels about each pixel.

    Rows first, then columns, each sum on its own: what is far away leaves no rounding error.
    """
    ny, nx = values.shape
    rows = np.zeros((ny, nx), np.float32)
    out = np.zeros((ny, nx), np.float32)
    for y in range(ny):
        for x in range(nx):
            value = values[y, x]
            if value != 0:
                for u in range(max(0, x - reach), min(nx, x + reach + 1)):
                    rows[y, u] += value
    for y in range(ny):
        for v in range(max(0, y - reach), min(ny, y + reach + 1)):
            for x in range(nx):
                out[v, x] += rows[y, x]
    return out


@njit(cache=True, nogil=True)
def bin_clipped(
    values: Float32, there: Bool, step: int, row0: int, column0: int, limit: float
) -> Float32:
    """Return means over square bins of values held within ±limit; NaN with less than half a bin.

    Bins begin at multiples of `step` on the tract; `row0`, `column0` say where in its bin the first
    pixel lies.
    """
    ny, nx = values.shape
    my, mx = (row0 + ny + step - 1) // step, (column0 + nx + step - 1) // step
    total = np.zeros((my, mx), np.float32)
    count = np.zeros((my, mx), np.int32)
    for y in range(ny):
        j = (row0 + y) // step
        for x in range(nx):
            if there[y, x]:
                i = (column0 + x) // step
                total[j, i] += min(max(values[y, x], -limit), limit)
                count[j, i] += 1
    for j in range(my):
        for i in range(mx):
            enough = 2 * count[j, i] >= step * step
            total[j, i] = total[j, i] / count[j, i] if enough else np.float32(np.nan)
    return total


@njit(cache=True, nogil=True)
def box_means(bins: Float32, reach: int) -> Float32:
    """Return the means in squares of 2 reach + 1 bins of what is not NaN; NaN without any."""
    my, mx = bins.shape
    out = np.full((my, mx), np.nan, np.float32)
    for j in range(my):
        for i in range(mx):
            total, count = 0.0, 0
            for v in range(max(0, j - reach), min(my, j + reach + 1)):
                for u in range(max(0, i - reach), min(mx, i + reach + 1)):
                    if not np.isnan(bins[v, u]):
                        total += bins[v, u]
                        count += 1
            if count:
                out[j, i] = total / count
    return out


@njit(cache=True, nogil=True)
def spread_marks(marks: Bool, step: int, row0: int, column0: int, out: Bool) -> None:
    """Set the pixels of bins that are set."""
    ny, nx = out.shape
    for y in range(ny):
        j = (row0 + y) // step
        for x in range(nx):
            if marks[j, (column0 + x) // step]:
                out[y, x] = True
