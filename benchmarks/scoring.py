"""Figures of merit of the benchmarks: those of :mod:`drpflow.qa.merit`, and what rivals need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drpflow.qa.merit import (
    RESAMPLINGS,
    Figure,
    away_from,
    match,
    nearness,
    pull_figure,
    pull_width,
    resampled,
    resampled_groups,
    rms,
    robust_sigma,
    shape_errors,
    share,
    slope,
)

__all__ = [
    "RESAMPLINGS",
    "CosmicRayCounts",
    "Figure",
    "at_false_rate",
    "away_from",
    "best_fit_error",
    "count_cosmic_rays",
    "match",
    "nearness",
    "polynomial_design",
    "pull_figure",
    "pull_width",
    "resampled",
    "resampled_groups",
    "rms",
    "robust_sigma",
    "shape_errors",
    "share",
    "slope",
    "star_cores",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class CosmicRayCounts:
    """Pixels counted on one frame."""

    hit: int
    """Hit by more than the threshold."""
    hit_masked: int
    core: int
    """In the cores of stars, and not hit."""
    core_masked: int

    def __add__(self, other: CosmicRayCounts) -> CosmicRayCounts:
        return CosmicRayCounts(
            self.hit + other.hit,
            self.hit_masked + other.hit_masked,
            self.core + other.core,
            self.core_masked + other.core_masked,
        )


def count_cosmic_rays(
    masked: Bools,
    electron: NDArray,
    sigma_electron: float,
    cores: Bools,
    usable: Bools,
    threshold: float = 10.0,
) -> CosmicRayCounts:
    """Compare a mask with the charge that cosmic rays left.

    Parameters
    ----------
    masked
        What was taken for cosmic rays.
    electron
        Charge of cosmic rays, electrons.
    sigma_electron
        Noise of the sky.
    cores
        Pixels in the cores of stars.
    usable
        Pixels that count: neither saturated nor defective.
    threshold
        Charge in units of the noise above which a pixel should be found. A core pixel with more
        than half a sigma of it is not counted as falsely masked, nor are its neighbours.
    """
    from scipy.ndimage import binary_dilation

    hit = usable & (electron > threshold * sigma_electron)
    touched = binary_dilation(electron > 0.5 * sigma_electron, np.ones((3, 3), bool))
    clean = usable & cores & ~touched
    return CosmicRayCounts(
        int(hit.sum()), int((hit & masked).sum()), int(clean.sum()), int((clean & masked).sum())
    )


def star_cores(shape: tuple[int, int], x: ArrayLike, y: ArrayLike, radius_pix: float) -> Bools:
    """Return the pixels whose centres lie within a radius of stars."""
    cores = np.zeros(shape, bool)
    reach = int(np.ceil(radius_pix))
    for cx, cy in zip(np.asarray(x, float), np.asarray(y, float), strict=True):
        column, row = round(cx), round(cy)
        x0, x1 = max(column - reach, 0), min(column + reach + 1, shape[1])
        y0, y1 = max(row - reach, 0), min(row + reach + 1, shape[0])
        v, u = np.mgrid[y0:y1, x0:x1]
        cores[y0:y1, x0:x1] |= (u - cx) ** 2 + (v - cy) ** 2 <= radius_pix**2
    return cores


def at_false_rate(false: ArrayLike, completeness: ArrayLike, wanted: float) -> float:
    """Return the completeness of a detector at a false rate, between its thresholds.

    Parameters
    ----------
    false, completeness
        At each of its thresholds.
    wanted
        The false rate. Outside the range that was tried the nearest end counts.
    """
    order = np.argsort(false)
    return float(np.interp(wanted, np.asarray(false)[order], np.asarray(completeness)[order]))


def polynomial_design(x: ArrayLike, y: ArrayLike, order: int) -> Floats:
    """Return 1, x, y, x², … to a total degree, columns."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    return np.column_stack(
        [x**i * y**j for n in range(order + 1) for j in range(n + 1) for i in [n - j]]
    )


def best_fit_error(
    star: tuple[Floats, Floats], shift: Floats, sigma: Floats, grid: tuple[Floats, Floats],
    true_shift: Floats, order: int,
) -> float:  # fmt: skip
    """Return the rms error on a grid of a polynomial fitted to stars: what is attainable.

    Parameters
    ----------
    star
        x and y of the stars, scaled to about -1 to 1.
    shift
        What is fitted, with its errors in it, shape (N, 2).
    sigma
        Standard deviation of each star's shift along one axis.
    grid, true_shift
        Where the fit is compared, in the units of `star`, and the truth there, shape (M, 2).
    order
        Total degree.
    """
    design = polynomial_design(*star, order)
    if len(design) < design.shape[1]:
        return float("nan")
    weighted = design / sigma[:, None]
    solution = np.linalg.lstsq(weighted, shift / sigma[:, None], rcond=None)[0]
    error = polynomial_design(*grid, order) @ solution - true_shift
    return float(np.sqrt(np.mean(np.square(error).sum(axis=1))))
