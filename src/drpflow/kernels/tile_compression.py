"""Quantising tiles of an image with subtractive dither, and coding the integers by RICE_1.

Both as the FITS Standard 4.0 has them (sections 10.2 and 10.4.1, appendix I), so that any reader
of tiled images undoes them.
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
    UInt8 = NDArray[np.uint8]

NULL = -2147483647
"""Integer of a pixel without a value."""
ZERO = -2147483646
"""Integer of a pixel that is exactly 0 (SUBTRACTIVE_DITHER_2)."""
LEAST = -2147483637
"""Lowest integer of any other pixel: the standard reserves 10."""
MOST = 2147483547
"""Highest integer that is used: a margin for the dither below 2³¹."""
MAX_BYTES_PER_PIXEL = 5
"""No code is longer: 32 bits a pixel and 5 a block of 32, the first pixel in full."""

_BLOCK = 32
# Width of a block's parameter, and its value that says "integers as they are".
_PARAMETER_BITS = 5
_RAW = 25


@njit(cache=True, nogil=True)
def quantize_tile(
    tile: Float32, step: float, dither: Float32, start: int, out: Int32
) -> tuple[float, bool]:
    """Turn a tile into integers: i = round((x - zero) / step + r - 1/2), r uniform in 0 … 1.

    The reader forms (i - r + 1/2) step + zero: the error is uniform within half a step whatever
    x is, so that sums of faint pixels stay unbiased. Pixels of exactly 0 and NaN have integers
    of their own.

    Parameters
    ----------
    tile : ndarray, shape (ny, nx), float32
    step : float
    dither : ndarray, shape (10000,), float32
        The standard's random numbers.
    start : int
        Row of the tile plus the seed less 1, both counted from 0 and 1: where the numbers begin.
    out : ndarray, shape (ny nx,), int32
        Written to.

    Returns
    -------
    zero : float
    fits : bool
        False if a pixel is infinite or the range exceeds that of the integers; `out` is then
        of no use.
    """
    lowest, highest, special = _range(tile)
    if not (highest - lowest) / step < MOST - np.float64(LEAST):
        return 0.0, False
    # Integers near those of the special pixels cost fewer bits.
    zero = lowest - (LEAST + 1.0) * step if special else lowest - step
    if not special and not (highest - lowest) / step < MOST:
        return 0.0, False
    n = dither.size
    first = start % n
    next_one = int(dither[first] * 500)
    i = 0
    for y in range(tile.shape[0]):
        for x in range(tile.shape[1]):
            value = np.float64(tile[y, x])
            if np.isnan(value):
                out[i] = NULL
            elif value == 0.0:
                out[i] = ZERO
            else:
                shifted = (value - zero) / step + np.float64(dither[next_one]) - 0.5
                out[i] = np.int32(np.floor(shifted + 0.5))
            i += 1
            next_one += 1
            if next_one == n:
                first = (first + 1) % n
                next_one = int(dither[first] * 500)
    return zero, True


@njit(cache=True, nogil=True)
def _range(tile: Float32) -> tuple[float, float, bool]:
    """Return the range of the pixels, and whether there are zeros or NaN, which do not count."""
    lowest, highest, special = np.inf, -np.inf, False
    for y in range(tile.shape[0]):
        for x in range(tile.shape[1]):
            value = np.float64(tile[y, x])
            if np.isnan(value) or value == 0.0:
                special = True
            else:
                lowest = min(lowest, value)
                highest = max(highest, value)
    if lowest > highest:
        return 0.0, 0.0, special
    return lowest, highest, special


@njit(cache=True, nogil=True)
def rice_encode(values: Int32, out: UInt8) -> int:
    """Code integers by RICE_1 with blocks of 32; return the number of bytes.

    Differences of neighbours are folded to 0, -1, 1, -2, … -> 0, 1, 2, 3, …; each block keeps
    their lowest k bits as they are and the rest in unary, k from their mean.

    Parameters
    ----------
    values : ndarray, shape (N,), int32
    out : ndarray, shape (at least 5 N + 16,), uint8
        Written to.
    """
    folded = np.empty(_BLOCK, np.int64)
    last = np.int64(values[0])
    for j in range(4):
        out[j] = np.uint8((last >> (24 - 8 * j)) & 0xFF)
    n_bytes, pool, n_pool = 4, np.uint64(0), 0
    for begin in range(0, values.size, _BLOCK):
        count = min(_BLOCK, values.size - begin)
        total = 0.0
        for j in range(count):
            value = np.int64(values[begin + j])
            # Differences wrap around at 32 bits, as the reader's do.
            difference = (value - last + 2147483648) % 4294967296 - 2147483648
            folded[j] = -2 * difference - 1 if difference < 0 else 2 * difference
            total += folded[j]
            last = value
        k = _split(total, count)
        header = _RAW + 1 if k >= _RAW else 0 if k == 0 and total == 0 else k + 1
        pool, n_pool, n_bytes = _put(pool, n_pool, header, _PARAMETER_BITS, out, n_bytes)
        if header == 0:
            continue
        for j in range(count):
            if k >= _RAW:
                pool, n_pool, n_bytes = _put(pool, n_pool, folded[j], 32, out, n_bytes)
                continue
            unary = folded[j] >> k
            while unary >= 24:
                pool, n_pool, n_bytes = _put(pool, n_pool, 0, 24, out, n_bytes)
                unary -= 24
            pool, n_pool, n_bytes = _put(pool, n_pool, 1, unary + 1, out, n_bytes)
            low = folded[j] & ((1 << k) - 1)
            pool, n_pool, n_bytes = _put(pool, n_pool, low, k, out, n_bytes)
    if n_pool > 0:
        pool, n_pool, n_bytes = _put(pool, n_pool, 0, 8 - n_pool, out, n_bytes)
    return n_bytes


@njit(cache=True, nogil=True)
def _split(total: float, count: int) -> int:
    """Return k, how many of the lowest bits of a block's integers are kept as they are."""
    mean = max((total - count // 2 - 1) / count, 0.0)
    half, k = np.int64(mean) >> 1, 0
    while half > 0:
        half >>= 1
        k += 1
    return k


@njit(cache=True, nogil=True)
def _put(
    pool: np.uint64, n_pool: int, value: int, bits: int, out: UInt8, n_bytes: int
) -> tuple[np.uint64, int, int]:
    """Append the lowest `bits` (at most 32) bits of a value, the highest first."""
    pool = (pool << np.uint64(bits)) | np.uint64(value)
    n_pool += bits
    while n_pool >= 8:
        n_pool -= 8
        out[n_bytes] = np.uint8((pool >> np.uint64(n_pool)) & np.uint64(0xFF))
        n_bytes += 1
    return pool, n_pool, n_bytes


@njit(cache=True, nogil=True)
def encode_tiles(
    plane: Float32,
    height: int,
    width: int,
    first_tile: int,
    steps: Float64,
    dither: Float32,
    seed: int,
    out: UInt8,
    sizes: Int64,
    zeros: Float64,
) -> None:
    """Quantise and code one row of tiles.

    Parameters
    ----------
    plane : ndarray, shape (ny, nx), float32
        The rows of these tiles.
    height, width : int
        Of a tile, pixels; the last ones may be smaller.
    first_tile : int
        Number of the first of these tiles in the whole image.
    steps : ndarray, shape (n,), float64
        Step of each tile; one that is not positive and finite is not coded.
    dither : ndarray, shape (10000,), float32
    seed : int
        1 … 10000.
    out : ndarray, uint8
        Written to: the codes one after the other.
    sizes : ndarray, shape (n,), int64
        Written to: bytes of each tile, 0 for one that is to be stored without loss.
    zeros : ndarray, shape (n,), float64
        Written to.
    """
    rows = min(height, plane.shape[0])
    integers = np.empty(rows * width, np.int32)
    position = 0
    for t in range(steps.size):
        sizes[t], zeros[t] = 0, 0.0
        if not 0.0 < steps[t] < np.inf:
            continue
        tile = plane[:rows, t * width : min((t + 1) * width, plane.shape[1])]
        part = integers[: tile.shape[0] * tile.shape[1]]
        zero, good = quantize_tile(tile, steps[t], dither, first_tile + t + seed - 1, part)
        if good:
            sizes[t] = rice_encode(part, out[position:])
            zeros[t] = zero
            position += sizes[t]
