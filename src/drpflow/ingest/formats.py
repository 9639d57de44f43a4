"""Numbers, angles and times in the many ways in which headers write them."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from drpflow.errors import suggest

SECONDS_PER_DAY: Final = 86_400.0
_MJD_OF_JD: Final = 2_400_000.5
# date.toordinal() of 1858 November 17, MJD 0.
_ORDINAL_OF_MJD_0: Final = 678_576

_DATE = r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
_OLD_DATE = r"(?P<day>\d{1,2})/(?P<month>\d{1,2})/(?P<year>\d{2}|\d{4})"
_TIME = r"(?P<time>\d{1,2}:\d{1,2}(:\d{1,2}(\.\d*)?)?)"
_ISOT = re.compile(rf"{_DATE}([T ]{_TIME})?Z?")
_DAY = re.compile(rf"({_DATE})([T ].*)?")
_OLD_DAY = re.compile(_OLD_DATE)
_SEXAGESIMAL = re.compile(
    r"(?P<sign>[+-]?)\s*(?P<whole>\d+)\s*[:hd°\s]\s*(?P<minutes>\d+(\.\d*)?)"
    r"(\s*[:m'\s]\s*(?P<seconds>\d+(\.\d*)?))?\s*[s\"]?"
)
_SCALES: Final = {
    "utc": "utc", "ut": "utc", "ut1": "utc", "gmt": "utc", "zulu": "utc",
    "tai": "tai", "tt": "tt", "tdt": "tt", "et": "tt", "tdb": "tt",
}  # fmt: skip
# Share of the exposure between the marked instant and its middle.
_TO_MIDDLE: Final = {"start": 0.5, "middle": 0.0, "end": -0.5}
_TT_MINUS_TAI_S: Final = 32.184


def read_number(value: Any) -> float:
    """Return a finite number.

    Raises
    ------
    ValueError
        If `value` is none: text, NaN, infinity, a truth value.
    """
    try:
        number = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no number") from None
    if not isfinite(number):
        raise ValueError(f"{value!r} is no finite number")
    return number


def read_sexagesimal(value: Any) -> float:
    """Return ``"-00:17:06.5"``, ``"18h15m29s"`` or ``"18 15 29"`` as a number of the first unit.

    The sign holds for the whole, so that minus zero degrees comes out right. A plain number is
    taken as it is.

    Raises
    ------
    ValueError
        If `value` is neither, or has 60 or more minutes or seconds.
    """
    match = _SEXAGESIMAL.fullmatch(str(value).strip())
    if match is None:
        return read_number(value)
    minutes, seconds = float(match["minutes"]), float(match["seconds"] or 0)
    if minutes >= 60 or seconds >= 60:
        raise ValueError(f"{value!r} has 60 or more minutes or seconds")
    magnitude = int(match["whole"]) + minutes / 60 + seconds / 3600
    return -magnitude if match["sign"] == "-" else magnitude


def read_angle(value: Any, form: str | None) -> float:
    """Return an angle in degrees.

    Parameters
    ----------
    value
        What the header holds.
    form
        ``"deg"`` or None (a number), ``"hourangle"`` (a number of hours), ``"dms"`` or
        ``"hms"`` (sexagesimal degrees or hours).

    Raises
    ------
    ValueError
        If `value` is not of this form.
    """
    if form == "hms":
        return 15.0 * read_sexagesimal(value)
    if form == "dms":
        return read_sexagesimal(value)
    if form == "hourangle":
        return 15.0 * read_number(value)
    if isinstance(value, str) and _SEXAGESIMAL.fullmatch(value.strip()):
        raise ValueError(f"{value!r} is sexagesimal: set 'format: hms' or 'format: dms'")
    return read_number(value)


def read_time(value: Any, form: str | None, time_of_day: Any = None) -> float:
    """Return an instant as Modified Julian Date in the time scale of the header.

    Parameters
    ----------
    value
        What the header holds.
    form
        ``"mjd"`` or None, ``"jd"``, ``"isot"`` (date and time), ``"date"`` (a date, with
        `time_of_day` beside it) or ``"seconds"`` (since MJD 0, as in SDSS headers).
    time_of_day
        For ``"date"``: sexagesimal, or a number of hours.

    Raises
    ------
    ValueError
        If `value` is not of this form.
    """
    if form == "isot":
        return _read_isot(value)
    if form == "date":
        return _read_day(value) + read_sexagesimal(time_of_day) / 24
    if isinstance(value, str) and _DAY.fullmatch(value.strip()):
        raise ValueError(f"{value!r} is a date: set 'format: isot' or 'format: date'")
    number = read_number(value)
    if form == "jd":
        return number - _MJD_OF_JD
    return number / SECONDS_PER_DAY if form == "seconds" else number


def _read_isot(value: Any) -> float:
    match = _ISOT.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is no date and time such as 2025-01-31T23:59:58.5")
    if match["time"] is None:
        raise ValueError(
            f"{value!r} has no time of day: set 'format: date' and 'time_key' to where it stands"
        )
    return _day_number(value, match) + read_sexagesimal(match["time"]) / 24


def _read_day(value: Any) -> int:
    text = str(value).strip()
    match = _DAY.fullmatch(text) or _OLD_DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"{value!r} is no date such as 2025-01-31")
    return _day_number(value, match)


def _day_number(value: Any, match: re.Match[str]) -> int:
    """Return the MJD of midnight. Two-digit years are of the twentieth century, as FITS has it."""
    year = int(match["year"]) + (1900 if len(match["year"]) == 2 else 0)
    try:
        return date(year, int(match["month"]), int(match["day"])).toordinal() - _ORDINAL_OF_MJD_0
    except ValueError as fault:
        raise ValueError(f"{value!r} is no date ({fault})") from None


def to_tai_middle(mjd: float, scale: str, reference: str, exposure_time_s: float) -> float:
    """Return the middle of an exposure as MJD TAI.

    Parameters
    ----------
    mjd
        What the header tells, MJD in `scale`.
    scale
        ``utc``, ``tai``, ``tt`` or a usual alias. TDB differs from TT by less than 2 ms and
        counts as TT; UT1 differs from UTC by less than 0.9 s and counts as UTC.
    reference
        Which instant of the exposure `mjd` is: ``start``, ``middle`` or ``end``.
    exposure_time_s
        Length of the exposure, s.

    Raises
    ------
    ValueError
        If `scale` or `reference` is unknown.
    """
    words = scale.lower().split()
    known = _SCALES.get(words[0]) if words else None
    if known is None:
        raise ValueError(f"{scale!r} is no time scale{suggest(scale.lower(), _SCALES)}")
    share = _TO_MIDDLE.get(reference.lower().strip())
    if share is None:
        names = ", ".join(_TO_MIDDLE)
        raise ValueError(f"{reference!r} is no part of an exposure; there are {names}")
    to_tai_s = 0.0
    if known == "utc":
        to_tai_s = tai_minus_utc_s(int(mjd // 1))
    elif known == "tt":
        to_tai_s = -_TT_MINUS_TAI_S
    return mjd + (to_tai_s + share * exposure_time_s) / SECONDS_PER_DAY


@lru_cache(maxsize=4096)
def tai_minus_utc_s(day_mjd: int) -> float:
    """Return TAI - UTC in s on a day (MJD UTC); it changes only at midnight.

    The table of leap seconds is the one that comes with astropy: nothing is fetched.
    """
    from astropy.utils import iers

    with iers.conf.set_temp("auto_download", False):
        from astropy.time import Time

        time = Time(day_mjd, format="mjd", scale="utc")
        tai = time.tai
    # Differences of the two halves of each date: the sum of a date loses 40 microseconds.
    days = (tai.jd1 - time.jd1) + (tai.jd2 - time.jd2)
    return float(round(days * SECONDS_PER_DAY, 6))


def night_of(mjd_utc: float, longitude_deg: float) -> str:
    """Return the local date of the evening before, as YYYYMMDD; nights change at local noon."""
    day = int((mjd_utc + longitude_deg / 360 - 0.5) // 1)
    return date.fromordinal(day + _ORDINAL_OF_MJD_0).strftime("%Y%m%d")
