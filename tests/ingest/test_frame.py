"""A frame is taken if it agrees with the camera, and refused with a sentence otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drpflow.ingest.scan import Scan, scan
from tests.ingest.frames import camera, write_frame


def scan_one(tmp_path: Path, cam: dict[str, Any] | None = None, **changes: Any) -> Scan:
    path = write_frame(tmp_path / "a.fits", **changes)
    return scan([path], camera(**(cam or {})))


def test_all_that_a_header_tells(tmp_path: Path) -> None:
    result = scan_one(tmp_path, ROTPA=12.5, AIRMASS=1.25, TEMP=8.0)
    (frame,) = result.frames
    assert (frame.detector, frame.hdu) == (1, 0)
    row = frame.visit
    assert (row.visit, row.physical_filter, row.band) == (7, "r_duo", "r")
    # 2025-03-01 04:00 UTC is MJD 60735.1667; 37 leap seconds and half of 30 s later.
    assert row.mjd == pytest.approx(60735 + 4 / 24 + 52 / 86400, abs=1e-9)
    assert (row.ra_deg, row.dec_deg) == pytest.approx((150.0, -30.2))
    assert (row.rotation_deg, row.airmass, row.temperature_c) == (12.5, 1.25, 8.0)
    assert (row.night, row.target) == ("20250228", "field")


@pytest.mark.parametrize("name", ["east", "2", 2])
def test_detectors_by_name_and_number(tmp_path: Path, name: Any) -> None:
    assert scan_one(tmp_path, CCDNUM=name).frames[0].detector == 2


def test_visit_numbers_from_the_time(tmp_path: Path) -> None:
    cam = {"header": {"visit": None}}
    first = scan_one(tmp_path, cam).frames[0].visit
    # Seconds since 2000 January 1 (MJD 51544), TAI.
    assert first.visit == round((60735 + 4 / 24 - 51544) * 86400 + 52)
    (tmp_path / "a.fits").unlink()
    assert scan_one(tmp_path, cam).frames[0].visit == first


REJECTIONS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"FILTER": None}, {}, "missing header key",
     "header key FILTER is missing, which camera duo reads as physical_filter"),
    ({"FILTER": "rr_duo"}, {}, "unknown filter",
     "'rr_duo' is not in camera duo; did you mean 'r_duo'?"),
    ({"CCDNUM": 9}, {}, "unknown detector", "detector '9' is not in camera duo"),
    ({"CCDNUM": "easst"}, {}, "unknown detector", "did you mean 'east'?"),
    ({"INSTRUME": "TRIO"}, {}, "other instrument", "its instrument is 'TRIO', not duo"),
    ({"OBSTYPE": "BIAS"}, {}, "not a science frame", "observation type 'BIAS' of 30 s"),
    ({"OBSTYPE": "Dark Frame"}, {}, "not a science frame", "combine such frames into a master"),
    ({"BUNIT": "e-"}, {}, "wrong unit", "its pixels are in 'e-', camera duo states 'adu'"),
    ({"EXPTIME": 0.0}, {}, "impossible header value", "exposure_time_s is 0"),
    ({"EXPTIME": "NaN"}, {}, "unreadable header value", "'NaN' is no finite number"),
    ({"RA": "NaN"}, {}, "unreadable header value", "ra_deg cannot be read from header key RA"),
    ({"DEC": "+95:00:00"}, {}, "impossible header value", "dec_deg is 95"),
    ({"DATE-OBS": "2025-03-01"}, {}, "unreadable header value", "no time of day"),
    ({"EXPNUM": "a7"}, {}, "impossible header value", "visit is 'a7'"),
    ({"TIMESYS": "stardate"}, {"header": {"time_scale": {"key": "TIMESYS"}}},
     "unreadable header value", "'stardate' is no time scale"),
    ({}, {"header": {"mjd": {"constant": 2460735.5, "format": "mjd"}}},
     "impossible header value", "mjd is 2.46074e+06"),
    ({"DATE-OBS": "1999-12-31T23:00:00"}, {"header": {"visit": None}},
     "impossible header value", "say where under 'header: visit:'"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "cam", "category", "words"), REJECTIONS)
def test_refusals(
    tmp_path: Path, changes: dict[str, Any], cam: dict[str, Any], category: str, words: str
) -> None:
    result = scan_one(tmp_path, cam, **changes)
    assert not result.frames
    (row,) = result.rejected
    assert row.path == str(tmp_path / "a.fits")
    assert words in row.reason
    assert row.reason.endswith(".")
    assert result.categories == {category: 1}


@pytest.mark.parametrize(
    ("shape", "accepted"),
    [((12, 26), True), ((12, 20), True), ((12, 27), True), ((12, 28), False), ((11, 26), False),
     ((6, 13), False), ((24, 52), False)],
)  # fmt: skip
def test_shapes_raw_assembled_and_wrong(
    tmp_path: Path, shape: tuple[int, int], accepted: bool
) -> None:
    result = scan_one(tmp_path, shape=shape)
    assert bool(result.frames) == accepted
    if not accepted:
        expected = "which is 20 x 12 pixels assembled and 26 x 12 raw"
        assert expected in result.rejected[0].reason


def test_raw_size_is_insisted_on(tmp_path: Path) -> None:
    cam = camera()
    detectors = [d.model_copy(update={"raw_size_pix": (27, 12)}) for d in cam.detectors]
    cam = cam.model_copy(update={"detectors": tuple(detectors)})
    good, bad = write_frame(tmp_path / "a.fits", (12, 27)), write_frame(tmp_path / "b.fits")
    result = scan([good, bad], cam)
    assert [f.path for f in result.frames] == [str(good)]


def test_cutouts_where_the_camera_allows_them(tmp_path: Path) -> None:
    assert scan_one(tmp_path, {"allow_cutouts": True}, shape=(5, 7)).frames
    (tmp_path / "a.fits").unlink()
    assert not scan_one(tmp_path, {"allow_cutouts": True}, shape=(40, 40)).frames


def test_a_constant_stands_in_for_what_no_header_tells(tmp_path: Path) -> None:
    constants = {
        "ra_deg": {"constant": "19:04:09.8", "format": "hms"},
        "dec_deg": {"constant": "+36:37:57", "format": "dms"},
    }
    result = scan_one(tmp_path, {"header": constants}, RA=None, DEC=None)
    assert result.frames[0].visit.ra_deg == pytest.approx(286.0408333)


def test_negative_right_ascensions_and_hour_angles_are_wrapped(tmp_path: Path) -> None:
    header = {"ra_deg": {"constant": -10.0}, "hour_angle_deg": {"constant": 350.0}}
    row = scan_one(tmp_path, {"header": header}).frames[0].visit
    assert row.ra_deg == pytest.approx(350.0)
    assert row.hour_angle_deg == pytest.approx(-10.0)
