"""Where a point of the sky stands over an observatory, and time scales; plain formulae.

Directions are mean places: precession is applied, nutation (up to 17 arcsec), aberration
(20 arcsec) and UT1 - UTC (up to 0.9 s, 14 arcsec) are not. Hour angles times the cosine of the
declination, altitudes and azimuths times the cosine of the altitude come out to 0.02 degrees,
enough for airmass, refraction and parallactic angles. Refraction itself is not applied either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

# IERS Bulletin C: MJD (UTC) from which TAI - UTC has the value 10 s, 11 s, … 37 s.
_LEAP_MJD = np.array(
    [
        *(41317, 41499, 41683, 42048, 42413, 42778, 43144, 43509, 43874, 44239),
        *(44786, 45151, 45516, 46247, 47161, 47892, 48257, 48804, 49169, 49534),
        *(50083, 50630, 51179, 53736, 54832, 56109, 57204, 57754),
    ],
    dtype=np.float64,
)
_FIRST_OFFSET_S = 10
_TT_MINUS_TAI_S = 32.184
_DAY_S = 86400.0
_J2000_MJD = 51544.5
_ARCSEC = np.pi / 180 / 3600


def in_circle_deg(angle_deg: ArrayLike) -> Floats:
    """Return angles in [0, 360); the remainder of a tiny negative one rounds to 360 itself."""
    wrapped = np.asarray(angle_deg) % 360.0
    return np.where(wrapped == 360.0, 0.0, wrapped)[()]


def tai_minus_utc_s(mjd_utc: ArrayLike) -> Floats:
    """Return TAI - UTC in seconds; 10 s before 1972, when UTC had no whole seconds yet."""
    steps = np.searchsorted(_LEAP_MJD, np.asarray(mjd_utc, np.float64), side="right")
    return (_FIRST_OFFSET_S + np.maximum(steps - 1, 0)).astype(np.float64)[()]


def utc_to_tai_mjd(mjd_utc: ArrayLike) -> Floats:
    """Return the MJD in TAI of an MJD in UTC."""
    return np.asarray(mjd_utc, np.float64) + tai_minus_utc_s(mjd_utc) / _DAY_S


def tai_to_utc_mjd(mjd_tai: ArrayLike) -> Floats:
    """Return the MJD in UTC of an MJD in TAI."""
    offsets_s = _FIRST_OFFSET_S + np.arange(_LEAP_MJD.size)
    mjd = np.asarray(mjd_tai, np.float64)
    steps = np.searchsorted(_LEAP_MJD + offsets_s / _DAY_S, mjd, side="right")
    return mjd - (_FIRST_OFFSET_S + np.maximum(steps - 1, 0)) / _DAY_S


def sidereal_time_deg(mjd_tai: ArrayLike, longitude_deg: ArrayLike) -> Floats:
    """Return the local mean sidereal time, degrees in [0, 360).

    Earth rotation angle plus accumulated precession (IAU 2006; Capitaine, Wallace & Chapront
    2005, A&A 432, 355), with UTC in place of UT1.

    Parameters
    ----------
    mjd_tai
        Time, MJD TAI.
    longitude_deg
        East positive.
    """
    mjd = np.asarray(mjd_tai, np.float64)
    days = tai_to_utc_mjd(mjd) - _J2000_MJD
    # Whole turns are dropped before the multiplication, so that they cost no digits.
    turns = 0.7790572732640 + 0.00273781191135448 * days + days % 1.0
    t = _centuries_tt(mjd)
    precession_arcsec = 0.014506 + t * (
        4612.156534 + t * (1.3915817 + t * (-4.4e-7 + t * (-2.9956e-5 - 3.68e-8 * t)))
    )
    return in_circle_deg(360.0 * turns + precession_arcsec / 3600.0 + np.asarray(longitude_deg))


def mean_place_deg(
    ra_deg: ArrayLike, dec_deg: ArrayLike, mjd_tai: ArrayLike
) -> tuple[Floats, Floats]:
    """Return right ascension and declination referred to the mean equator of date, degrees."""
    zeta, z, theta = _precession_angles(mjd_tai)
    a, d = np.radians(ra_deg) + zeta, np.radians(dec_deg)
    x = np.cos(theta) * np.cos(d) * np.cos(a) - np.sin(theta) * np.sin(d)
    y = np.cos(d) * np.sin(a)
    sin_dec = np.sin(theta) * np.cos(d) * np.cos(a) + np.cos(theta) * np.sin(d)
    dec = np.arctan2(sin_dec, np.hypot(x, y))
    return in_circle_deg(np.degrees(np.arctan2(y, x) + z)), np.degrees(dec)


def pole_of_date_angle_deg(ra_deg: ArrayLike, dec_deg: ArrayLike, mjd_tai: ArrayLike) -> Floats:
    """Return the position angle of the mean pole of date, east of ICRS north, degrees.

    It is 0.14 degrees times sin(RA)/cos(dec) in 25 years: what has to be added to angles that are
    counted from the pole of date.
    """
    zeta, _, theta = _precession_angles(mjd_tai)
    a, d = np.radians(ra_deg) + zeta, np.radians(dec_deg)
    toward_east = -np.sin(theta) * np.sin(a)
    toward_north = np.cos(theta) * np.cos(d) - np.sin(theta) * np.sin(d) * np.cos(a)
    return np.degrees(np.arctan2(toward_east, toward_north))


def horizontal_deg(
    hour_angle_deg: ArrayLike, dec_deg: ArrayLike, latitude_deg: ArrayLike
) -> tuple[Floats, Floats]:
    """Return altitude and azimuth (north through east, [0, 360)), degrees."""
    h, d, phi = np.radians(hour_angle_deg), np.radians(dec_deg), np.radians(latitude_deg)
    north = np.cos(phi) * np.sin(d) - np.sin(phi) * np.cos(d) * np.cos(h)
    east = -np.cos(d) * np.sin(h)
    up = np.sin(phi) * np.sin(d) + np.cos(phi) * np.cos(d) * np.cos(h)
    altitude = np.degrees(np.arctan2(up, np.hypot(north, east)))
    return altitude, in_circle_deg(np.degrees(np.arctan2(east, north)))


def parallactic_angle_deg(
    hour_angle_deg: ArrayLike, dec_deg: ArrayLike, latitude_deg: ArrayLike
) -> Floats:
    """Return the position angle of the zenith, east of north, degrees in (-180, 180].

    North is that of the coordinates given; with places of date, the pole of date.

    tan q = sin H / (tan φ cos δ - sin δ cos H) (Meeus, Astronomical Algorithms, chapter 14), both
    terms times cos φ, so that the quadrant is right everywhere and the pole no exception.
    Positive west of the meridian for a northern observer looking south.
    """
    h, d, phi = np.radians(hour_angle_deg), np.radians(dec_deg), np.radians(latitude_deg)
    toward_north = np.sin(phi) * np.cos(d) - np.cos(phi) * np.sin(d) * np.cos(h)
    return np.degrees(np.arctan2(np.cos(phi) * np.sin(h), toward_north))


def airmass_young(zenith_distance_deg: ArrayLike) -> Floats:
    """Return the airmass at a true (not refracted) zenith distance; NaN below the horizon.

    Young (1994, Applied Optics 33, 1108): within 0.0037 of a standard atmosphere down
    to the horizon.
    """
    z = np.asarray(zenith_distance_deg, np.float64)
    c = np.cos(np.radians(np.where(np.abs(z) <= 90, z, np.nan)))
    numerator = 1.002432 * c**2 + 0.148386 * c + 0.0096467
    return (numerator / (c**3 + 0.149864 * c**2 + 0.0102963 * c + 0.000303978))[()]


def _precession_angles(mjd_tai: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return zeta, z and theta of IAU 2006, radians, to the third order.

    Capitaine, Wallace & Chapront 2003, A&A 412, 567.
    """
    t = _centuries_tt(mjd_tai)
    zeta = (2.650545 + t * (2306.083227 + t * (0.2988499 + 0.01801828 * t))) * _ARCSEC
    z = (-2.650545 + t * (2306.077181 + t * (1.0927348 + 0.01826837 * t))) * _ARCSEC
    theta = t * (2004.191903 - t * (0.4294934 + 0.04182264 * t)) * _ARCSEC
    return zeta, z, theta


def _centuries_tt(mjd_tai: ArrayLike) -> Floats:
    """Return Julian centuries of TT since J2000.0."""
    mjd_tt = np.asarray(mjd_tai, np.float64) + _TT_MINUS_TAI_S / _DAY_S
    return (mjd_tt - _J2000_MJD) / 36525.0
