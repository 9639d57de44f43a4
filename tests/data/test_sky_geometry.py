"""Times, sidereal time and directions against astropy, IERS tables from disk only."""

from __future__ import annotations

from collections.abc import Iterator

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from drpflow.data.sky_geometry import (
    airmass_young,
    horizontal_deg,
    mean_place_deg,
    parallactic_angle_deg,
    sidereal_time_deg,
    tai_minus_utc_s,
    tai_to_utc_mjd,
    utc_to_tai_mjd,
)

EPOCHS = np.array([45000.3, 51544.5, 55000.25, 58849.9, 60676.1, 61200.7])


@pytest.fixture(autouse=True)
def _offline() -> Iterator[None]:
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        yield


def test_leap_seconds_are_astropys() -> None:
    # Whole days: on the day of a leap second astropy's days are longer.
    mjd = np.arange(41317.0, 61500.0, 11.0)
    expected = (Time(mjd, format="mjd", scale="utc").tai.mjd - mjd) * 86400
    assert tai_minus_utc_s(mjd) == pytest.approx(expected, abs=1e-5)
    assert tai_to_utc_mjd(utc_to_tai_mjd(mjd)) == pytest.approx(mjd, abs=1e-10)
    assert tai_minus_utc_s(57753.9) == 36
    assert tai_minus_utc_s(57754.0) == 37
    assert tai_minus_utc_s(40000.0) == 10


def test_sidereal_time_is_astropys_but_for_ut1() -> None:
    found = sidereal_time_deg(EPOCHS, -70.8)
    time = Time(EPOCHS, format="mjd", scale="tai")
    expected = time.sidereal_time("mean", longitude=-70.8 * u.deg).deg
    ut1_minus_utc_s = (time.ut1.mjd - tai_to_utc_mjd(EPOCHS)) * 86400
    difference = (expected - found + 180) % 360 - 180
    assert np.abs(difference).max() < 0.9 * 15.05 / 3600
    assert difference == pytest.approx(ut1_minus_utc_s * 15.041 / 3600, abs=2e-5)


def test_mean_place_is_astropys_precession() -> None:
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 50), np.degrees(np.arcsin(rng.uniform(-1, 1, 50)))
    for mjd in EPOCHS:
        equinox = Time(mjd, format="mjd", scale="tai")
        expected = SkyCoord(ra, dec, unit="deg", frame="fk5").transform_to(
            SkyCoord(0, 0, unit="deg", frame="fk5", equinox=equinox).frame
        )
        found = SkyCoord(*mean_place_deg(ra, dec, mjd), unit="deg", frame=expected.frame)
        # The frame bias of FK5 and the corrections of IAU 2006 to IAU 1976 are 0.1 arcsec.
        assert found.separation(expected).arcsec.max() < 0.2


@pytest.mark.parametrize(("longitude", "latitude"), [(-70.8, -30.2), (-155.5, 19.8), (20.8, 60.0)])
def test_altitude_and_azimuth_are_astropys_to_a_minute(longitude: float, latitude: float) -> None:
    place = EarthLocation.from_geodetic(longitude, latitude, 2000)
    rng = np.random.default_rng(1)
    for mjd in EPOCHS[1:]:
        ra, dec = rng.uniform(0, 360, 40), rng.uniform(-80, 80, 40)
        frame = AltAz(obstime=Time(mjd, format="mjd", scale="tai"), location=place)
        expected = SkyCoord(ra, dec, unit="deg").transform_to(frame)
        ra_date, dec_date = mean_place_deg(ra, dec, mjd)
        altitude, azimuth = horizontal_deg(
            sidereal_time_deg(mjd, longitude) - ra_date, dec_date, latitude
        )
        found = SkyCoord(azimuth, altitude, unit="deg", frame=frame)
        assert found.separation(expected).deg.max() < 0.02


def test_parallactic_angle_is_the_direction_of_the_zenith() -> None:
    """By a step towards the pole and one towards the zenith, with unit vectors."""
    latitude = -30.2
    rng = np.random.default_rng(2)
    hour, dec = rng.uniform(-179, 179, 200), rng.uniform(-89, 89, 200)
    h, d, phi = np.radians(hour), np.radians(dec), np.radians(latitude)
    # Right-handed axes: meridian towards the south point, west … expressed as x, -y, pole.
    star = np.array([np.cos(d) * np.cos(h), -np.cos(d) * np.sin(h), np.sin(d)])
    zenith = np.array([np.cos(phi), 0.0, np.sin(phi)])
    north = np.array([-np.sin(d) * np.cos(h), np.sin(d) * np.sin(h), np.cos(d)])
    # Right ascension grows against the hour angle.
    east = np.array([np.sin(h), np.cos(h), np.zeros_like(h)])
    assert np.cross(north, star, axis=0) == pytest.approx(east, abs=1e-12)
    expected = np.degrees(np.arctan2(zenith @ east, zenith @ north))
    assert parallactic_angle_deg(hour, dec, latitude) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("dec", "latitude", "expected"),
    [(10.0, 45.0, 0.0), (70.0, 45.0, 180.0), (-60.0, -30.0, 0.0), (0.0, -30.0, 180.0)],
)
def test_zenith_of_what_culminates(dec: float, latitude: float, expected: float) -> None:
    """North of what culminates south of the zenith, south of what culminates north of it."""
    assert abs(parallactic_angle_deg(0.0, dec, latitude)) == pytest.approx(expected, abs=1e-9)
    assert parallactic_angle_deg(20.0, dec, latitude) > 0, "past the meridian it lies to the east"
    assert parallactic_angle_deg(-20.0, dec, latitude) < 0


def test_directions_one_knows() -> None:
    altitude, azimuth = horizontal_deg(0.0, 20.0, 20.0)
    assert altitude == pytest.approx(90)
    altitude, azimuth = horizontal_deg(90.0, 0.0, 35.0)
    assert (altitude, azimuth) == (pytest.approx(0, abs=1e-12), pytest.approx(270))
    altitude, azimuth = horizontal_deg(123.0, 90.0, 35.0)
    assert (altitude, azimuth) == (pytest.approx(35), pytest.approx(0, abs=1e-9))


def test_airmass() -> None:
    assert airmass_young(0.0) == pytest.approx(1, abs=1e-3)
    assert airmass_young(60.0) == pytest.approx(1.993, abs=2e-3)
    # At the horizon a standard atmosphere has 31.7 airmasses for true zenith distance 90.
    assert airmass_young(90.0) == pytest.approx(31.74, abs=0.1)
    assert np.isnan(airmass_young(90.1))
    z = np.linspace(0, 90, 500)
    assert (np.diff(airmass_young(z)) > 0).all()
    assert airmass_young(z[:350]) == pytest.approx(1 / np.cos(np.radians(z[:350])), rel=0.02)
