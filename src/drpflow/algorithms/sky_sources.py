"""Places without sources, whose measured fluxes say what the sky does to those of sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.kernels.detection import find_spans, paint_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRAWS_PER_PLACE = 20


def place_sky_sources(
    occupied: NDArray[np.bool_], n: int, radius_pix: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Choose places at random among those that a disc of empty pixels surrounds.

    Parameters
    ----------
    occupied
        Pixels of sources and unusable ones, shape (ny, nx). Give the mask with which the
        background was measured as well as the footprints: between the two lie the wings of
        stars, which are no sky.
    n
        Places wanted.
    radius_pix
        No occupied pixel and no edge within this distance; places are twice as far from each
        other, so that their discs do not overlap.
    rng
        Source of the random choice.

    Returns
    -------
    x, y : ndarray, float64, shape (up to n,)
        Centres of pixels; fewer than n where there is no room for more.
    """
    ny, nx = occupied.shape
    near = _near(occupied, radius_pix)
    margin = int(np.ceil(radius_pix))
    near[:margin], near[ny - margin :], near[:, :margin], near[:, nx - margin :] = (True,) * 4
    free_in_row = nx - np.count_nonzero(near, axis=1)
    last = np.cumsum(free_in_row)
    n_free = int(last[-1])
    n_draws = min(_DRAWS_PER_PLACE * n, n_free)
    draws = rng.integers(0, max(1, n_free), n_draws)
    chosen_x: list[int] = []
    chosen_y: list[int] = []
    for draw in draws:
        y = int(np.searchsorted(last, draw, side="right"))
        x = int(np.flatnonzero(~near[y])[draw - last[y] + free_in_row[y]])
        distance = np.hypot(np.subtract(chosen_x, x), np.subtract(chosen_y, y))
        if np.all(distance > 2 * radius_pix):
            chosen_x.append(x)
            chosen_y.append(y)
        if len(chosen_x) == n:
            break
    return np.array(chosen_x, np.float64), np.array(chosen_y, np.float64)


def _near(occupied: NDArray[np.bool_], radius_pix: float) -> NDArray[np.bool_]:
    """Return the pixels within a distance of occupied ones."""
    reach = int(radius_pix)
    offset = np.arange(-reach, reach + 1)
    near = np.zeros(occupied.shape, bool)
    paint_spans(*find_spans(occupied), np.sqrt(radius_pix**2 - offset**2).astype(np.int64), near)
    return near
