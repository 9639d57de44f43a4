"""Fluxes without a model of the source: apertures, compensated filters, local background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.kernels.photometry import local_backgrounds, measure_fluxes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.measurement.work_image import WorkImage
    from drpflow.config.measurement import (
        CompensatedConfig,
        LocalBackgroundConfig,
        MeasurementConfig,
    )

    Columns = dict[str, NDArray[Any]]
    Float64 = NDArray[np.float64]

APERTURE_RADII_PIX = (3, 6, 9, 12, 17, 25, 35, 50, 70)
"""Radii of the apertures of the star table."""
COMPENSATED_GAUSSIAN_SIGMAS_PIX = (3, 5)
"""Widths of the compensated Gaussian fluxes of the star table."""
# Relative scatter of the ratio of two fluxes of a star that noise does not explain.
_RATIO_FLOOR = 0.003
# The errors of two fluxes that are nearly one do not tell their difference better than this.
_LEAST_NOISE = 0.2


def flux_columns(work: WorkImage, x: Float64, y: Float64, config: MeasurementConfig) -> Columns:
    """Measure apertures and compensated fluxes of all sources of a work image.

    Parameters
    ----------
    work
        Rows of its scene are the sources.
    x, y
        Centres, pixels, shape (n,).
    config
        Sizes of the compensated filters.

    Returns
    -------
    dict
        Columns of the star table. A flux that lacks a pixel is flagged; it is the sum of the
        pixels there are.
    """
    settings = config.compensated
    inner = settings.tophat_radius_pix
    tophat = (inner, settings.tophat_ratio * inner)
    radii = np.unique(np.array([*APERTURE_RADII_PIX, *tophat], float))
    filters = gaussian_filters(settings)
    apertures = np.empty((x.size, 3, radii.size))
    compensated = np.empty((x.size, 3, len(filters)))
    measure_fluxes(work.scene, np.arange(x.size), x, y, radii, filters, apertures, compensated)
    columns: Columns = {}
    for radius in APERTURE_RADII_PIX:
        k = int(np.searchsorted(radii, radius))
        _name(columns, f"ap{radius:02d}Flux", *apertures[:, :, k].T)
    _name(columns, "compTophatFlux", *_top_hat(apertures, np.searchsorted(radii, tophat), settings))
    for k, sigma in enumerate(COMPENSATED_GAUSSIAN_SIGMAS_PIX):
        _name(columns, f"compGaussianFlux{sigma}", *compensated[:, :, k].T)
    return columns


def gaussian_filters(config: CompensatedConfig) -> Float64:
    """Return σ, t and reach of the compensated Gaussian filters, shape (g, 3), pixels."""
    ratio = config.gaussian_ratio
    reach = ratio * np.sqrt(-2 * np.log(1 - config.gaussian_containment))
    return np.array([[s, ratio, reach * s] for s in COMPENSATED_GAUSSIAN_SIGMAS_PIX], float)


def _top_hat(
    apertures: Float64, pair: NDArray[np.intp], config: CompensatedConfig
) -> tuple[Float64, Float64, Float64]:
    """Return flux, variance and missing area of A(r) - [A(tr) - A(r)]/(t² - 1)."""
    disc, outer = apertures[:, :, pair[0]], apertures[:, :, pair[1]]
    share = 1 / (config.tophat_ratio**2 - 1)
    ring = outer - disc
    flux = disc[:, 0] - share * ring[:, 0]
    return flux, disc[:, 1] + share**2 * ring[:, 1], outer[:, 2]


def _name(columns: Columns, name: str, flux: Float64, variance: Float64, missing: Float64) -> None:
    columns[f"{name}_instFlux"] = flux.copy()
    columns[f"{name}_instFluxErr"] = np.sqrt(variance)
    columns[f"{name}_flag"] = (missing > 0) | ~(variance > 0)


def normalized_top_hat(
    columns: Mapping[str, NDArray[Any]], stars: NDArray[np.bool_]
) -> tuple[Columns, float]:
    """Put compensated top-hat fluxes on the scale of the 12-pixel aperture.

    One factor a detector: that of the light of a star that the ring takes off. It leaves the
    insensitivity to the background. The factor is the median over stars of aperture over top-hat
    flux, each with the weight that the noise of the ring leaves it: what the sky is wrong by is in
    the aperture, so that the ratio of faint stars is wrong by more, and all to one side.

    Parameters
    ----------
    columns
        The star table's: both fluxes with errors and flags.
    stars
        The stars to take, shape (n,).

    Returns
    -------
    columns
        ``normCompTophatFlux_*``. All are NaN and flagged if no star is good.
    factor
        NaN if no star is good.
    """
    flux, aperture, flux_error, aperture_error = (
        np.asarray(columns[f"{name}_{what}"], float)
        for what in ("instFlux", "instFluxErr")
        for name in ("compTophatFlux", "ap12Flux")
    )
    good = stars & ~columns["compTophatFlux_flag"].astype(bool)
    good &= ~columns["ap12Flux_flag"].astype(bool)
    good &= (flux > 0) & (aperture > 0) & np.isfinite(flux_error) & np.isfinite(aperture_error)
    # Both hold the noise of the disc; the ratio has that of the ring alone.
    ring = np.maximum(flux_error**2 - aperture_error**2, _LEAST_NOISE * aperture_error**2)
    weight = 1 / (ring[good] / flux[good] ** 2 + _RATIO_FLOOR**2)
    factor = _weighted_median(aperture[good] / flux[good], weight)
    name = "normCompTophatFlux"
    return {
        f"{name}_instFlux": flux * factor,
        f"{name}_instFluxErr": flux_error * factor,
        f"{name}_flag": columns["compTophatFlux_flag"].astype(bool) | ~np.isfinite(factor),
    }, factor


def _weighted_median(values: Float64, weight: Float64) -> float:
    """Return the value with half of the weight on either side; NaN of none."""
    if not values.size:
        return float("nan")
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order]) - weight[order] / 2
    return float(np.interp(weight.sum() / 2, below, values[order]))


def local_background_columns(
    work: WorkImage, x: Float64, y: Float64, sigma_pix: float, config: LocalBackgroundConfig
) -> Columns:
    """Measure the background that is left in a ring about each source, off all footprints.

    Parameters
    ----------
    work
        Pixels are taken from its original image.
    x, y
        Centres, pixels, shape (n,).
    sigma_pix
        Sigma of the PSF.
    config
        The ring and its clipping.
    """
    blocked = work.occupied | work.scene.excluded
    blocked |= np.isnan(work.scene.image)
    found = np.empty((x.size, 3))
    radii = config.inner_sigma * sigma_pix, config.outer_sigma * sigma_pix
    image = np.ascontiguousarray(work.original, np.float32)
    local_backgrounds(image, blocked, x, y, *radii, config.clip_sigma, found)
    failed = ~(found[:, 2] >= config.min_pixels)
    found[failed, :2] = np.nan
    return {
        "localBackground_instFlux": found[:, 0].copy(),
        "localBackground_instFluxErr": found[:, 1].copy(),
        "localBackground_flag": failed,
    }
