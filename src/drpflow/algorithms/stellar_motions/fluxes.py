"""Mean fluxes of stars near the limit, where only what exceeds it was found.

Of a star at the limit, visits show those moments at which noise made it brighter: the mean of its
fluxes is too large, and each centroid's error, which was stated by the flux of its own visit, too
small. Both are set right here. Directions are not biased: noise that moves a centroid is odd about
the star, noise that makes it brighter is even.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

_ROUNDS, _SETTLED = 20, 1e-4
_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
# The likelihood of a few fluxes at the limit rises for ever fainter stars. One that is fainter than
# this share of what is found of it exceeds the limit in a quarter of the visits.
_LEAST_SHARE = 0.8


def mean_fluxes(
    key: Integers, n: int, flux: Floats, error: Floats, threshold: float, scatter: float
) -> tuple[Floats, Floats]:
    """Return the most likely constant fluxes, given that each measurement exceeded a limit.

    Maximum of Π N(f_i; F, σ_i) / Φ((F - t σ_i)/σ_i) by Newton's method.

    Parameters
    ----------
    key
        Which star (and band) each measurement is of, 0 to `n` - 1.
    n
        Number of these.
    flux, error
        Measurements; rows that are not finite do not count.
    threshold
        t, the significance from which sources are in the catalogue.
    scatter
        Relative scatter of true fluxes, in quadrature to the errors in the weights.

    Returns
    -------
    mean, error : ndarray of float, shape (n,)
        NaN where nothing is known.
    """
    from scipy.special import log_ndtr

    good = np.isfinite(flux) & (error > 0) & (flux > 0)
    key, flux, error = key[good], flux[good], error[good]
    sigma2 = error**2 + (scatter * flux) ** 2
    weight = np.bincount(key, 1 / sigma2, minlength=n)
    with np.errstate(invalid="ignore", divide="ignore"):
        start = np.bincount(key, flux / sigma2, minlength=n) / weight
    mean = start.copy()
    sigma = np.sqrt(sigma2)
    for _ in range(_ROUNDS):
        u = (mean[key] - threshold * error) / sigma
        ratio = np.exp(-0.5 * u * u - _HALF_LOG_2PI - log_ndtr(u))
        slope = np.bincount(key, ((flux - mean[key]) / sigma - ratio) / sigma, minlength=n)
        bend = np.bincount(key, (1 - ratio * (ratio + u)) / sigma2, minlength=n)
        with np.errstate(invalid="ignore", divide="ignore"):
            step = slope / np.maximum(bend, 0.05 * weight)
        new = np.clip(mean + step, _LEAST_SHARE * start, start)
        settled = np.nanmax(np.abs(new / mean - 1), initial=0.0) < _SETTLED
        mean = new
        if settled:
            break
    with np.errstate(invalid="ignore", divide="ignore"):
        return mean, 1 / np.sqrt(np.maximum(bend, 0.05 * weight))


def flux_ratio(flux: Floats, error: Floats, mean: Floats, scatter: float) -> Floats:
    """Return measured fluxes over what the fluxes probably were, shape (N,).

    A faint star is as bright as in the mean, a bright one as bright as it was measured.

    Parameters
    ----------
    flux, error
        Measurements.
    mean
        Mean flux of the star, NaN where unknown.
    scatter
        Relative scatter of true fluxes.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        own, common = 1 / error**2, 1 / (scatter * mean) ** 2
        likely = (flux * own + mean * common) / (own + common)
        ratio = flux / likely
    return np.where(np.isfinite(ratio), np.clip(ratio, 0.5, 2.0), 1.0)
