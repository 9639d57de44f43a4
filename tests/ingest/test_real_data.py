"""Every real frame is read, or refused with a reason that fits.

The expected numbers are counts of the files themselves; ``docs/cameras.md`` has the table.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from drpflow.data.visit_info import VisitInfo
from drpflow.ingest.run import IngestResult, ingest
from drpflow.io.camera_yaml import load_camera
from drpflow.io.raw import read_detector
from drpflow.io.sheets import VisitRow

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real frames are not here"),
]


class Case(NamedTuple):
    camera: str
    folder: str
    pattern: str
    frames: int
    nights: int
    filters: set[str]
    companions: int
    rejected: dict[str, int]


CASES = [
    Case("saao1m_ste3", "saao_kb131475", "*", 66, 19, {"I"}, 0, {}),
    Case("sdss", "sdss_m2", "*", 5, 1, set("ugriz"), 0, {"not a frame": 10, "wrong unit": 1}),
    Case("sdss_fpc", "sdss_m2", "fpC*", 1, 1, {"r"}, 0, {}),
    Case("decam", "decam_cutouts", "*", 23, 19, set("grz"), 46,
         {"not a frame": 112, "companion of a rejected frame": 22, "other instrument": 11,
          "not a science frame": 1}),
    Case("90prime", "decam_cutouts", "ksb*", 8, 5, {"g", "bokr"}, 16, {"not a frame": 6}),
    Case("mosaic3", "decam_cutouts", "k4m*", 3, 3, {"zd"}, 6, {"not a frame": 2}),
    Case("sbig_st10", "raw_darks", "*", 12, 1, {"filter2"}, 0, {"not a science frame": 10}),
    Case("decam", "hsc_visit_summary", "*", 0, 0, set(), 0, {"not a frame": 8}),
    Case("decam", "throughput_atmosphere", "*", 0, 0, set(), 0,
         {"not a frame": 6, "not a science frame": 3}),
]  # fmt: skip


def run(case: Case, output: Path) -> IngestResult:
    return ingest(DATA / case.folder, load_camera(case.camera), output, pattern=case.pattern)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.camera}-{c.folder}")
def test_every_file_is_taken_or_refused(case: Case, tmp_path: Path) -> None:
    result = run(case, tmp_path)
    found = result.scan
    assert len(found.frames) == len(result.survey.exposures) == case.frames
    assert len(result.survey.visits) == case.frames  # one detector a visit in all these sets
    assert len({v.night for v in result.survey.visits}) == case.nights
    assert {v.physical_filter for v in result.survey.visits} == case.filters
    assert found.companions == case.companions
    assert dict(found.categories) == case.rejected
    assert not found.notes
    assert all(len(row.reason) > 40 for row in found.rejected)
    again = run(case, tmp_path)
    assert not again.changed


@pytest.mark.parametrize("case", [c for c in CASES if c.frames], ids=lambda c: c.camera)
def test_the_pixels_of_accepted_frames_are_read(case: Case, tmp_path: Path) -> None:
    camera = load_camera(case.camera)
    for row in run(case, tmp_path).survey.exposures[:3]:
        detector = camera.detector(row.detector)
        data = read_detector(row.path, row.hdu, detector).data
        assert isinstance(data, np.ndarray)
        assert data.shape == detector.shape or camera.allow_cutouts
        assert np.isfinite(np.median(data))
        if row.weight_path:
            assert read_detector(row.weight_path, row.hdu, detector).data.shape == data.shape
            assert read_detector(row.mask_path, row.hdu, detector).data.shape == data.shape


@pytest.mark.parametrize(
    ("case", "airmass", "hour_angle_deg"),
    # SAAO's SECZ is of the start of the exposure; 90Prime's HA is old by up to a minute or two.
    [(CASES[0], 0.06, None), (CASES[3], 0.03, 0.6), (CASES[4], 0.02, 1.0), (CASES[5], 0.02, 1.0)],
    ids=lambda c: c.camera if isinstance(c, Case) else "",
)
def test_time_place_and_pointing_give_the_airmass_of_the_headers(
    case: Case, airmass: float, hour_angle_deg: float | None, tmp_path: Path
) -> None:
    """Checks at once the time's scale and format, the pointing's units and the observatory."""
    site = load_camera(case.camera).observatory
    for row in run(case, tmp_path).survey.visits:
        info = VisitInfo(
            row.visit, mjd=row.mjd, ra_deg=row.ra_deg, dec_deg=row.dec_deg,
            longitude_deg=site.longitude_deg, latitude_deg=site.latitude_deg,
        )  # fmt: skip
        assert info.airmass == pytest.approx(row.airmass, abs=airmass)
        if hour_angle_deg is not None:
            assert info.hour_angle_deg == pytest.approx(row.hour_angle_deg, abs=hour_angle_deg)


def test_sdss_frames_of_a_field_are_a_visit_in_each_filter(tmp_path: Path) -> None:
    result = run(CASES[1], tmp_path)
    visits = {row.physical_filter: row for row in result.survey.visits}
    assert {f: row.visit for f, row in visits.items()} == {
        "r": 258301361, "i": 258301362, "u": 258301363, "z": 258301364, "g": 258301365,
    }  # fmt: skip
    assert sorted(row.detector for row in result.survey.exposures) == [12, 22, 32, 42, 52]
    # The sky drifts over the rows of CCDs in the order r i u z g, 71.7 s apart.
    times = [visits[f].mjd for f in "riuzg"]
    np.testing.assert_allclose(np.diff(times) * 86400, 71.65, atol=0.1)
    assert visits["r"].target == "run 2583 field 136"


def test_sbig_pointing_stands_in_the_camera_file(tmp_path: Path) -> None:
    rows: list[VisitRow] = list(run(CASES[6], tmp_path).survey.visits)
    np.testing.assert_allclose([row.ra_deg for row in rows], 286.0408333, atol=1e-6)
    np.testing.assert_allclose([row.dec_deg for row in rows], 36.6325, atol=1e-6)
    airmasses = [row.airmass for row in rows]
    assert airmasses == sorted(airmasses, reverse=True)  # rising all night
    assert 1.0 < airmasses[-1] < airmasses[0] < 1.8


def test_darks_are_told_what_they_are_good_for(tmp_path: Path) -> None:
    rejected = run(CASES[6], tmp_path).scan.rejected
    assert Counter("'Dark Frame' of 60 s" in row.reason for row in rejected) == {True: 10}
    assert "combine such frames into a master" in rejected[0].reason
