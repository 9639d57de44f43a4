"""Against astropy, whose ephemerides and Earth rotation are independent of ours."""

import numpy as np
import pytest

from drpflow.sim.earth import (
    earth_position_au,
    earth_velocity_c,
    east_north,
    hour_angle_deg,
    precession_matrix,
    ra_dec_deg,
    unit_vector,
    utc_to_tai,
    zenith_vector,
)

LONGITUDE, LATITUDE = -70.75, -30.24
MJDS = (60700.15, 60812.9, 61100.4)


@pytest.fixture(autouse=True)
def _no_download() -> None:
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.iers_degraded_accuracy = "warn"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mjd", MJDS)
def test_zenith_agrees_with_astropy_to_an_arcminute(mjd: float) -> None:
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time

    site = EarthLocation.from_geodetic(LONGITUDE, LATITUDE, 2650.0)
    star = SkyCoord(150.1, -12.3, unit="deg")
    expected = star.transform_to(AltAz(obstime=Time(mjd, format="mjd"), location=site)).alt.deg
    ours = np.arcsin(zenith_vector(mjd, LONGITUDE, LATITUDE) @ unit_vector(150.1, -12.3))
    assert np.rad2deg(ours) == pytest.approx(expected, abs=1 / 60)


@pytest.mark.filterwarnings("ignore")
def test_hour_angle_agrees_with_astropy_to_an_arcminute() -> None:
    from astropy.coordinates import EarthLocation, HADec, SkyCoord
    from astropy.time import Time

    site = EarthLocation.from_geodetic(LONGITUDE, LATITUDE, 2650.0)
    frame = HADec(obstime=Time(MJDS[0], format="mjd"), location=site)
    expected = SkyCoord(150.1, -12.3, unit="deg").transform_to(frame).ha.wrap_at("180d").deg
    assert hour_angle_deg(MJDS[0], LONGITUDE, 150.1, -12.3) == pytest.approx(expected, abs=1 / 60)


@pytest.mark.parametrize("mjd", MJDS)
def test_orbit_agrees_with_the_ephemeris(mjd: float) -> None:
    from astropy.coordinates import get_body_barycentric_posvel
    from astropy.time import Time

    position, velocity = get_body_barycentric_posvel("earth", Time(mjd, format="mjd", scale="tai"))
    # The Sun moves about the barycentre by up to 0.01 AU.
    np.testing.assert_allclose(earth_position_au(mjd), position.xyz.to_value("AU"), atol=0.012)
    expected = velocity.xyz.to_value("m/s") / 299792458.0
    np.testing.assert_allclose(earth_velocity_c(mjd), expected, atol=1e-6)


def test_precession_moves_the_equinox_by_50_arcsec_a_year() -> None:
    matrix = precession_matrix(51544.5 + 365.25 * 10)
    assert matrix @ matrix.T == pytest.approx(np.eye(3), abs=1e-15)
    ra, _ = ra_dec_deg(matrix @ unit_vector(0.0, 0.0))
    assert ra * 3600 == pytest.approx(461.2, abs=0.3)


def test_utc_to_tai() -> None:
    assert utc_to_tai(60000.0) - 60000.0 == pytest.approx(37 / 86400, abs=1e-9)


def test_directions_are_orthonormal_and_come_back() -> None:
    ra, dec = np.array([0.0, 150.1, 359.9]), np.array([-80.0, -12.3, 45.0])
    radial = unit_vector(ra, dec)
    east, north = east_north(radial)
    np.testing.assert_allclose(np.cross(east, north), radial, atol=1e-15)
    np.testing.assert_allclose(ra_dec_deg(radial), (ra, dec), atol=1e-12)
