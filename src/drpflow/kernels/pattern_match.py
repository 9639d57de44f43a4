"""Counting pairs of sources and references by the shift that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def vote_shifts(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    reference_x: NDArray[np.float64],
    reference_y: NDArray[np.float64],
    limit_pix: float,
    bin_pix: float,
    counts: NDArray[np.int32],
) -> None:
    """Add each pair of a source and a reference to the cell of its shift.

    Parameters
    ----------
    x, y
        Sources, shape (N,).
    reference_x, reference_y
        References, shape (M,), sorted by `reference_y`.
    limit_pix
        Largest shift in each coordinate.
    bin_pix
        Side of a cell.
    counts
        Cells [shift in y, shift in x], from ``-limit_pix`` upwards; added to.

    Notes
    -----
    Costs the number of pairs within `limit_pix` in y: about 1 ns each.
    """
    rows, columns = counts.shape
    for i in range(x.size):
        first = np.searchsorted(reference_y, y[i] - limit_pix)
        for j in range(first, reference_y.size):
            dy = reference_y[j] - y[i]
            if dy >= limit_pix:
                break
            dx = reference_x[j] - x[i]
            if dx < -limit_pix or dx >= limit_pix:
                continue
            row = int((dy + limit_pix) / bin_pix)
            column = int((dx + limit_pix) / bin_pix)
            if row < rows and column < columns:
                counts[row, column] += 1


@njit(cache=True, nogil=True)
def fullest_cells(
    counts: NDArray[np.int32], best: NDArray[np.int64], votes: NDArray[np.int32]
) -> None:
    """Find the fullest blocks of 2 x 2 cells that do not overlap.

    Parameters
    ----------
    counts
        Cells, shape (rows, columns).
    best
        Out: row and column of the block's first cell, fullest first, shape (n, 2).
    votes
        Out: sum over the block, shape (n,); 0 where there are fewer blocks.

    Notes
    -----
    A single pass with insertion into the short list; about 1 ns a cell. Of two blocks that
    overlap the fuller one is kept, so that the list may end with a block less than it could hold.
    """
    n = votes.size
    votes[:] = 0
    best[:] = -2
    for row in range(counts.shape[0] - 1):
        for column in range(counts.shape[1] - 1):
            total = (
                counts[row, column]
                + counts[row + 1, column]
                + counts[row, column + 1]
                + counts[row + 1, column + 1]
            )
            if total <= votes[n - 1]:
                continue
            last = n - 1
            worse = False
            for k in range(n):
                if abs(best[k, 0] - row) <= 1 and abs(best[k, 1] - column) <= 1:
                    worse = total <= votes[k]
                    last = k
                    break
            if worse:
                continue
            while last > 0 and votes[last - 1] < total:
                votes[last], best[last, 0], best[last, 1] = (
                    votes[last - 1],
                    best[last - 1, 0],
                    best[last - 1, 1],
                )
                last -= 1
            votes[last], best[last, 0], best[last, 1] = total, row, column


@njit(cache=True, nogil=True)
def vote_similarity(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    reference_x: NDArray[np.float64],
    reference_y: NDArray[np.float64],
    log_scale_limit: float,
    shortest_pix: float,
    counts: NDArray[np.int32],
) -> None:
    """Add each pair of baselines to the cell of its ratio of lengths and angle between.

    A baseline joins two sources, or two references; the ratio and the angle do not depend on
    where the telescope points.

    Parameters
    ----------
    x, y, reference_x, reference_y
        Sources, shape (N,), and references, shape (M,), both with the brightest first: baselines
        run from the brighter to the fainter star, which tells an angle from its opposite.
    log_scale_limit
        Largest ``|ln(reference length / source length)|``.
    shortest_pix
        Shorter baselines of sources are passed over.
    counts
        Cells [ln ratio from ``-log_scale_limit``, angle from 0 to 2π]; added to.
    """
    rows, columns = counts.shape
    turn = 2.0 * np.pi
    number = reference_x.size * (reference_x.size - 1) // 2
    reference_length, reference_angle = np.empty(number), np.empty(number)
    n = 0
    for k in range(reference_x.size):
        for m in range(k + 1, reference_x.size):
            u, v = reference_x[m] - reference_x[k], reference_y[m] - reference_y[k]
            reference_length[n] = 0.5 * np.log(u * u + v * v + 1e-12)
            reference_angle[n] = np.arctan2(v, u)
            n += 1
    for i in range(x.size):
        for j in range(i + 1, x.size):
            dx, dy = x[j] - x[i], y[j] - y[i]
            length = np.hypot(dx, dy)
            if length < shortest_pix:
                continue
            log_length, angle = np.log(length), np.arctan2(dy, dx)
            for k in range(number):
                ratio = reference_length[k] - log_length
                if ratio < -log_scale_limit or ratio >= log_scale_limit:
                    continue
                row = int((ratio + log_scale_limit) / (2.0 * log_scale_limit) * rows)
                column = int(((reference_angle[k] - angle) % turn) / turn * columns)
                if row < rows and column < columns:
                    counts[row, column] += 1
