"""Repulsion of arriving charge by the charge that a pixel has collected already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.kernels import brighter_fatter as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class BrighterFatterFit:
    """How the iteration went.

    Parameters
    ----------
    iterations
        Number of passes.
    change_electron
        Largest mean |change| of a pixel in any tile at the last pass, electron.
    converged
        Whether that is below the threshold.
    """

    iterations: int
    change_electron: float
    converged: bool


def correct_brighter_fatter(
    image: NDArray[np.float32],
    kernel: NDArray[np.float64],
    *,
    bad: NDArray[np.bool_] | None = None,
    threshold_electron: float = 1e-4,
    max_iterations: int = 10,
) -> BrighterFatterFit:
    """Move charge back to the pixels that it would have fallen into, in place.

    Solves ``I = observed + ½ ∇·(I ∇(K⊗I))`` (Coulton et al. 2018, AJ 155, 258) by fixed-point
    steps. A tile of pixels is left alone once it and its neighbours have converged, so that
    later steps cost little. The total charge is conserved.

    Parameters
    ----------
    image
        Electrons without dark current, shape (ny, nx).
    kernel
        K, shape (n, n), n odd, electron-1.
    bad
        Pixels whose value says nothing of their charge. They take their neighbours' value
        while charge is moved, and keep their own. Pixels that are not finite count as bad.
    threshold_electron
        Converged when the mean |change| of a pixel is less in each tile, or no more than half a
        unit in the last place of its level: rounding moves as much back and forth for ever.
    max_iterations
        Most steps.
    """
    unusable = ~np.isfinite(image) if bad is None else bad | ~np.isfinite(image)
    kept = image[unusable]
    _bridge(image, unusable)
    observed = image.copy()
    delta = np.zeros_like(image)
    kernel32 = np.ascontiguousarray(kernel, np.float32)
    level = float(np.median(np.abs(observed)))
    threshold = max(threshold_electron, level * float(np.finfo(np.float32).eps) / 2)
    active = np.ones(kernels.tile_grid(*image.shape), np.bool_)
    change = np.zeros(active.shape)
    iterations = 0
    while active.any() and iterations < max_iterations:
        kernels.divergence(image, kernel32, active, delta)
        change[~active] = 0.0
        kernels.apply_change(observed, delta, active, image, change)
        active = _with_neighbours(change >= threshold)
        iterations += 1
    image[unusable] = kept
    return BrighterFatterFit(iterations, float(change.max()), not active.any())


def _bridge(image: NDArray[np.float32], unusable: NDArray[np.bool_]) -> None:
    """Give unusable pixels the value between the usable ones of their row, in place."""
    level: np.float32 | None = None
    for y in np.flatnonzero(unusable.any(axis=1)):
        good = np.flatnonzero(~unusable[y])
        holes = np.flatnonzero(unusable[y])
        if good.size:
            image[y, holes] = np.interp(holes, good, image[y, good])
            continue
        if level is None:
            level = np.float32(np.median(image[~unusable])) if not unusable.all() else np.float32(0)
        image[y] = level


def _with_neighbours(tiles: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the tiles and those around them."""
    grown = tiles.copy()
    grown[1:] |= tiles[:-1]
    grown[:-1] |= tiles[1:]
    wide = grown.copy()
    wide[:, 1:] |= grown[:, :-1]
    wide[:, :-1] |= grown[:, 1:]
    return wide
