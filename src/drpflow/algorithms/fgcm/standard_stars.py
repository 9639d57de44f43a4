"""Standard magnitudes of all stars from calibrated observations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.noise import taper
from drpflow.algorithms.fgcm.robust import medians
from drpflow.algorithms.fgcm.rows import distinct
from drpflow.algorithms.fgcm.slopes import sensitivities, spectral_slopes
from drpflow.kernels.fgcm import MAG_PER_LN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.cycles import Solution
    from drpflow.algorithms.fgcm.result import FgcmResult, StandardStars
    from drpflow.config.fgcm import FgcmConfig, FitNoiseConfig
    from drpflow.data.photometric_tables import Observations, Stars

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_ROUNDS = 3
_MAX_LEVERAGE = 0.9
# Fainter stars, S/N below 3 in a measurement, count not: where the flux came out negative there is
# no magnitude, and the mean of the others is too bright.
_LARGEST_ERROR_MAG = MAG_PER_LN / 3


def standard_stars(
    result: FgcmResult,
    observations: Observations,
    stars: Stars,
    solution: Solution,
    config: FgcmConfig,
) -> StandardStars:
    """Return robust mean magnitudes, of reserved and variable stars too.

    Of rows that show a star twice in a visit the better one counts, as in the fit.

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
    rows = distinct(observations)[0]
    o = observations.take(rows)
    calibrated = result.calibrated(o)
    kept = np.isfinite(calibrated)
    star, visit, detector = (column[kept] for column in (o.star, o.visit, o.detector))
    band = result.visit_band[visit].astype(np.int64)
    noise, size = solution.noise, len(stars) * len(result.bands)
    pair = star * np.int64(len(result.bands)) + band
    values = Measured(
        calibrated[kept],
        o.mag_err[kept].astype(np.float64),
        noise.factor[band],
        noise.floor[band] ** 2 + noise.extra[visit] + result.zero_point_error[visit, detector] ** 2,
    )
    mean, deviation, weight = flux_means(pair, values, size, config.noise)
    shape = (len(stars), len(result.bands))
    good = weight > 0
    total = np.bincount(pair, weight, size)
    with np.errstate(divide="ignore"):
        err = np.where(total > 0, 1 / np.sqrt(total), np.nan)
    chi2 = np.bincount(pair, np.where(good, deviation**2, 0.0), size).astype(np.float64)
    return replace(
        result.stars,
        mag=mean.reshape(shape),
        err=err.reshape(shape),
        n_good=np.bincount(pair[good], minlength=size).astype(np.int32).reshape(shape),
        n_total=np.bincount(pair, minlength=size).astype(np.int32).reshape(shape),
        chi2=chi2.reshape(shape),
    )


def with_own_slopes(
    stars: StandardStars, solution: Solution, config: FgcmConfig
) -> StandardStars | None:
    """Return the stars with slopes of spectra by their own magnitudes where the fit knew none.

    Stars that are in no fit, as the reserved ones, have a slope from the catalogue at best, others
    none in bands in which they were seen once: their standard magnitudes tell. None if they tell
    nothing that is not known.

    Parameters
    ----------
    stars
        With the magnitudes that follow from the slopes of the fit.
    solution
        The end of the fit.
    config
        Sensitivities.
    """
    model, rows = solution.problem.model, solution.problem.rows
    of_fit = np.zeros(len(stars.mag), np.bool_)
    of_fit[rows.star[rows.pair[~rows.is_reference]]] = True
    mags = np.where(np.isfinite(stars.mag), stars.mag, solution.mags)
    sensitivity = sensitivities(model.visits.bands, config)
    slope, measured = spectral_slopes(
        mags, model.wavelength_nm, sensitivity, config.default_color_mag
    )
    better = measured & (~stars.slope_measured | ~of_fit[:, None])
    if not better.any():
        return None
    return replace(
        stars,
        slope=np.where(better, slope * solution.state.kappa, stars.slope),
        slope_measured=stars.slope_measured | better,
    )


@dataclass(frozen=True, eq=False)
class Measured:
    """Magnitudes of N measurements and what is known of their errors.

    Parameters
    ----------
    value, error
        Magnitude, and its error as the catalogue has it.
    factor
        By which such errors are too small.
    beside
        Variance beside them.
    """

    value: Floats
    error: Floats
    factor: Floats
    beside: Floats


def flux_means(
    label: NDArray[np.integer], measured: Measured, size: int, config: FitNoiseConfig
) -> tuple[Floats, Floats, Floats]:
    """Return mean magnitudes by label, robustly, from the means of fluxes.

    The mean of magnitudes of noisy fluxes is too faint by 0.54/(S/N)² mag, and weights of the
    measured errors make it too bright by three times as much: see
    :func:`drpflow.algorithms.fgcm.noise.variance_of_mean_flux`. The mean of a star with a gross
    outlier would be far from all: its median begins.

    Returns
    -------
    mean : ndarray, shape (size,)
        [mag], NaN where nothing counts.
    deviation : ndarray, shape (N,)
        From the mean in units of the error.
    weight : ndarray, shape (N,)
        [mag⁻²], 0 for what does not count.
    """
    center = medians(label, measured.value, size)
    leverage = np.full(label.size, 0.5)
    for _ in range(_ROUNDS + 1):
        about = np.where(np.isfinite(center[label]), measured.value - center[label], np.inf)
        # Flux over the mean flux of the star; what is far beyond all noise has no weight.
        ratio = 10 ** (-0.4 * np.clip(about, -10.0, 10.0))
        error = measured.factor * measured.error * ratio
        variance = error**2 + measured.beside
        deviation = MAG_PER_LN * (1 - ratio) / np.sqrt(variance)
        counts = np.isfinite(about) & (error <= _LARGEST_ERROR_MAG)
        weight = np.where(counts, taper(deviation / np.sqrt(1 - leverage), config) / variance, 0.0)
        total = np.bincount(label, weight, size)
        known = total > 0
        mean = np.bincount(label, weight * ratio, size) / np.where(known, total, 1.0)
        leverage = np.minimum(weight / np.where(known, total, 1.0)[label], _MAX_LEVERAGE)
        last = center
        center = np.full(size, np.nan)
        center[known] = last[known] - 2.5 * np.log10(mean[known])
    return center, deviation, weight
