"""How deep an exposure goes: sky, noise, limiting magnitude, effective time, and where it looks.

Each function returns entries of :class:`~drpflow.data.summary_stats.SummaryStats` by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.sky_geometry import horizontal_deg, mean_place_deg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.photometry import DepthConfig
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.summary_stats import SummaryStats
    from drpflow.data.visit_info import VisitInfo

    Statistics: TypeAlias = dict[str, float]

_FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
_CORNERS = ("ll", "lr", "ur", "ul")


def sky_statistics(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    detected: NDArray[np.bool_],
    unusable: NDArray[np.bool_],
    sky_electron: float,
    config: DepthConfig,
) -> Statistics:
    """Return the sky's level and noise, the mean variance, and the fraction of bad pixels.

    Parameters
    ----------
    image, variance
        Electrons with the background subtracted, electron², shape (ny, nx).
    detected
        Pixels with sources.
    unusable
        Pixels without a value.
    sky_electron
        Median of what was subtracted.
    config
        Parameters.

    Notes
    -----
    From every k-th pixel, k such that about ``sample_pixels`` remain, odd steps along rows so
    that no column pattern repeats: 1 % on the noise with 5,000 pixels, 0.1 % with 400,000.
    """
    step = max(1, image.size // config.sample_pixels) | 1
    blank = ~(detected.ravel()[::step] | unusable.ravel()[::step])
    values = image.ravel()[::step][blank].astype(np.float64)
    variances = variance.ravel()[::step][blank].astype(np.float64)
    found = {"skyBg": float(sky_electron), "maskedFraction": float(unusable.mean())}
    good = np.isfinite(values) & np.isfinite(variances)
    if good.sum() < 2:
        return found
    found["skyNoise"] = _clipped_deviation(values[good], config.clip_sigma)
    found["meanVar"] = float(variances[good].mean())
    return found


def _clipped_deviation(values: NDArray[np.float64], clip_sigma: float) -> float:
    """Return the standard deviation about the mean within clipped limits, corrected for these."""
    middle = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - middle)))
    kept = values[np.abs(values - middle) <= clip_sigma * sigma]
    if kept.size < 2:
        return sigma
    # A Gaussian cut at ±c keeps the variance 1 - 2 c φ(c) / (1 - 2 Q(c)).
    from math import erf, exp, pi, sqrt

    lost = 2 * clip_sigma * exp(-(clip_sigma**2) / 2) / sqrt(2 * pi)
    return float(kept.std()) / sqrt(1 - lost / erf(clip_sigma / sqrt(2)))


def limiting_magnitude(
    zero_point_mag: float,
    psf_area_pix: float,
    pixel_variance_electron2: float,
    *,
    snr: float = 5.0,
    ap_corr: float = 1.0,
) -> float:
    """Return the AB magnitude of a point source with some signal to noise.

    C electrons in a PSF of effective area A on pixels of variance v have the signal to noise
    ``C / √(C + A v)``; hence ``C = (s² + √(s⁴ + 4 s² A v)) / 2``.

    Parameters
    ----------
    zero_point_mag
        Of 1 electron.
    psf_area_pix
        (Σp)²/Σp².
    pixel_variance_electron2
        Sky and read noise.
    snr
        Signal to noise.
    ap_corr
        Factor from PSF fluxes to calibrated ones.
    """
    square = snr**2
    counts = (
        square + np.sqrt(square**2 + 4 * square * psf_area_pix * pixel_variance_electron2)
    ) / 2
    return float(zero_point_mag - 2.5 * np.log10(counts * ap_corr))


def effective_time(
    exposure_time_s: float,
    fwhm_arcsec: float,
    sky_electron: float,
    zero_point_mag: float,
    band: str,
    config: DepthConfig,
) -> Statistics:
    """Return the exposure time under fiducial conditions that goes as deep, and its factors.

    ``t · (FWHM_fid / FWHM)² · 10^(0.8 (Z - Z_fid)) · sky_fid / sky``, with Z the zero point for
    1 electron a second; empty where `config` has no conditions for the band. Holds for exposures
    whose noise is that of the sky.
    """
    fiducial = config.fiducial.get(band)
    if fiducial is None or not (sky_electron > 0 and exposure_time_s > 0 and fwhm_arcsec > 0):
        return {}
    zero_point_1s = zero_point_mag - 2.5 * np.log10(exposure_time_s)
    size = (fiducial.fwhm_arcsec / fwhm_arcsec) ** 2
    light = float(10 ** (0.8 * (zero_point_1s - fiducial.zero_point_mag)))
    sky = fiducial.sky_electron_per_s * exposure_time_s / sky_electron
    return {
        "effTimePsfSigmaScale": size,
        "effTimeZeroPointScale": light,
        "effTimeSkyBgScale": sky,
        "effTime": exposure_time_s * size * light * sky,
    }


def depth_statistics(
    stats: SummaryStats, zero_point_mag: float | None, visit_info: VisitInfo, config: DepthConfig
) -> Statistics:
    """Return zero point, limiting magnitude and effective time from the statistics that they need.

    Parameters
    ----------
    stats
        ``psfArea``, ``psfSigma``, ``pixelScale``, ``meanVar``, ``skyBg``; what lacks is done
        without.
    zero_point_mag
        Of 1 electron in the exposure, None if there is none.
    visit_info
        Exposure time and band.
    config
        Parameters.
    """
    found: Statistics = {}
    exposure_time_s = visit_info.exposure_time_s
    if exposure_time_s is not None:
        found["expTime"] = exposure_time_s
    if zero_point_mag is None:
        return found
    found["zeroPoint"] = zero_point_mag
    if {"psfArea", "meanVar"} <= set(stats):
        found["magLim"] = limiting_magnitude(
            zero_point_mag, stats["psfArea"], stats["meanVar"], snr=config.snr
        )
    if exposure_time_s is not None and {"psfSigma", "pixelScale", "skyBg"} <= set(stats):
        fwhm_arcsec = _FWHM_PER_SIGMA * stats["psfSigma"] * stats["pixelScale"]
        found |= effective_time(
            exposure_time_s,
            fwhm_arcsec,
            stats["skyBg"],
            zero_point_mag,
            visit_info.band,
            config,
        )
    return found


def wcs_statistics(wcs: SkyWcs, visit_info: VisitInfo) -> Statistics:
    """Return where an image lies on the sky.

    Raises
    ------
    ValueError
        If the WCS does not say how large the image is.
    """
    if wcs.pixel_shape is None:
        raise ValueError("the WCS does not know the size of its image")
    x, y = Box(0, wcs.pixel_shape[0], 0, wcs.pixel_shape[1]).center
    ra, dec = (float(v) for v in wcs.pixel_to_world_values(x, y))
    found = {"ra": ra, "dec": dec, "pixelScale": float(wcs.pixel_scale_arcsec(x, y))}
    for name, (corner_ra, corner_dec) in zip(_CORNERS, wcs.sky_corners(), strict=True):
        found |= {f"{name}cra": float(corner_ra), f"{name}cdec": float(corner_dec)}
    zenith_distance_deg = _zenith_distance_deg(ra, dec, visit_info)
    if zenith_distance_deg is not None:
        found["zenithDistance"] = zenith_distance_deg
    return found


def offset_statistics(separation_arcsec: NDArray[np.float64]) -> Statistics:
    """Return mean and scatter of the distances between stars and their references."""
    if not separation_arcsec.size:
        return {}
    return {
        "astromOffsetMean": float(separation_arcsec.mean()),
        "astromOffsetStd": float(separation_arcsec.std()),
    }


def _zenith_distance_deg(ra_deg: float, dec_deg: float, visit_info: VisitInfo) -> float | None:
    """Return the zenith distance of a position, counted from the boresight's hour angle."""
    known = (visit_info.ra_deg, visit_info.dec_deg, visit_info.mjd, visit_info.latitude_deg)
    hour_angle_deg = visit_info.hour_angle_deg
    if hour_angle_deg is None or any(value is None for value in known):
        return None
    boresight_ra, boresight_dec, mjd, latitude = (float(v) for v in known if v is not None)
    middle, _ = mean_place_deg(boresight_ra, boresight_dec, mjd)
    here, dec_of_date = mean_place_deg(ra_deg, dec_deg, mjd)
    altitude, _ = horizontal_deg(
        hour_angle_deg + float(middle) - float(here), dec_of_date, latitude
    )
    return 90.0 - float(altitude)
