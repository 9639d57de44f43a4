"""Where the Earth is and how it stands: sidereal time, precession, zenith, orbit.

Low-precision closed forms, good to about 0.01° (the Astronomical Almanac's solar position and
the IAU 1976 precession). That gives parallaxes to 1 % and zenith directions to an arcminute,
which is all the simulated sky needs. Vectors are ICRS unit vectors (or AU) unless said
otherwise; times are MJD.
"""

from __future__ import annotations

import numpy as np

TAI_MINUS_UTC_S = 37.0
TT_MINUS_TAI_S = 32.184
MJD_J2000 = 51544.5
AU_PER_DAY_IN_C = 1.0 / 173.144633
"""One astronomical unit per day in units of the speed of light."""


def utc_to_tai(mjd_utc: float) -> float:
    """Return MJD TAI for MJD UTC (leap seconds as since 2017)."""
    return mjd_utc + TAI_MINUS_UTC_S / 86400.0


def sidereal_time_deg(mjd_utc: float, longitude_deg: float) -> float:
    """Return the local mean sidereal time (IAU 1982; UT1 taken as UTC)."""
    days = mjd_utc - MJD_J2000
    centuries = days / 36525.0
    greenwich = 280.46061837 + 360.98564736629 * days + 3.87933e-4 * centuries**2
    return float((greenwich + longitude_deg) % 360.0)


def precession_matrix(mjd: float) -> np.ndarray:
    """Return the 3×3 matrix from J2000 to the mean equator of date (Lieske 1979)."""
    t = (mjd - MJD_J2000) / 36525.0
    zeta = np.deg2rad((2306.2181 * t + 0.30188 * t**2 + 0.017998 * t**3) / 3600)
    z = np.deg2rad((2306.2181 * t + 1.09468 * t**2 + 0.018203 * t**3) / 3600)
    theta = np.deg2rad((2004.3109 * t - 0.42665 * t**2 - 0.041833 * t**3) / 3600)
    return _turn_z(-z) @ _turn_y(theta) @ _turn_z(-zeta)


def zenith_vector(mjd_utc: float, longitude_deg: float, latitude_deg: float) -> np.ndarray:
    """Return the direction of the zenith, ICRS."""
    of_date = unit_vector(sidereal_time_deg(mjd_utc, longitude_deg), latitude_deg)
    return precession_matrix(mjd_utc).T @ of_date


def hour_angle_deg(mjd_utc: float, longitude_deg: float, ra_deg: float, dec_deg: float) -> float:
    """Return the hour angle of an ICRS position, in [-180, 180)."""
    x, y, _ = precession_matrix(mjd_utc) @ unit_vector(ra_deg, dec_deg)
    ra_of_date = np.rad2deg(np.arctan2(y, x))
    difference = sidereal_time_deg(mjd_utc, longitude_deg) - ra_of_date
    return float((difference + 180.0) % 360.0 - 180.0)


def earth_position_au(mjd_tai: float) -> np.ndarray:
    """Return the Earth's heliocentric position, ICRS axes, AU.

    The Sun's distance from the barycentre (up to 0.01 AU) is neglected.
    """
    days = mjd_tai + TT_MINUS_TAI_S / 86400.0 - MJD_J2000
    anomaly = np.deg2rad(357.529 + 0.98560028 * days)
    # Longitude of the Sun from the equinox of date, then from that of J2000.
    longitude = 280.459 + 0.98564736 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    longitude = np.deg2rad(longitude - 3.82394e-5 * days)
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    obliquity = np.deg2rad(23.4393)
    return -distance * np.array(
        [
            np.cos(longitude),
            np.sin(longitude) * np.cos(obliquity),
            np.sin(longitude) * np.sin(obliquity),
        ]
    )


def earth_velocity_c(mjd_tai: float) -> np.ndarray:
    """Return the Earth's orbital velocity in units of the speed of light, ICRS axes."""
    step_day = 0.5
    after, before = earth_position_au(mjd_tai + step_day), earth_position_au(mjd_tai - step_day)
    return (after - before) / (2 * step_day) * AU_PER_DAY_IN_C


def unit_vector(ra_deg: np.ndarray | float, dec_deg: np.ndarray | float) -> np.ndarray:
    """Return unit vectors, shape (..., 3)."""
    ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def ra_dec_deg(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return right ascension in [0, 360) and declination of vectors, shape (..., 3)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.rad2deg(np.arctan2(y, x)) % 360.0, np.rad2deg(np.arctan2(z, np.hypot(x, y)))


def east_north(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors to the east and north at directions, shape (..., 3)."""
    x, y, z = np.moveaxis(vector, -1, 0)
    rho = np.hypot(x, y)
    east = np.stack([-y / rho, x / rho, np.zeros_like(rho)], axis=-1)
    north = np.stack([-x * z / rho, -y * z / rho, rho], axis=-1)
    return east, north


def _turn_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def _turn_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
