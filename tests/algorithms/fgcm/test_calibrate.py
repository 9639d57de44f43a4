"""The whole calibration against the truth of made-up surveys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm import Flag, calibrate
from drpflow.config.fgcm import FgcmConfig
from drpflow.data.photometric_tables import Observations, Stars, Visits
from drpflow.errors import AlgorithmError

from .made_up_survey import MadeUpSurvey, made_up_survey

MMAG = 1e-3


@pytest.fixture(scope="module")
def survey() -> MadeUpSurvey:
    return made_up_survey(3)


@pytest.fixture(scope="module")
def result(survey):
    return calibrate(*survey.tables, survey.config)


def zero_point_errors(survey: MadeUpSurvey, result) -> np.ndarray:
    """Mean error of the calibration of each detector image, one offset a band taken out."""
    o = survey.observations
    error = result.calibrated(o) - o.mag - survey.correction
    group = o.visit * len(survey.detectors) + o.detector
    size = len(survey.visits) * len(survey.detectors)
    count = np.bincount(group, minlength=size)
    mean = np.bincount(group, np.nan_to_num(error), size) / np.maximum(count, 1)
    mean = np.where(count > 0, mean, np.nan).reshape(len(survey.visits), -1)
    for band in range(len(survey.visits.bands)):
        rows = survey.visits.band == band
        if not (rows & ~survey.cloudy).any():
            continue
        mean[rows] -= np.nanmedian(mean[rows & ~survey.cloudy])
    return mean


def visits_of(visits: Visits, rows: np.ndarray) -> Visits:
    names = [f for f in visits.__dataclass_fields__ if f not in ("bands", "physical_filters")]
    columns = {n: getattr(visits, n)[rows] for n in names if getattr(visits, n) is not None}
    return Visits(bands=visits.bands, physical_filters=visits.physical_filters, **columns)


def some_visits(survey: MadeUpSurvey, rows: np.ndarray) -> MadeUpSurvey:
    """The survey as if only some visits had been made."""
    number = np.full(len(survey.visits), -1)
    number[rows] = np.arange(rows.size)
    kept = number[survey.observations.visit] >= 0
    part = survey.observations.take(kept)
    return replace(
        survey,
        observations=replace(part, visit=number[part.visit]),
        visits=visits_of(survey.visits, rows),
        correction=survey.correction[kept],
        cloudy=survey.cloudy[rows],
    )


def test_zero_points_of_clear_and_cloudy_visits(survey, result):
    error = zero_point_errors(survey, result)
    assert np.sqrt(np.nanmean(error[~survey.cloudy] ** 2)) < 1.5 * MMAG
    assert np.sqrt(np.nanmean(error[survey.cloudy] ** 2)) < 3 * MMAG


def test_cloudy_visits_are_recognised(survey, result):
    assert (result.photometric == ~survey.cloudy).all()
    assert ((result.flag[survey.cloudy] & Flag.PHOTOMETRIC) == 0).all()
    assert (result.flag[~survey.cloudy] == Flag.PHOTOMETRIC).all()


def test_errors_of_zero_points_are_right():
    pulls = []
    for seed in (11, 12, 13):
        survey = made_up_survey(seed, stars_per_detector=40)
        result = calibrate(*survey.tables, survey.config)
        pulls.append(zero_point_errors(survey, result) / result.zero_point_error)
    width = 1.4826 * np.nanmedian(np.abs(np.concatenate(pulls)))
    assert 0.7 < width < 1.3


def test_errors_that_reference_stars_of_a_region_share_do_no_harm(survey):
    ra = survey.stars.ra
    shared = np.where(ra > np.median(ra), 0.01, -0.01)[:, None]
    stars = replace(survey.stars, reference_mag=survey.stars.reference_mag + shared)
    tables = [stars if table is survey.stars else table for table in survey.tables]
    error = zero_point_errors(survey, calibrate(*tables, survey.config))
    assert np.sqrt(np.nanmean(error[~survey.cloudy] ** 2)) < 1.5 * MMAG


def test_air_is_found_within_its_errors(survey, result):
    from drpflow.algorithms.fgcm.layout import Block, Layout, Night

    layout = Layout.of(survey.visits, survey.detectors, survey.config)
    truth = layout.block(Block.NIGHT, survey.parameters)
    found = [p for p in result.parameters if p.name == "aerosol_tau"]
    assert [p.night for p in found] == layout.nights.tolist()
    pull = [(p.value - t) / p.error for p, t in zip(found, truth[:, Night.TAU], strict=True)]
    assert np.abs(pull).max() < 3.5
    assert max(p.error for p in found) < 0.03


def test_standard_magnitudes_and_variable_stars(survey, result):
    constant = ~survey.variable & (survey.true_mag[:, 1] < 18)
    error = result.standard_mag - survey.true_mag
    for band in range(3):
        some = constant & (result.stars.n_good[:, band] >= 4)
        # The absolute scale is that of the reference stars: 10 mmag each, some 100 of them.
        assert abs(np.median(error[some, band])) < 5 * MMAG
        spread = 1.4826 * np.median(np.abs(error[some, band] - np.median(error[some, band])))
        assert spread < 3 * MMAG
    often = result.stars.n_good.sum(axis=1) >= 12
    assert result.stars.variable[survey.variable & often & ~survey.stars.reserved].mean() > 0.8
    assert result.stars.variable[~survey.variable].mean() < 0.04


def test_reserved_stars_are_measured_but_never_used(survey, result):
    reserved = survey.stars.reserved[survey.observations.star]
    shifted = survey.observations.mag + np.where(reserved, 0.3, 0.0)
    moved = replace(survey.observations, mag=shifted)
    again = calibrate(moved, *survey.tables[1:], survey.config)
    np.testing.assert_array_equal(again.zero_point, result.zero_point)
    # Of stars without some band the colour is partly the catalogue's, and moves.
    seen = survey.stars.reserved & np.isfinite(result.standard_mag).all(axis=1)
    np.testing.assert_allclose((again.standard_mag - result.standard_mag)[seen], 0.3, atol=1e-6)


def test_order_of_rows_and_duplicates_and_nan_do_not_matter(survey, result):
    o = survey.observations
    rng = np.random.default_rng(5)
    extra = o.take(rng.integers(0, len(o), 200))
    lost = replace(extra, mag=np.full(len(extra), np.nan), star=extra.star)
    names = [n for n in o.__dataclass_fields__ if getattr(o, n) is not None]
    columns = [np.concatenate([getattr(t, n) for t in (o, extra, lost)]) for n in names]
    order = rng.permutation(columns[0].size)
    again = calibrate(Observations(*(c[order] for c in columns)), *survey.tables[1:], survey.config)
    np.testing.assert_allclose(again.zero_point, result.zero_point, atol=1e-6)
    assert again.rejected.not_finite == 200
    assert again.rejected.duplicate > 100


def test_without_references_the_calibration_is_relative(survey):
    tables = list(survey.tables)
    tables[3] = survey.stars.without_reference()
    found = calibrate(*tables, survey.config)
    error = zero_point_errors(survey, found)
    assert np.sqrt(np.nanmean(error[~survey.cloudy] ** 2)) < 2 * MMAG
    assert any("relative" in note for note in found.notes)
    # The common offset is unknown, and says so.
    assert found.offset_error.min() > 0.5


def test_one_band_only(survey):
    part = some_visits(survey, np.flatnonzero(survey.visits.band == 1))
    found = calibrate(*part.tables, part.config)
    assert any("one band" in note for note in found.notes)
    error = zero_point_errors(part, found)
    assert np.sqrt(np.nanmean(error[~part.cloudy] ** 2)) < 2 * MMAG


def test_single_visit_follows_the_references_or_declares_failure(survey):
    part = some_visits(survey, np.array([int(np.flatnonzero(~survey.cloudy)[0])]))
    found = calibrate(*part.tables, part.config)
    o = part.observations
    error = np.median(found.calibrated(o) - o.mag - part.correction)
    assert abs(error) < 5 * MMAG
    tables = list(part.tables)
    tables[3] = part.stars.without_reference()
    with pytest.raises(AlgorithmError, match="no star was seen twice"):
        calibrate(*tables, part.config)


def test_night_of_two_visits_is_not_a_fit_night(survey):
    rows = np.flatnonzero(survey.visits.night != survey.visits.night[0])
    clear = np.flatnonzero((survey.visits.night == survey.visits.night[0]) & ~survey.cloudy)
    part = some_visits(survey, np.sort(np.concatenate([clear[:2], rows])))
    found = calibrate(*part.tables, part.config)
    assert ((found.flag[:2] & Flag.PHOTOMETRIC_NOT_FIT) > 0).all()
    assert np.isfinite(found.zero_point[:2]).all()
    assert any("too few photometric visits" in note for note in found.notes)


def test_unconnected_visits_are_told(survey):
    o, s = survey.observations, survey.stars
    late = survey.visits.night[o.visit] >= survey.visits.night[-1] - 1
    n = len(s)
    twice = Stars(
        np.concatenate([s.id, s.id + 10**6]),
        np.tile(s.ra, 2),
        np.tile(s.dec, 2),
        np.tile(s.reserved, 2),
    )
    apart = replace(o, star=o.star + np.where(late, n, 0))
    found = calibrate(apart, *survey.tables[1:3], twice, survey.table, survey.config)
    assert sum("2 groups" in note for note in found.notes) == 3
    assert np.isfinite(found.zero_point[~survey.cloudy]).all()
    early = survey.visits.night < survey.visits.night[-1] - 1
    assert not set(found.group[early]) & set(found.group[~early])


def test_fields_that_only_the_catalogue_joins_are_told(survey):
    o, s = survey.observations, survey.stars
    late = survey.visits.night[o.visit] >= survey.visits.night[-1] - 1
    twice = Stars(
        np.concatenate([s.id, s.id + 10**6]),
        np.tile(s.ra, 2),
        np.tile(s.dec, 2),
        np.tile(s.reserved, 2),
        np.tile(s.reference_mag, (2, 1)),
        np.tile(s.reference_err, (2, 1)),
    )
    apart = replace(o, star=o.star + np.where(late, len(s), 0))
    found = calibrate(apart, *survey.tables[1:3], twice, survey.table, survey.config)
    told = [note for note in found.notes if "2 fields without common stars" in note]
    assert len(told) == 1
    assert "reference stars tie" in told[0]
    assert not any("groups" in note for note in found.notes)
    whole = calibrate(*survey.tables, survey.config)
    assert not any("fields" in note for note in whole.notes)


def test_visit_under_thick_cloud_has_no_zero_point(survey):
    clear = int(np.flatnonzero(~survey.cloudy)[3])
    o = survey.observations
    dim = replace(o, mag=o.mag + np.where(o.visit == clear, 1.5, 0.0))
    found = calibrate(dim, *survey.tables[1:], survey.config)
    assert ((found.flag[clear] & Flag.IMPOSSIBLE) > 0).all()
    assert np.isnan(found.zero_point[clear]).all()
    assert found.gray[clear].mean() == pytest.approx(-1.5, abs=0.01)
    # Nobody else is harmed.
    rest = zero_point_errors(replace(survey, observations=dim), found)
    others = ~survey.cloudy & (np.arange(len(survey.visits)) != clear)
    assert np.sqrt(np.nanmean(rest[others] ** 2)) < 1.5 * MMAG


def test_detector_without_stars_follows_its_visit(survey):
    o = survey.observations
    clear = int(np.flatnonzero(~survey.cloudy)[2])
    empty = o.take(~((o.visit == clear) & (o.detector == 1)))
    found = calibrate(empty, *survey.tables[1:], survey.config)
    assert found.flag[clear, 1] == Flag.PHOTOMETRIC | Flag.FEW_STARS
    whole = calibrate(*survey.tables, survey.config)
    assert found.zero_point[clear, 1] == pytest.approx(whole.zero_point[clear, 1], abs=2 * MMAG)


def test_one_detector_with_thirty_stars():
    survey = made_up_survey(8, columns=1, rows=1, stars_per_detector=30, nights=5)
    found = calibrate(*survey.tables, survey.config)
    error = zero_point_errors(survey, found)
    assert np.sqrt(np.nanmean(error[~survey.cloudy] ** 2)) < 3 * MMAG
    assert (found.photometric == ~survey.cloudy).mean() > 0.9


def test_frozen_air_and_progress():
    survey = made_up_survey(9, nights=3, per_night=6, stars_per_detector=30)
    cycles = []
    config = FgcmConfig.model_validate({"air": {"free": False}})
    found = calibrate(*survey.tables, config, progress=cycles.append)
    assert tuple(cycles) == found.history
    assert np.unique(found.air["aerosol_tau"]).size == 1


def test_two_runs_give_the_same_bytes():
    survey = made_up_survey(10, nights=3, per_night=6, stars_per_detector=30)
    first, second = (calibrate(*survey.tables, survey.config) for _ in range(2))
    assert first.zero_point.tobytes() == second.zero_point.tobytes()
    assert first.standard_mag.tobytes() == second.standard_mag.tobytes()
    assert first.parameters == second.parameters
