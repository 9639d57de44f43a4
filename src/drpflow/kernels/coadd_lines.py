"""Straight lines in an image of bins: found by their means, widened, continued, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bool = NDArray[np.bool_]
    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int16 = NDArray[np.int16]
    Int32 = NDArray[np.int32]
    UInt16 = NDArray[np.uint16]

_PIECES = 4
_PIECES_NEEDED = 3
# A line is the ridge of a trail if no parallel one is much brighter; less than 1, since bins are
# read at the nearest place.
_RIDGE = 0.8
_MIDDLE = 0.6
# Long lines are tried about short ones with this share of their least mean.
_NEAR_FAINT = 0.8
# At an edge, half of a short line, or three quarters of a long one, and a quarter of those beside
# that: the halo of a bright star ends there as well.
_FEWEST_SHORT, _FEWEST_LONG = 2, 3


@njit(cache=True, nogil=True)
def _line_pieces(
    bins: Float32, y: float, x: float, dy: float, dx: float, half: int, pieces: Float64
) -> tuple[float, int]:
    """Write the means of four pieces of a line; return the mean of all and how many pieces count.

    The line runs from -half to half bins along (dy, dx) through (y, x); bins are read at the
    nearest place. A piece counts if half of it has values; others are NaN.
    """
    my, mx = bins.shape
    length = 2 * half + 1
    total, count, known = 0.0, 0, 0
    for piece in range(_PIECES):
        first, last = piece * length // _PIECES, (piece + 1) * length // _PIECES
        part, some = 0.0, 0
        for k in range(first, last):
            v = int(np.floor(y + (k - half) * dy + 0.5))
            u = int(np.floor(x + (k - half) * dx + 0.5))
            if 0 <= v < my and 0 <= u < mx and not np.isnan(bins[v, u]):
                part += bins[v, u]
                some += 1
        pieces[piece] = part / some if 2 * some >= last - first else np.nan
        if 2 * some >= last - first:
            known += 1
        total += part
        count += some
    return (total / count if count else 0.0), known


@njit(cache=True, nogil=True)
def _beside(pieces: Float64) -> float:
    """Return the upper median of the pieces that count, 0 without any."""
    known = np.sort(pieces[~np.isnan(pieces)])
    return known[known.size // 2] if known.size else 0.0


@njit(cache=True, nogil=True)
def _lower_middle(pieces: Float64) -> float:
    """Return the lower median of the pieces that count, 0 without any."""
    known = np.sort(pieces[~np.isnan(pieces)])
    return known[(known.size - 1) // 2] if known.size else 0.0


@njit(cache=True, nogil=True)
def _is_ridge(
    bins: Float32, y: int, x: int, dy: float, dx: float, half: int, mean: float, pieces: Float64
) -> bool:
    """Return whether a line is the brightest of its neighbours, and bright in its middle.

    The second tells it from a line that only crosses a trail.
    """
    middle, known = _line_pieces(bins, y, x, dy, dx, max(1, half // 4), pieces)
    if known and middle < _MIDDLE * mean:
        return False
    for sign in (-1, 1):
        beside, _ = _line_pieces(bins, y - sign * dx, x + sign * dy, dy, dx, half, pieces)
        if mean < _RIDGE * beside:
            return False
    return True


@njit(cache=True, nogil=True)
def _excess(
    bins: Float32,
    place: tuple[int, int],
    direction: Float64,
    half: int,
    offset: int,
    limits: tuple[float, float, int],
    pieces: Float64,
) -> float:
    """Return by how much a line is brighter than those beside it; -1 if it is no trail's."""
    j, i = place
    dy, dx = direction[0], direction[1]
    least, least_piece, fewest = limits
    mean, known = _line_pieces(bins, j, i, dy, dx, half, pieces)
    if mean <= least or known < fewest:
        return -1.0
    high = 0
    for piece in range(_PIECES):
        high += pieces[piece] >= least_piece
    if high < min(known, _PIECES_NEEDED):
        return -1.0
    beside = 0.0
    for sign in (-1, 1):
        y, x = j - sign * offset * dx, i + sign * offset * dy
        _, there = _line_pieces(bins, y, x, dy, dx, half, pieces)
        if there < fewest - _FEWEST_SHORT:
            return -1.0
        beside = max(beside, _beside(pieces))
    if mean - beside > least and _is_ridge(bins, j, i, dy, dx, half, mean, pieces):
        return mean - beside
    return -1.0


@njit(cache=True, nogil=True)
def _bins_there(bins: Float32, j: int, i: int, dy: float, dx: float, half: int) -> int:
    """Return how many bins of a line have values."""
    my, mx = bins.shape
    some = 0
    for k in range(-half, half + 1):
        v = int(np.floor(j + k * dy + 0.5))
        u = int(np.floor(i + k * dx + 0.5))
        some += 0 <= v < my and 0 <= u < mx and not np.isnan(bins[v, u])
    return some


@njit(cache=True, nogil=True)
def _best_line(
    bins: Float32,
    j: int,
    i: int,
    directions: Float64,
    halves: tuple[int, int],
    offset: int,
    limits: tuple[float, float, float],
    pieces: Float64,
) -> tuple[int, int]:
    """Return direction and half length of the line through a bin that stands out most; -1 if none.

    Long lines are tried only where no short one stands out, and along those that come near it.
    Where fewer bins than those of a short line can be seen all along a long one, as in a cut-out
    about one galaxy, nothing tells a trail from a source.
    """
    least, faint, share = limits
    best, which, length = 0.0, -1, halves[0]
    needed, far = 2 * halves[0] + 1, max(halves[0], halves[1])
    for k in range(0, directions.shape[0], 2):
        dy, dx = directions[k, 0], directions[k, 1]
        mean, _ = _line_pieces(bins, j, i, dy, dx, halves[0], pieces)
        if mean <= _NEAR_FAINT * faint or _bins_there(bins, j, i, dy, dx, far) < needed:
            continue
        rules = least, share * least, _FEWEST_SHORT
        excess = _excess(bins, (j, i), directions[k], halves[0], offset, rules, pieces)
        if excess > 0.0:
            if length != halves[0] or excess > best:
                best, which, length = excess, k, halves[0]
        elif which < 0 or length != halves[0]:
            rules = faint, share * faint, _FEWEST_LONG
            for m in range(k, k + 2):
                excess = _excess(bins, (j, i), directions[m], halves[1], offset, rules, pieces)
                if excess > best:
                    best, which, length = excess, m, halves[1]
    return which, length


@njit(cache=True, nogil=True)
def find_lines(
    bins: Float32,
    nearby: Float32,
    directions: Float64,
    halves: tuple[int, int],
    offset: int,
    limits: tuple[float, float, float, float],
) -> tuple[Int32, Int32, Int16, Int16]:
    """Find the bins in the middle of bright straight lines.

    Parameters
    ----------
    bins
        Means of significances, shape (my, mx).
    nearby
        Their means in small squares: where those are low no line is looked for.
    directions
        Unit vectors (dy, dx), shape (K, 2), K even; short lines have every second one.
    halves
        Short lines have 2 half + 1 bins, and so do long ones, of which more is needed.
    offset
        Distance of the parallel lines on both sides, bins.
    limits
        Least mean of a short line above the brighter of the lines beside it; that of a long one;
        share of it that three of its four pieces have; least mean in the small square.

    Returns
    -------
    rows, columns, direction, half : ndarray, shape (n,)
        The bins, each with the brightest line through it and its half length.
    """
    my, mx = bins.shape
    pieces = np.empty(_PIECES)
    rows = []
    columns = []
    found = []
    lengths = []
    for j in range(my):
        for i in range(mx):
            if nearby[j, i] >= limits[3]:
                which, length = _best_line(
                    bins, j, i, directions, halves, offset, limits[:3], pieces
                )
                if which >= 0:
                    rows.append(np.int32(j))
                    columns.append(np.int32(i))
                    found.append(np.int16(which))
                    lengths.append(np.int16(length))
    n = len(rows)
    out_j, out_i = np.empty(n, np.int32), np.empty(n, np.int32)
    out_k, out_h = np.empty(n, np.int16), np.empty(n, np.int16)
    for k in range(n):
        out_j[k], out_i[k], out_k[k], out_h[k] = rows[k], columns[k], found[k], lengths[k]
    return out_j, out_i, out_k, out_h


@njit(cache=True, nogil=True)
def line_widths(
    bins: Float32,
    empty: Bool,
    lines: tuple[Int32, Int32, Int16, Int16],
    directions: Float64,
    reaches: tuple[int, int],
    low: float,
) -> Int16:
    """Return how far lines parallel to each line stay above a level, and how far it is continued.

    Parameters
    ----------
    bins, directions
        As in :func:`find_lines`; of the direct image.
    empty
        Bins in which nothing could be found, of the same shape.
    lines
        What :func:`find_lines` returned.
    reaches
        Farthest line beside a line; farthest empty bin before and behind its middle up to which
        the line is continued: convolution has taken the pixels at an edge.
    low
        Least value of a parallel line: the lower middle of its quarters, which a line that only
        crosses a trail does not reach; and of a continuation, where `bins` has values.

    Returns
    -------
    ndarray, int16, shape (n, 4)
        In bins: towards (-dx, dy) negative and positive, along (dy, dx) negative and positive. -1
        for a line that is itself below the level.
    """
    rows, columns, direction, halves = lines
    reach, further = reaches
    pieces = np.empty(_PIECES)
    widths = np.zeros((rows.size, 4), np.int16)
    for n in range(rows.size):
        dy, dx = directions[direction[n], 0], directions[direction[n], 1]
        half = halves[n]
        _, known = _line_pieces(bins, rows[n], columns[n], dy, dx, half, pieces)
        if known < 2 or _lower_middle(pieces) < low:
            widths[n] = -1
            continue
        for side in range(2):
            sign = 2 * side - 1
            for step in range(1, reach + 1):
                y, x = rows[n] - sign * step * dx, columns[n] + sign * step * dy
                _, known = _line_pieces(bins, y, x, dy, dx, half, pieces)
                if known < 2 or _lower_middle(pieces) < low:
                    break
                widths[n, side] = step
            place = rows[n], columns[n]
            widths[n, 2 + side] = _continued(bins, empty, place, sign * dy, sign * dx, further, low)
    return widths


@njit(cache=True, nogil=True)
def _continued(
    bins: Float32,
    empty: Bool,
    place: tuple[int, int],
    dy: float,
    dx: float,
    further: int,
    low: float,
) -> int:
    """Return the farthest empty bin behind a place; 0 if what `bins` has there is dark."""
    my, mx = bins.shape
    last, total, count = 0, 0.0, 0
    for step in range(1, further + 1):
        j = int(np.floor(place[0] + step * dy + 0.5))
        i = int(np.floor(place[1] + step * dx + 0.5))
        if not (0 <= j < my and 0 <= i < mx):
            break
        if empty[j, i]:
            last = step
            if not np.isnan(bins[j, i]):
                total += bins[j, i]
                count += 1
    return last if total >= low * count else 0


@njit(cache=True, nogil=True)
def paint_lines(
    lines: tuple[Int32, Int32, Int16, Int16], widths: Int16, directions: Float64, out: Bool
) -> None:
    """Set the bins in the middle of lines, beside them and along them as far as `widths` says."""
    my, mx = out.shape
    rows, columns, direction, _ = lines
    for n in range(rows.size):
        dy, dx = directions[direction[n], 0], directions[direction[n], 1]
        for along in range(-widths[n, 2], widths[n, 3] + 1):
            for step in range(-widths[n, 0], widths[n, 1] + 1):
                j = int(np.floor(rows[n] + along * dy - step * dx + 0.5))
                i = int(np.floor(columns[n] + along * dx + step * dy + 0.5))
                if 0 <= j < my and 0 <= i < mx:
                    out[j, i] = True


@njit(cache=True, nogil=True)
def persistent_shares(
    counts: UInt16,
    limits: Int32,
    lines: tuple[Int32, Int32, Int16, Int16],
    directions: Float64,
    grid: tuple[int, int, int],
) -> Float32:
    """Return the share of each line's places that differ in more visits than their limit.

    Parameters
    ----------
    counts, limits
        Number of visits that differ, and the largest number that counts as few; by pixels.
    lines, directions
        As in :func:`line_widths`.
    grid
        Side of the bins in pixels, and where in its bin the first pixel lies: row, column.
    """
    step, row0, column0 = grid
    ny, nx = counts.shape
    rows, columns, direction, halves = lines
    shares = np.zeros(rows.size, np.float32)
    for n in range(rows.size):
        dy, dx = directions[direction[n], 0], directions[direction[n], 1]
        many, known = 0, 0
        for k in range(-halves[n], halves[n] + 1):
            y = int((rows[n] + k * dy + 0.5) * step - row0)
            x = int((columns[n] + k * dx + 0.5) * step - column0)
            if 0 <= y < ny and 0 <= x < nx:
                known += 1
                many += counts[y, x] > limits[y, x]
        shares[n] = many / known if known else 0.0
    return shares
