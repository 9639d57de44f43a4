"""Frames become visits without duplicates and contradictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drpflow.ingest.scan import fits_files, scan
from drpflow.ingest.visits import Survey, assemble, disagreement
from drpflow.io.sheets import ExposureRow
from tests.ingest.frames import camera, write_frame, write_visit


def assembled(folder: Path, kept: Survey | None = None, **cam: Any) -> tuple[Survey, Any]:
    found = scan(fits_files(folder), camera(**cam))
    return assemble(found, kept or Survey(), camera(**cam)), found


def test_detectors_of_a_visit_share_a_row(tmp_path: Path) -> None:
    write_visit(tmp_path, 5)
    write_visit(tmp_path, 6, FILTER="i")
    survey, found = assembled(tmp_path)
    assert [(v.visit, v.band) for v in survey.visits] == [(5, "r"), (6, "i")]
    assert [(e.visit, e.detector) for e in survey.exposures] == [(5, 1), (5, 2), (6, 1), (6, 2)]
    assert not found.rejected


def test_airmass_and_hour_angle_are_computed(tmp_path: Path) -> None:
    write_visit(tmp_path, 5, DATE_OBS="2025-03-01T07:00:00.0")
    row = assembled(tmp_path)[0].visits[0]
    # By astropy (AltAz, mean sidereal time, FK5 of date) for mid-exposure; airmass is sec z there.
    assert row.hour_angle_deg == pytest.approx(43.3214, abs=0.002)
    assert row.airmass == pytest.approx(1.2551, abs=2e-3)
    assert assembled(tmp_path, observatory={})[0].visits[0].airmass is None


def test_headers_are_believed_before_computations(tmp_path: Path) -> None:
    write_visit(tmp_path, 5, AIRMASS=1.7)
    row = assembled(tmp_path)[0].visits[0]
    assert row.airmass == 1.7
    assert row.hour_angle_deg is not None


def test_a_pointing_below_the_horizon_is_noted(tmp_path: Path) -> None:
    write_visit(tmp_path, 5, RA="22:00:00")
    survey, found = assembled(tmp_path)
    assert survey.visits[0].airmass is None
    assert "below the horizon of Hilltop" in next(iter(found.notes))


def test_duplicates_name_the_other_file(tmp_path: Path) -> None:
    write_frame(tmp_path / "a.fits")
    write_frame(tmp_path / "b" / "a.fits")
    survey, found = assembled(tmp_path)
    assert [Path(e.path).name for e in survey.exposures] == ["a.fits"]
    (row,) = found.rejected
    assert row.path == str(tmp_path / "b" / "a.fits")
    assert f"visit 7 detector 1 is given by {tmp_path / 'a.fits'} already" in row.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"FILTER": "i"}, "filter i_duo, not r_duo"),
        ({"EXPTIME": 60.0}, "exposure time 60 s, not 30 s"),
        ({"DATE_OBS": "2025-03-01T04:02:00.0"}, "its time is 120 s away"),
        ({"RA": "10:00:30.0"}, "its pointing is 0.108 degrees away"),
    ],
)
def test_contradictions_go_with_the_majority(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    cam = camera()
    third = cam.detectors[1].model_copy(update={"id": 3, "name": "north"})
    cam = cam.model_copy(update={"detectors": (*cam.detectors, third)})
    write_frame(tmp_path / "1.fits", CCDNUM=1)
    write_frame(tmp_path / "2.fits", CCDNUM=2)
    write_frame(tmp_path / "3.fits", CCDNUM=3, **changes)
    found = scan(fits_files(tmp_path), cam)
    survey = assemble(found, Survey(), cam)
    assert [e.detector for e in survey.exposures] == [1, 2]
    assert words in found.rejected[0].reason
    assert found.categories == {"contradicts its visit": 1}


def test_the_odd_first_detector_is_the_one_refused(tmp_path: Path) -> None:
    cam = camera()
    third = cam.detectors[1].model_copy(update={"id": 3, "name": "north"})
    cam = cam.model_copy(update={"detectors": (*cam.detectors, third)})
    write_frame(tmp_path / "1.fits", CCDNUM=1, FILTER="i")
    for ccd in (2, 3):
        write_frame(tmp_path / f"{ccd}.fits", CCDNUM=ccd)
    survey = assemble(scan(fits_files(tmp_path), cam), Survey(), cam)
    assert [e.detector for e in survey.exposures] == [2, 3]
    assert survey.visits[0].physical_filter == "r_duo"


def test_kept_rows_rule(tmp_path: Path) -> None:
    write_visit(tmp_path, 7)
    found = scan(fits_files(tmp_path), camera())
    old = replace(found.frames[0]).visit._replace(physical_filter="i_duo", band="i")
    kept = Survey([old], [ExposureRow(7, 1, "elsewhere.fits")])
    survey = assemble(found, kept, camera())
    assert list(survey.visits) == [old]
    assert list(survey.exposures) == [ExposureRow(7, 1, "elsewhere.fits")]
    reasons = [row.reason for row in found.rejected]
    assert "given by elsewhere.fits already" in reasons[0]
    assert "filter r_duo, not i_duo" in reasons[1]


def test_small_differences_are_no_contradiction(tmp_path: Path) -> None:
    write_frame(tmp_path / "a.fits")
    row = scan(fits_files(tmp_path), camera()).frames[0].visit
    near = row._replace(
        exposure_time_s=30.2, mjd=row.mjd + 10 / 86400, ra_deg=(row.ra_deg + 0.01) % 360
    )
    assert disagreement(near, row) == ""
    across = row._replace(ra_deg=359.995), row._replace(ra_deg=0.005)
    assert disagreement(*across) == ""
