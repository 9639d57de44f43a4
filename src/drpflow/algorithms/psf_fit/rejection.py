"""Which stars a model of the PSF is not made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.profile import Moffat
    from drpflow.algorithms.psf_fit.stamps import Stamps
    from drpflow.algorithms.psf_fit.stars import Comparison

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

EARLY_ERROR = (0.2, 0.1, 0.05, 0.02)
"""Relative error of the model that the first rounds allow for.

While the model is rough, what it misses must not be taken for outliers: from the second round on
the free pixels approach what the brightest stars show.
"""
_EARLY_MASKED_LIGHT = 0.5
_MAX_WANDER_PIX = 2.0
# Bright stars show errors of the model that faint ones hide: χ² that is larger by a factor of
# exp(4 × 0.25) = 2.7 is no reason to drop a star.
_LOG_CHI2_SPREAD = 0.25


def light_lost(stamps: Stamps, profile: Moffat) -> Floats:
    """Return the fraction of each star's light on pixels that cannot be used."""
    offsets = np.arange(-stamps.half_size, stamps.half_size + 1).astype(float)
    light = profile(offsets[None, :], offsets[:, None])
    return np.where(stamps.good, 0, light).sum(axis=(1, 2)) / light.sum()


def plausible(
    seen: Comparison, max_masked_light: float, star_outlier_sigma: float, *, last: bool
) -> Bools:
    """Return which stars have a flux, stand where they should, and resemble the model.

    Parameters
    ----------
    seen
        The model beside the stars.
    max_masked_light
        Most of a star's light on pixels that are not used.
    star_outlier_sigma
        Largest χ², in standard deviations of its logarithm.
    last
        Whether the model is good enough to judge stars by it.
    """
    places = seen.places
    kept = np.isfinite(places.flux) & (places.flux > 0)
    kept &= np.hypot(places.dx, places.dy) < _MAX_WANDER_PIX
    # While the model is rough, it is the model that is masked.
    kept &= seen.masked_light() <= (max_masked_light if last else _EARLY_MASKED_LIGHT)
    if last and kept.sum() > 4:
        chi2 = np.log(np.maximum(seen.chi2_per_pixel(), 1e-3))
        middle = np.median(chi2[kept])
        spread = max(1.4826 * float(np.median(np.abs(chi2[kept] - middle))), _LOG_CHI2_SPREAD)
        kept &= chi2 - middle < star_outlier_sigma * spread
    return kept


def outlying(residual: Floats, sigma: Floats, star_outlier_sigma: float) -> Bools:
    """Return which stars differ from the field of sizes and ellipticities.

    Parameters
    ----------
    residual, sigma
        Amplitudes of modes minus the field, and their expected deviations, shape (N, M).
    star_outlier_sigma
        What belongs to something else.
    """
    deviation = residual[:, :3] / sigma[:, :3]
    scale = np.maximum(1.4826 * np.median(np.abs(deviation), axis=0), 0.7)
    return np.any(np.abs(deviation) > star_outlier_sigma * scale, axis=1)
