"""Photometry that a global calibration cannot use as it is: what becomes of it, and who says so.

Each case goes through the task's script on files of a run, and through ``drpflow fgcm`` on plain
tables.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow import cli
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows
from drpflow.io.tables import read_table
from drpflow.sim.photometric_survey import Measurements, PhotometricSurvey
from tests.commands.test_fgcm import write_tables
from tests.tasks.photometric_run import small_survey, write_survey
from tests.tasks.test_fgcm import run

FEW_VISITS, IMPOSSIBLE, RELATIVE, NO_COLORS = 2 | 8, 16, 64, 128


@pytest.fixture(scope="module")
def survey() -> PhotometricSurvey:
    return small_survey()


@dataclass
class Outcome:
    """What came of a calibration.

    Parameters
    ----------
    zero_points
        Columns of ``fgcm_zero_points``; empty where it failed.
    text
        What the user was told.
    """

    zero_points: dict[str, np.ndarray]
    text: str

    def check(self, *, lost: tuple[int, ...] = ()) -> np.ndarray:
        """Check that each zero point is one or says that it is none; return the flags."""
        t = self.zero_points
        none = ~np.isfinite(t["zero_point"])
        np.testing.assert_array_equal(none, t["flag"] & IMPOSSIBLE > 0)
        np.testing.assert_array_equal(none, np.isnan(t["zero_point_err"]))
        assert (t["zero_point_err"][~none] > 0).all()
        # Five square metres and ordinary filters; none is a zero that was left in a column.
        assert (np.abs(t["zero_point"][~none] - 26) < 3).all()
        assert (t["flag"] > 0).all()
        np.testing.assert_array_equal(none, np.isin(t["visit"], lost))
        return t["flag"]


Route = Callable[..., Outcome]


def by_script(folder: Path, survey: PhotometricSurvey, *, references: bool = True) -> Outcome:
    """Calibrate by the task's script: products of all visits, and a status that tells all."""
    folder.mkdir(exist_ok=True)
    status: dict[str, Any] = run(folder, write_survey(folder, survey, references=references))
    for number in range(len(survey.exposures)):
        assert (folder / f"out/calib/{100 + number}.parquet").is_file()
        assert (folder / f"out/air/{100 + number}.fits").is_file()
    text = f"{status['outcome']}. {status['reason']}. {status['numbers']}"
    return Outcome(read_table(folder / "out/zero_points.parquet").to_dict(), text)


def by_command(folder: Path, survey: PhotometricSurvey, *, references: bool = True) -> Outcome:
    """Calibrate by the command."""
    folder.mkdir(exist_ok=True)
    nothing = np.full_like(survey.stars.reference_mag, np.nan)
    stars = survey.stars if references else replace(survey.stars, reference_mag=nothing)
    words = write_tables(folder, replace(survey, stars=stars))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main([*words, "--look-up-table", str(folder / "table.fits")])
    text = f"code {code}. " + " ".join(said.getvalue().split())
    if code:
        assert not (folder / "out").exists()
        return Outcome({}, text)
    return Outcome(read_table(folder / "out/fgcm_zero_points.parquet").to_dict(), text)


@pytest.fixture(params=[by_script, by_command], ids=["script", "command"])
def calibrated(request: pytest.FixtureRequest, tmp_path: Path) -> Route:
    route: Route = request.param
    folders = (tmp_path / f"run {n}" for n in itertools.count())
    return lambda survey, **options: route(next(folders), survey, **options)


def with_rows(survey: PhotometricSurvey, rows: Any, **changes: np.ndarray) -> PhotometricSurvey:
    """Return the survey with some of its measurements, and other values in their columns."""
    m = survey.measurements
    columns = {f.name: getattr(m, f.name)[rows] for f in fields(Measurements)}
    return replace(survey, measurements=Measurements(**{**columns, **changes}))


def of_visits(survey: PhotometricSurvey, kept: list[int]) -> PhotometricSurvey:
    """Return the survey as if there had been no other visits."""
    visit = survey.measurements.visit
    rows = np.isin(visit, kept)
    part = with_rows(survey, rows, visit=np.searchsorted(kept, visit[rows]))
    exposures = [replace(survey.exposures[k], number=n) for n, k in enumerate(kept)]
    return replace(part, exposures=exposures)


def in_two_fields(survey: PhotometricSurvey) -> PhotometricSurvey:
    """Return the survey with every second visit on other stars, five degrees away."""
    s, m = survey.stars, survey.measurements
    twice = {f.name: getattr(s, f.name) for f in fields(s)}
    twice = {
        name: np.concatenate([values, values])
        for name, values in twice.items()
        if isinstance(values, np.ndarray) and len(values) == len(s.id)
    }
    twice["id"][len(s.id) :] += 1_000_000
    twice["ra"][len(s.id) :] += 5.0
    exposures = [replace(e, ra_deg=e.ra_deg + 5 * (e.number % 2)) for e in survey.exposures]
    moved = with_rows(survey, slice(None), star=m.star + len(s.id) * (m.visit % 2))
    return replace(moved, stars=replace(s, **twice), exposures=exposures)


def with_mag(survey: PhotometricSurvey, rows: Any, mag: Any) -> PhotometricSurvey:
    """Return the survey with other magnitudes in some rows."""
    values = survey.measurements.mag.copy()
    values[rows] = mag
    return with_rows(survey, slice(None), mag=values)


def test_a_single_visit(calibrated: Route, survey: PhotometricSurvey) -> None:
    found = calibrated(of_visits(survey, [1]))
    flag = found.check()
    assert (flag & FEW_VISITS > 0).all()
    # The catalogue has other bands, and tells colours.
    assert (flag & NO_COLORS == 0).all()
    assert "too few photometric visits" in found.text


def test_a_single_visit_without_references(calibrated: Route, survey: PhotometricSurvey) -> None:
    found = calibrated(of_visits(survey, [1]), references=False)
    assert len(found.zero_points.get("visit", ())) == 0
    assert found.text.startswith(("failed", "code 2"))
    assert "no star was seen twice, and none is in the reference catalogue" in found.text


def test_visits_that_do_not_overlap(calibrated: Route, survey: PhotometricSurvey) -> None:
    found = calibrated(in_two_fields(survey))
    assert not (found.check() & RELATIVE).any()
    assert "2 fields without common stars (of 12, 12 visits)" in found.text


def test_visits_that_do_not_overlap_without_references(
    calibrated: Route, survey: PhotometricSurvey
) -> None:
    found = calibrated(in_two_fields(survey), references=False)
    assert (found.check() & RELATIVE > 0).all()
    t = found.zero_points
    for band in ("g", "r", "i"):
        groups = {p: set(t["group"][(t["band"] == band) & (t["visit"] % 2 == p)]) for p in (0, 1)}
        assert len(groups[0]) == len(groups[1]) == 1
        assert groups[0] != groups[1]
        assert f"the visits in {band} fall into 2 groups without common stars" in found.text


def test_one_band_only(calibrated: Route, survey: PhotometricSurvey) -> None:
    g = [e.number for e in survey.exposures if e.band == 0]
    found = calibrated(of_visits(survey, g))
    assert (found.check() & NO_COLORS == 0).all()
    assert set(found.zero_points["band"]) == {"g"}


def test_one_band_only_without_references(calibrated: Route, survey: PhotometricSurvey) -> None:
    g = [e.number for e in survey.exposures if e.band == 0]
    found = calibrated(of_visits(survey, g), references=False)
    assert (found.check() & NO_COLORS > 0).all()
    assert "one band only" in found.text
    assert (found.zero_points["color_term"] == 0).all()
    assert np.isnan(found.zero_points["color_pivot"]).all()


def test_a_night_with_two_exposures(calibrated: Route, survey: PhotometricSurvey) -> None:
    nights = np.array([e.night for e in survey.exposures])
    first = np.flatnonzero(nights == 0)
    found = calibrated(of_visits(survey, [*first[:2], *np.flatnonzero(nights > 0)]))
    flag = found.check()
    poor = np.isin(found.zero_points["visit"], (100, 101))
    assert (flag[poor] & FEW_VISITS > 0).all()
    assert not (flag[~poor] & FEW_VISITS).any()
    assert "1 of 3 nights have too few photometric visits" in found.text


def test_no_reference_catalogue(calibrated: Route, survey: PhotometricSurvey) -> None:
    found = calibrated(survey, references=False)
    assert (found.check() & RELATIVE > 0).all()
    assert "no reference stars in g, r, i: the calibration is relative" in found.text
    assert (found.zero_points["offset_err"] > 0.5).all()


def test_a_visit_under_thick_cloud(calibrated: Route, survey: PhotometricSurvey) -> None:
    m = survey.measurements
    under = m.visit == 5
    found = calibrated(with_mag(survey, under, m.mag[under] + 1.5))
    found.check(lost=(105,))
    mine = found.zero_points["visit"] == 105
    np.testing.assert_allclose(found.zero_points["gray"][mine], -1.5, atol=0.05)
    assert found.text.startswith(("partial", "code 0"))
    assert "mag of cloud, more than zero_points.max_cloud_mag = 1" in found.text


def test_a_calibration_that_is_missing_says_why(tmp_path: Path, survey: PhotometricSurvey) -> None:
    m = survey.measurements
    under = m.visit == 5
    by_script(tmp_path, with_mag(survey, under, m.mag[under] + 1.5))
    rows = ComponentRows(tmp_path / "out/calib/105.parquet", "detector", ComponentCache())
    assert "mag of cloud" in str(rows.missing("photo_calib", 10))


def test_fluxes_that_are_not_known(calibrated: Route, survey: PhotometricSurvey) -> None:
    m = survey.measurements
    unknown = (np.arange(len(m)) % 7 == 0) | (m.visit == 3)
    found = calibrated(with_mag(survey, unknown, np.nan))
    found.check(lost=(103,))
    n = int(unknown.sum())
    told = f"'n_without_flux': {n}", f"{n} observations without a usable flux"
    assert any(part in found.text for part in told)
    assert "no isolated star has a usable flux on it" in found.text


def test_no_flux_at_all(calibrated: Route, survey: PhotometricSurvey) -> None:
    found = calibrated(with_mag(survey, slice(None), np.nan))
    assert len(found.zero_points.get("visit", ())) == 0
    assert found.text.startswith(("failed", "code 2"))
    assert "no observation has a usable flux" in found.text


def test_rows_that_stand_twice(calibrated: Route, survey: PhotometricSurvey) -> None:
    rows = np.arange(len(survey.measurements))
    found = calibrated(with_rows(survey, np.concatenate([rows, rows[::2]])))
    found.check()
    told = r"'n_duplicates': \d{4}", r"\d{4} observations of a star that stands twice"
    assert any(re.search(part, found.text) for part in told)
    once = calibrated(survey).zero_points["zero_point"]
    np.testing.assert_allclose(found.zero_points["zero_point"], once, atol=1e-9)
