"""Numbers, angles and times as headers write them; times against astropy."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from astropy.coordinates import Angle
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from drpflow.ingest.formats import (
    night_of,
    read_angle,
    read_number,
    read_sexagesimal,
    read_time,
    tai_minus_utc_s,
    to_tai_middle,
)

MICROARCSEC_DEG = 1e-6 / 3600
MILLISECOND_DAY = 1e-3 / 86400


@pytest.mark.parametrize(
    ("value", "form", "degrees"),
    [
        ("18:15:29", "hms", 273.8708333333),
        (" 18 15 29 ", "hms", 273.8708333333),
        ("18h15m29s", "hms", 273.8708333333),
        ("18:15.483", "hms", 273.87075),
        (18.2580556, "hms", 273.870834),
        ("-00:17:06", "dms", -0.285),
        ("-0:17:06.5", "dms", -0.28513889),
        ("+36d37m57s", "dms", 36.6325),
        ("- 5 30 00", "dms", -5.5),
        (6.0, "hourangle", 90.0),
        ("53.907", "deg", 53.907),
        (12.5, None, 12.5),
    ],
)
def test_angles(value: object, form: str | None, degrees: float) -> None:
    assert read_angle(value, form) == pytest.approx(degrees, abs=1e-7)


@given(st.floats(0.0, 359.99), st.integers(2, 8))
def test_right_ascensions_agree_with_astropy(ra_deg: float, digits: int) -> None:
    text = Angle(ra_deg, "deg").to_string("hour", sep=":", precision=digits, pad=True)
    assert read_angle(text, "hms") == pytest.approx(Angle(text, "hour").deg, abs=MICROARCSEC_DEG)


@given(st.floats(-89.99, 89.99))
def test_declinations_agree_with_astropy(dec_deg: float) -> None:
    text = Angle(dec_deg, "deg").to_string("deg", sep=":", precision=6, alwayssign=True)
    assert read_angle(text, "dms") == pytest.approx(Angle(text, "deg").deg, abs=MICROARCSEC_DEG)


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        ("18:15:29", "deg", "set 'format: hms'"),
        ("18:75:29", "hms", "60 or more minutes"),
        ("north", "dms", "'north' is no number"),
        ("NaN", "deg", "no finite number"),
        (True, None, "no number"),
    ],
)
def test_faulty_angles(value: object, form: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_angle(value, form)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)))  # noqa: DTZ001 (naive)
def test_iso_times_agree_with_astropy(instant: datetime) -> None:
    text = instant.isoformat()
    expected = Time(text, scale="tai").mjd
    for written in (text, text.replace("T", " "), text + "Z"):
        assert read_time(written, "isot") == pytest.approx(expected, abs=MILLISECOND_DAY / 100)
    day, _, clock = text.partition("T")
    assert read_time(day, "date", clock) == pytest.approx(expected, abs=MILLISECOND_DAY / 100)
    # DATE-OBS often repeats the time of day that stands beside it.
    assert read_time(text, "date", clock) == pytest.approx(expected, abs=MILLISECOND_DAY / 100)


@pytest.mark.parametrize(
    ("value", "form", "clock", "mjd"),
    [
        (2456095.5643518521, "jd", None, 56095.06435185),
        ("56507.79418", "mjd", None, 56507.79418),
        (4507683881.19, "seconds", None, 52172.26714340),
        ("27/06/95", "date", "12:00:00", 49895.5),
        ("2013-08-03", "date", 19.5, 56507.8125),
    ],
)
def test_other_times(value: object, form: str, clock: object, mjd: float) -> None:
    assert read_time(value, form, clock) == pytest.approx(mjd, abs=1e-7)


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        ("2013-08-03", "isot", "no time of day: set 'format: date' and 'time_key'"),
        ("2013-08-03T01:02:03", "mjd", "set 'format: isot'"),
        ("2013-13-03T01:02:03", "isot", "is no date"),
        ("yesterday", "isot", "no date and time such as"),
        ("8 March", "date", "is no date such as"),
        ("NaN", "jd", "no finite number"),
    ],
)
def test_faulty_times(value: object, form: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_time(value, form, "01:02:03")


@given(
    st.floats(45000, 61000), st.sampled_from(["utc", "tai", "tt"]), st.floats(0.01, 3600.0),
)  # fmt: skip
def test_middle_of_an_exposure_agrees_with_astropy(mjd: float, scale: str, seconds: float) -> None:
    start = Time(mjd, format="mjd", scale=scale)
    day = timedelta(days=1)
    for reference, share in (("start", 0.5), ("middle", 0.0), ("end", -0.5)):
        expected = (start.tai + share * timedelta(seconds=seconds)).mjd
        found = to_tai_middle(mjd, scale, reference, seconds)
        assert abs(found - expected) * day < timedelta(milliseconds=0.1)


@pytest.mark.parametrize(
    ("mjd", "seconds"), [(41317, 10), (56507, 35), (57753, 36), (57754, 37), (60735, 37)]
)
def test_leap_seconds(mjd: int, seconds: float) -> None:
    assert tai_minus_utc_s(mjd) == seconds


@pytest.mark.parametrize("text", ["UTC", "utc", "UTC approximate", "UT", "GMT"])
def test_names_of_utc(text: str) -> None:
    assert to_tai_middle(60000.0, text, "start", 0.0) == pytest.approx(60000 + 37 / 86400)


def test_unknown_scales_and_references() -> None:
    with pytest.raises(ValueError, match="'TAU' is no time scale; did you mean 'tai'"):
        to_tai_middle(60000.0, "TAU", "start", 1.0)
    with pytest.raises(ValueError, match="there are start, middle, end"):
        to_tai_middle(60000.0, "utc", "begin", 1.0)


@given(st.floats(-180, 180), st.integers(50000, 70000), st.floats(-0.49, 0.49))
def test_a_night_is_one_name_from_noon_to_noon(
    longitude_deg: float, day: int, share: float
) -> None:
    midnight_utc = day - longitude_deg / 360
    expected = (date(1858, 11, 17) + timedelta(days=day - 1)).strftime("%Y%m%d")
    assert night_of(midnight_utc + share, longitude_deg) == expected


def test_numbers() -> None:
    assert read_number(" 1.5 ") == 1.5
    assert read_sexagesimal("12:30") == 12.5
    with pytest.raises(ValueError, match="no number"):
        read_number(None)
