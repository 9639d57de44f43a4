"""Properties of a frame come from where the camera file says, and faults name key and entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from drpflow.ingest.header_map import HeaderReader, RejectedError, check_header_map
from drpflow.io.headers import read_headers
from tests.ingest.frames import camera


def reader(
    tmp_path: Path, rule: dict[str, Any], name: str = "target", **primary: Any
) -> HeaderReader:
    """Return a reader of an image HDU 'S4' (HDU 1) whose camera has one rule."""
    path = tmp_path / "night1" / "img-0042-r.fits"
    if not path.exists():
        path.parent.mkdir()
        image = fits.ImageHDU(np.zeros((3, 3), np.int16), name="S4")
        image.header["FILTER"] = "i"
        image.header["BLANKED"] = "  "
        head = fits.PrimaryHDU()
        head.header.update({"FILTER": "r", "BLANKED": "behind", "RUN": 12, "FIELD": 7} | primary)
        fits.HDUList([head, image]).writeto(path)
    file = read_headers(path)
    return HeaderReader(camera(header={name: rule}), file, file.hdus[1])


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"key": "FILTER"}, "i"),
        ({"key": ["ABSENT", "RUN"]}, 12),
        ({"key": "BLANKED"}, "behind"),
        ({"key": "ABSENT"}, None),
        ({"key": "ABSENT", "default": 3}, 3),
        ({"constant": "bulge"}, "bulge"),
        ({"hdu_name": True}, "S4"),
        ({"filename": r"img-0*(\d+)"}, "42"),
        ({"filename": r"img-(\d+)-(\w)"}, "0042r"),
        ({"filename": r"(night\d)/"}, "night1"),
        ({"filename": r"(absent)"}, None),
        ({"template": "{RUN}{FIELD:04d}"}, "120007"),
        ({"template": "{RUN}-{number}", "filename": r"img-(?P<number>\d+)"}, "12-0042"),
        ({"template": "{RUN}{ABSENT}"}, None),
        ({"key": "RUN", "pattern": r"(\d)2"}, "1"),
        ({"key": "FILTER", "values": {"i": "i_duo"}}, "i_duo"),
        ({"key": "RUN", "values": {12: "twelve"}}, "twelve"),
        ({"key": "FILTER", "values": {"r": "r_duo"}}, "i"),
    ],
)
def test_sources(tmp_path: Path, rule: dict[str, Any], value: Any) -> None:
    assert reader(tmp_path, rule).value("target") == value


@pytest.mark.parametrize(
    ("name", "rule", "number"),
    [
        ("temperature_c", {"constant": 50.0, "scale": 5 / 9, "offset": -160 / 9}, 10.0),
        ("exposure_time_s", {"constant": "53.9"}, 53.9),
        ("ra_deg", {"constant": "12:00:00", "format": "hms"}, 180.0),
        ("hour_angle_deg", {"constant": -1.0, "format": "hourangle"}, -15.0),
        ("mjd", {"constant": 86400.0, "format": "seconds", "offset": 0.5}, 1.5),
    ],
)
def test_numbers(tmp_path: Path, name: str, rule: dict[str, Any], number: float) -> None:
    assert reader(tmp_path, rule, name).number(name) == pytest.approx(number)


def test_date_and_time_of_day_stand_apart(tmp_path: Path) -> None:
    rule = {"key": "DAY", "format": "date", "time_key": "CLOCK"}
    found = reader(tmp_path, rule, "mjd", DAY="2013-08-03", CLOCK="12:00:00").number("mjd")
    assert found == pytest.approx(56507.5)


def test_a_missing_time_of_day_is_named(tmp_path: Path) -> None:
    rule = {"key": "DAY", "format": "date", "time_key": "CLOCK"}
    with pytest.raises(RejectedError, match="header key CLOCK is missing"):
        reader(tmp_path, rule, "mjd", DAY="2013-08-03").number("mjd")


def test_a_broken_card_is_a_reason(tmp_path: Path) -> None:
    found = reader(tmp_path, {"key": "FILTER"}, "physical_filter")
    path = found.file.path
    path.write_bytes(path.read_bytes().replace(b"FILTER  = 'i       '", b"FILTER  = 'i        "))
    again = reader(tmp_path, {"key": "FILTER"}, "physical_filter")
    with pytest.raises(RejectedError, match="the header card FILTER breaks the FITS rules"):
        again.value("physical_filter")


def test_units_stand_in_bunit_unless_told_otherwise(tmp_path: Path) -> None:
    found = reader(tmp_path, {"constant": "x"}, BUNIT="adu")
    assert found.text("unit") == "adu"
    assert reader(tmp_path, {"constant": "nJy"}, "unit").text("unit") == "nJy"


def rejection(tmp_path: Path, rule: dict[str, Any], name: str, **primary: Any) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        reader(tmp_path, rule, name, **primary).number(name)
    return caught.value


@pytest.mark.parametrize(
    ("name", "rule", "category", "words"),
    [
        ("exposure_time_s", {"key": ["EXPTIME", "ITIME"]}, "missing header key",
         "header key EXPTIME or ITIME is missing, which camera duo reads as exposure_time_s"),
        ("mjd", {"filename": r"mjd(\d+)"}, "missing header key", "part 'mjd(\\\\d+)' of the file"),
        ("airmass", {"template": "{A}{B}"}, "missing header key", "one of the header keys A, B"),
        ("exposure_time_s", {"key": "FILTER"}, "unreadable header value",
         "exposure_time_s cannot be read from header key FILTER: 'i' is no number"),
        ("exposure_time_s", {"key": "RUN", "pattern": r"(9)"}, "unreadable header value",
         "12 does not match the pattern '(9)'"),
        ("exposure_time_s", {"template": "{FILTER:04d}"}, "unreadable header value",
         "one of the header keys FILTER"),
        ("airmass", {"constant": 1.0, "format": "jd"}, "unreadable header value", "is for mjd"),
    ],
)  # fmt: skip
def test_faults_name_key_and_entry(
    tmp_path: Path, name: str, rule: dict[str, Any], category: str, words: str
) -> None:
    fault = rejection(tmp_path, rule, name)
    assert fault.category == category
    assert words in str(fault)
    assert f"'header: {name}:'" in fault.remedy
    assert str(fault).startswith(str(tmp_path))


def test_a_property_without_an_entry(tmp_path: Path) -> None:
    found = reader(tmp_path, {"constant": "x"})
    assert found.value("pressure_hpa") is None
    with pytest.raises(RejectedError, match="camera duo does not say where headers keep pressure"):
        found.number("pressure_hpa")


@pytest.mark.parametrize("value", ["NaN", "unknown", -994.0, 1200.0])
def test_unreadable_weather_is_left_out_and_told(tmp_path: Path, value: Any) -> None:
    found = reader(tmp_path, {"key": "PRES"}, "pressure_hpa", PRES=value)
    assert found.optional_number("pressure_hpa") is None
    assert "pressure_hpa" in found.unread[0]


def test_what_a_header_map_lacks() -> None:
    assert check_header_map(camera()) == []
    lacking = camera(header={"detector": None, "mjd": None})
    assert [sentence.split()[-3] for sentence in check_header_map(lacking)] == ["mjd", "detector"]
