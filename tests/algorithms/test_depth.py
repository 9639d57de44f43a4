"""Depth and sky figures against closed forms and astropy."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.depth import (
    depth_statistics,
    effective_time,
    limiting_magnitude,
    offset_statistics,
    sky_statistics,
    wcs_statistics,
)
from drpflow.config.photometry import DepthConfig, FiducialConfig
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.summary_stats import SummaryStats
from drpflow.data.visit_info import VisitInfo
from tests.data.wcs_cases import camera

FIDUCIAL = FiducialConfig(fwhm_arcsec=0.8, sky_electron_per_s=10.0, zero_point_mag=28.0)
CONFIG = DepthConfig(fiducial={"r": FIDUCIAL})
VISIT = VisitInfo(
    visit=1, band="r", exposure_time_s=30.0, mjd=60800.2, ra_deg=150.0, dec_deg=-20.0,
    longitude_deg=-70.0, latitude_deg=-30.0,
)  # fmt: skip


def test_the_sky_is_measured_between_the_sources() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(0, 12.0, (700, 600)).astype(np.float32)
    variance = np.full(image.shape, 144.0, np.float32)
    detected, unusable = np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    detected[:200], unusable[:, :60] = True, True
    image[:200] += 500
    image[unusable] = np.nan
    image[400, 300:320] = 1e4  # a cosmic ray that was missed
    found = sky_statistics(image, variance, detected, unusable, 321.0, CONFIG)
    assert found["skyNoise"] == pytest.approx(12.0, rel=0.01)
    assert found["meanVar"] == pytest.approx(144.0)
    assert found["skyBg"] == 321.0
    assert found["maskedFraction"] == pytest.approx(0.1)
    none = sky_statistics(image, variance, detected, ~detected, 1.0, CONFIG)
    assert set(none) == {"skyBg", "maskedFraction"}


def test_the_limiting_magnitude_has_the_signal_to_noise_asked_for() -> None:
    area, variance, zero_point = 55.0, 140.0, 31.0
    for snr in (5.0, 10.0):
        counts = 10 ** (
            -0.4 * (limiting_magnitude(zero_point, area, variance, snr=snr) - zero_point)
        )
        assert counts / np.sqrt(counts + area * variance) == pytest.approx(snr)
    corrected = limiting_magnitude(zero_point, area, variance, ap_corr=1.1)
    assert limiting_magnitude(zero_point, area, variance) - corrected == pytest.approx(
        0.1035, abs=1e-3
    )


def test_effective_time_is_that_of_equal_depth() -> None:
    """Two exposures of equal effective time have one limiting magnitude where sky dominates."""
    zero_1s = 28.0

    def depth(time_s: float, fwhm: float, sky_rate: float, zero: float) -> tuple[float, float]:
        zero_point = zero + 2.5 * np.log10(time_s)
        sky = sky_rate * time_s
        limit = limiting_magnitude(zero_point, (fwhm * 5) ** 2 * 2.27, sky * 1e4)
        return effective_time(time_s, fwhm, sky * 1e4, zero_point, "r", CONFIG)["effTime"], limit

    t1, m1 = depth(100.0, 0.8, 10.0, zero_1s)
    t2, m2 = depth(100.0 * 2.25, 1.2, 10.0, zero_1s)
    t3, m3 = depth(100.0 * 4 * 10**0.8, 0.8, 40.0, zero_1s - 1.0)
    assert t1 == pytest.approx(t2) == pytest.approx(t3)
    assert m1 == pytest.approx(m2, abs=1e-3)
    assert m1 == pytest.approx(m3, abs=1e-3)
    same = effective_time(60.0, 0.8, 600.0, 28.0 + 2.5 * np.log10(60.0), "r", CONFIG)
    assert same["effTime"] == pytest.approx(60.0)
    assert effective_time(60.0, 0.8, 600.0, 31.0, "g", CONFIG) == {}


def test_depth_statistics_take_what_there_is() -> None:
    stats = SummaryStats({"psfArea": 55.0, "psfSigma": 2.0, "pixelScale": 0.2, "meanVar": 140.0})
    assert depth_statistics(stats, None, VISIT, CONFIG) == {"expTime": 30.0}
    found = depth_statistics(stats.updated(skyBg=120.0), 31.0, VISIT, CONFIG)
    assert found["magLim"] == pytest.approx(limiting_magnitude(31.0, 55.0, 140.0))
    assert found["effTimePsfSigmaScale"] == pytest.approx((0.8 / (2.3548 * 0.4)) ** 2, rel=1e-4)
    SummaryStats(found)


def test_the_place_on_the_sky() -> None:
    wcs = SkyWcs.from_camera(camera(), 1, VISIT.ra_deg or 0, VISIT.dec_deg or 0, 10.0)
    found = wcs_statistics(wcs, VISIT)
    SummaryStats(found)
    assert found["pixelScale"] == pytest.approx(0.26, abs=0.02)
    assert wcs.world_to_pixel_values(found["urcra"], found["urcdec"]) == pytest.approx(
        (2047.5, 4095.5)
    )
    assert wcs.world_to_pixel_values(found["ra"], found["dec"]) == pytest.approx((1023.5, 2047.5))


def test_the_zenith_distance_agrees_with_astropy() -> None:
    import astropy.units as u
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time

    wcs = SkyWcs.from_camera(camera(), 1, VISIT.ra_deg or 0, VISIT.dec_deg or 0, 10.0)
    found = wcs_statistics(wcs, VISIT)
    site = EarthLocation.from_geodetic(-70 * u.deg, -30 * u.deg, 0 * u.m)
    frame = AltAz(obstime=Time(VISIT.mjd, format="mjd", scale="tai"), location=site)
    star = SkyCoord(found["ra"] * u.deg, found["dec"] * u.deg).transform_to(frame)
    assert found["zenithDistance"] == pytest.approx(90 - star.alt.deg, abs=0.02)
    assert "zenithDistance" not in wcs_statistics(wcs, VisitInfo(visit=1))


def test_offsets() -> None:
    assert offset_statistics(np.array([0.1, 0.3])) == pytest.approx(
        {"astromOffsetMean": 0.2, "astromOffsetStd": 0.1}
    )
    assert offset_statistics(np.zeros(0)) == {}
