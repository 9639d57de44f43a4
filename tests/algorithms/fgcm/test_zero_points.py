"""What zero points say where there are no stars, and what they rest on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.field import local_design
from drpflow.algorithms.fgcm.groups import connect, tied
from drpflow.algorithms.fgcm.rows import build_rows
from drpflow.algorithms.photometric_products import (
    flags_of,
    standard_star_columns,
    zero_point_columns,
)
from drpflow.data.photometric_tables import Stars

from .made_up_survey import MadeUpSurvey, made_up_survey
from .test_second_flux import patchy_survey

RELATIVE = 64


@pytest.fixture(scope="module")
def survey() -> MadeUpSurvey:
    return made_up_survey(3, nights=3, per_night=6, stars_per_detector=40, outliers=0.0)


def in_two_fields(survey: MadeUpSurvey) -> tuple[MadeUpSurvey, np.ndarray]:
    """Return the survey with the last night on other stars, which no catalogue has."""
    s, n = survey.stars, len(survey.stars)
    late = survey.visits.night == survey.visits.night.max()
    o = survey.observations
    columns = (np.tile(c, 2) for c in (s.ra, s.dec, s.reserved))
    nothing = np.full(s.reference_mag.shape, np.nan)
    stars = Stars(
        np.concatenate([s.id, s.id + 10**6]),
        *columns,
        np.concatenate([s.reference_mag, nothing]),
        np.concatenate([s.reference_err, nothing]),
    )
    apart = replace(o, star=o.star + np.where(late[o.visit], n, 0))
    return replace(survey, observations=apart, stars=stars), late


def test_a_visit_without_stars_has_no_numbers(survey):
    o = survey.observations
    empty = o.take(o.visit != 2)
    found = calibrate(empty, *survey.tables[1:], survey.config)
    for values in (found.offset_error, found.gray, found.clear_probability):
        assert np.isnan(values[2]).all()
        assert np.isfinite(np.delete(values, 2, axis=0)).all()
    columns = zero_point_columns(found, flags_of(found), survey.visits, survey.detectors.id)
    mine = columns["visit"] == survey.visits.id[2]
    for name in ("zero_point", "zero_point_err", "offset_err", "gray", "clear_probability"):
        assert np.isnan(columns[name][mine]).all()


def test_a_group_without_references_is_relative(survey):
    apart, late = in_two_fields(survey)
    found = calibrate(apart.observations, *apart.tables[1:], apart.config)
    np.testing.assert_array_equal(found.tied, ~late)
    flag = flags_of(found)
    assert ((flag[late] & RELATIVE) > 0).all()
    assert ((flag[~late] & RELATIVE) == 0).all()
    columns = standard_star_columns(found, apart.stars, apart.observations)
    elsewhere = columns["row"] >= len(survey.stars)
    np.testing.assert_array_equal(columns["relative"], elsewhere)
    known = np.isfinite(columns["offset_err"])
    assert columns["offset_err"][elsewhere & known].min() > 0
    assert known[np.isfinite(columns["mag_std"])].all()


def test_references_that_are_not_used_tie_nothing(survey):
    s = survey.stars
    vague = np.where(np.isfinite(s.reference_mag), 0.5, np.nan)
    stars = replace(s, reference_err=vague)
    found = calibrate(survey.observations, *survey.tables[1:3], stars, survey.table, survey.config)
    assert not found.tied.any()
    assert ((flags_of(found) & RELATIVE) > 0).all()
    assert any("relative" in note for note in found.notes)


def test_references_without_weight_tie_nothing(survey):
    rows, _ = build_rows(*survey.tables[:4], survey.config)
    n = len(survey.visits), len(survey.detectors)
    group = connect(rows, *n, 3)
    weight = np.ones(len(rows))
    assert tied(rows, group, weight, n[1]).all()
    weight[rows.is_reference & (rows.band[rows.pair] == 1)] = 0.0
    np.testing.assert_array_equal(tied(rows, group, weight, n[1]), survey.visits.band != 1)


def test_patches_are_stored_for_visits_that_have_them():
    survey, _ = patchy_survey(1)
    found = calibrate(*survey.tables, survey.config)
    assert set(found.patches) >= set(np.flatnonzero(survey.cloudy).tolist())
    assert found.field.shape[2] == 5
    visit = next(iter(found.patches))
    assert found.field_of(visit).shape[1] > 5
    o = survey.observations.take(survey.observations.visit == visit)
    order = next(n for n in range(20) if (n + 1) * (n + 2) // 2 > found.field_of(visit).shape[1])
    terms = local_design(o.u.astype(float), o.v.astype(float), order)[:, 1:]
    expected = (terms * found.field_of(visit)[o.detector]).sum(axis=1)
    expected += o.mag + found.zero_point[o.visit, o.detector] + found.chromatic(o)
    np.testing.assert_allclose(found.calibrated(o), expected, atol=1e-10)
