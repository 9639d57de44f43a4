"""Standard magnitudes of all stars from calibrated observations."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.noise import taper
from drpflow.algorithms.fgcm.result import StandardStars
from drpflow.kernels.fgcm import segment_medians

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.cycles import Solution
    from drpflow.algorithms.fgcm.result import FgcmResult
    from drpflow.config.fgcm import FgcmConfig, FitNoiseConfig
    from drpflow.data.photometric_tables import Observations, Stars

    Floats: TypeAlias = NDArray[np.float64]

_ROUNDS = 3


def standard_stars(
    result: FgcmResult,
    observations: Observations,
    stars: Stars,
    solution: Solution,
    config: FgcmConfig,
) -> StandardStars:
    """Return robust mean magnitudes, of reserved and variable stars too.

    Parameters
    ----------
    result
        The calibration, without standard magnitudes yet; slopes must hold for all stars.
    observations, stars
        All of them.
    solution
        Of the fit, for its error model.
    config
        Clipping.
    """
    o, n_bands = observations, len(result.bands)
    calibrated = result.calibrated(o)
    error = o.mag_err.astype(np.float64)
    kept = np.flatnonzero(np.isfinite(calibrated) & np.isfinite(error) & (error > 0))
    value, error = calibrated[kept], error[kept]
    band = result.visit_band[o.visit[kept]].astype(np.int64)
    pair = o.star[kept] * np.int64(n_bands) + band
    noise, size = solution.noise, len(stars) * n_bands
    variance = (noise.factor[band] * error) ** 2 + noise.floor[band] ** 2
    variance += noise.extra[o.visit[kept]]
    variance += result.zero_point_error[o.visit[kept], o.detector[kept]] ** 2
    mean, residual, weight = _robust_means(pair, value, variance, size, config.noise)
    shape = (len(stars), n_bands)
    good = weight > 0
    total = np.bincount(pair, weight, size)
    with np.errstate(divide="ignore"):
        err = np.where(total > 0, 1 / np.sqrt(total), np.nan)
    chi2 = np.bincount(pair, np.where(good, residual**2 / variance, 0.0), size).astype(np.float64)
    return StandardStars(
        mean.reshape(shape),
        err.reshape(shape),
        np.bincount(pair[good], minlength=size).astype(np.int32).reshape(shape),
        np.bincount(pair, minlength=size).astype(np.int32).reshape(shape),
        chi2.reshape(shape),
        result.stars.slope,
        result.stars.slope_measured,
        solution.variable,
    )


def _medians(label: NDArray[np.integer], value: Floats, number: int) -> Floats:
    """Return the median of the values of each label below `number`, NaN where there are none."""
    order = np.argsort(label, kind="stable").astype(np.int64)
    count = np.bincount(label, minlength=number)
    out = np.empty(number)
    segment_medians(np.concatenate([[0], np.cumsum(count)]).astype(np.int64), order, value, out)
    return out


def _robust_means(
    pair: NDArray[np.integer], value: Floats, variance: Floats, size: int, config: FitNoiseConfig
) -> tuple[Floats, Floats, Floats]:
    """Return the means of the pairs (NaN without weight), residuals and weights of the values.

    The mean of a star with a gross outlier would be far from all: its median begins.
    """
    t = (value - _medians(pair, value, size)[pair]) / np.sqrt(2 * variance)
    for _ in range(_ROUNDS):
        weight = taper(t, config) / variance
        total = np.bincount(pair, weight, size)
        known = total > 0
        mean = np.where(known, np.bincount(pair, weight * value, size), np.nan)
        mean[known] /= total[known]
        residual = value - mean[pair]
        leverage = np.minimum(weight / np.where(known, total, 1.0)[pair], 0.9)
        t = residual / np.sqrt(variance * (1 - leverage))
        # All values of the star disagree: none counts.
        t[~known[pair]] = np.inf
    return mean, residual, taper(t, config) / variance
