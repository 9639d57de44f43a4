"""Figures of merit of the benchmarks: those of :mod:`drpflow.qa.merit`, and what rivals need."""

from __future__ import annotations

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
from drpflow.qa.truth.cosmic_rays import CosmicRayCounts, count_cosmic_rays, star_cores

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
