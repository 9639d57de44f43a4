"""Slopes of stellar spectra from magnitudes (Burke et al. 2018, section 3.3).

F' = (ln 10 / 2.5) · -dm/dλ is the relative change of f_ν with wavelength. Between the effective
wavelengths of neighbouring bands it is the colour over their distance; in a band, the mean of those
to its sides, times a sensitivity, as spectra are not straight lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Stars

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_LN_PER_MAG = np.log(10.0) / 2.5
_DEFAULT_DISTANCE_NM = 150.0
# Beyond this a slope is that of no star, but of a wrong magnitude [1/nm].
_LARGEST = 0.03


def sensitivities(bands: Sequence[str], config: FgcmConfig) -> Floats:
    """Return the slope inside each band over that between bands, as expected, (B,)."""
    return np.array([config.instrument.sensitivity.get(band, 1.0) for band in bands])


def slopes_of_stars(
    stars: Stars, mags: Floats, wavelength_nm: Floats, sensitivity: Floats, default_color: float
) -> tuple[Floats, Bools]:
    """Return :func:`spectral_slopes`, by the catalogue's colours where a star has no others.

    The catalogue may have bands that no visit has: they alone tell colours in a survey of one band.
    Its magnitudes are never mixed with those of the visits, whose scale may be relative.

    Parameters
    ----------
    stars
        With the catalogue's magnitudes.
    mags, wavelength_nm, sensitivity, default_color
        As for :func:`spectral_slopes`.
    """
    slope, measured = spectral_slopes(mags, wavelength_nm, sensitivity, default_color)
    catalog = stars.catalog(wavelength_nm)
    if catalog is None or stars.color_mag is None:
        return slope, measured
    n_bands = mags.shape[1]
    every = np.concatenate([sensitivity, np.ones(stars.color_mag.shape[1])])
    own, told = spectral_slopes(*catalog, every, default_color)
    own, told = own[:, :n_bands], told[:, :n_bands]
    fallback = np.where(measured.any(axis=0), slope, own)
    return np.where(told & ~measured, own, fallback), measured | told


def spectral_slopes(
    mags: Floats, wavelength_nm: Floats, sensitivity: Floats, default_color: float
) -> tuple[Floats, Bools]:
    """Return F' of each star in each band, and where it was measured rather than assumed.

    Parameters
    ----------
    mags
        Standard magnitudes, shape (S, B), NaN where unknown.
    wavelength_nm
        Effective wavelengths, (B,), NaN for a band that was not used.
    sensitivity
        Slope inside a band over that between bands, (B,).
    default_color
        Colour (bluer minus redder band) per 150 nm of a star if there is no colour of any star.

    Returns
    -------
    slope : ndarray, shape (S, B)
        [1/nm]; the median of the others' for a star without colour.
    measured : ndarray, shape (S, B)
        Whether the star has a colour.
    """
    used = np.flatnonzero(np.isfinite(wavelength_nm))
    order = used[np.argsort(wavelength_nm[used])]
    slope = np.full(mags.shape, np.nan)
    between = _between(mags[:, order], wavelength_nm[order])
    slope[:, order] = _inside(between)
    slope *= sensitivity
    with np.errstate(invalid="ignore"):
        slope = np.clip(slope, -_LARGEST, _LARGEST)
    measured = np.isfinite(slope)
    usual = _LN_PER_MAG * default_color / _DEFAULT_DISTANCE_NM * sensitivity
    for band in range(mags.shape[1]):
        if measured[:, band].any():
            usual[band] = np.median(slope[measured[:, band], band])
    return np.where(measured, slope, usual), measured


def _between(mags: Floats, wavelength_nm: Floats) -> Floats:
    """Return slopes between neighbouring bands, the nearest that a star has; (S, B - 1).

    A band that a star lacks is bridged: the slope between the bands beside it stands in for both.
    """
    n_stars, n_bands = mags.shape
    out = np.full((n_stars, max(n_bands - 1, 0)), np.nan)
    for step in range(1, n_bands):
        for left in range(n_bands - step):
            right = left + step
            distance = wavelength_nm[right] - wavelength_nm[left]
            slope = -_LN_PER_MAG * (mags[:, right] - mags[:, left]) / distance
            for k in range(left, right):
                out[:, k] = np.where(np.isnan(out[:, k]), slope, out[:, k])
    return out


def _inside(between: Floats) -> Floats:
    """Return the mean of the slopes to both sides, or the one there is; (S, B)."""
    edge = np.full((len(between), 1), np.nan)
    left, right = np.hstack([edge, between]), np.hstack([between, edge])
    both = (left + right) / 2
    one = np.where(np.isnan(left), right, left)
    return np.where(np.isnan(both), one, both)
