"""Gross outliers: what is told before the fit, and what they do to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.gross import gross_outliers
from drpflow.algorithms.fgcm.noise import _spared
from drpflow.algorithms.fgcm.rows import build_rows
from drpflow.kernels.fgcm import segment_medians

from .made_up_survey import made_up_survey
from .test_calibrate import zero_point_errors

MMAG = 1e-3


@pytest.fixture(scope="module")
def survey():
    return made_up_survey(5, outliers=0.0)


@pytest.fixture(scope="module")
def clean(survey):
    return calibrate(*survey.tables, survey.config)


def spoilt(survey, fraction: float, size_mag: float, side: int):
    """The survey with a share of its observations off by a size; side 0: either way."""
    rng = np.random.default_rng(1)
    o = survey.observations
    hit = rng.random(len(o)) < fraction
    sign = rng.choice([-1, 1], len(o)) if side == 0 else side
    return replace(survey, observations=replace(o, mag=o.mag + np.where(hit, size_mag * sign, 0)))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(values**2)))


def marked(survey) -> tuple[np.ndarray, object]:
    rows, _ = build_rows(*survey.tables[:4], survey.config)
    layout = len(survey.visits), len(survey.detectors), len(survey.visits.bands)
    return gross_outliers(rows, *layout), rows


def test_medians_of_segments_are_those_of_numpy():
    rng = np.random.default_rng(2)
    count = np.array([1, 0, 2, 3, 16, 17, 40])
    label = np.repeat(np.arange(count.size), count)
    order = rng.permutation(label.size)
    value = rng.normal(size=label.size)
    out = np.empty(count.size)
    segment_medians(np.concatenate([[0], np.cumsum(count)]), order, value, out)
    expected = [np.median(value[order[label == k]]) if n else np.nan for k, n in enumerate(count)]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("size_mag", [0.1, 0.3, 1.0, 5.0, 20.0])
@pytest.mark.parametrize(("fraction", "side"), [(0.02, 0), (0.1, 0), (0.1, 1), (0.1, -1)])
def test_the_fit_survives_outliers_of_any_size(survey, clean, fraction, size_mag, side):
    bad = spoilt(survey, fraction, size_mag, side)
    found = calibrate(*bad.tables, bad.config)
    assert np.isfinite(found.zero_point).all()
    assert (found.photometric == clean.photometric).all()
    error, before = zero_point_errors(bad, found), zero_point_errors(survey, clean)
    clear = ~survey.cloudy
    assert rms(error[clear]) < 1.5 * rms(before[clear])
    width = 1.4826 * np.nanmedian(np.abs(error / found.zero_point_error))
    assert 0.3 < width < 1.4
    # Most of what was spoilt was left out (0.1 mag is less than 5 σ of the faintest stars), and
    # little else.
    n = len(survey.observations) - found.rejected.reserved - found.rejected.single
    least = 0.6 if size_mag < 0.2 else 0.9
    assert least * fraction < found.rejected.outlying / n < fraction + 0.03
    assert any("were left out" in note for note in found.notes) == (fraction > 0.05)


def test_standard_magnitudes_survive_outliers(survey, clean):
    bad = spoilt(survey, 0.1, 5.0, 1)
    found = calibrate(*bad.tables, bad.config)
    often = (clean.stars.n_good >= 8) & ~survey.variable[:, None]
    difference = (found.standard_mag - clean.standard_mag)[often]
    assert np.isfinite(difference).mean() > 0.99
    assert (np.abs(difference) < 0.1).mean() > 0.99


def test_outliers_are_marked_and_nothing_else(survey):
    bad = spoilt(survey, 0.1, 2.0, 1)
    mark, rows = marked(bad)
    count = np.diff(rows.first)[rows.pair]
    truth, _ = build_rows(*survey.tables[:4], survey.config)
    wrong = np.abs(rows.mag - truth.mag) > 1
    assert mark[wrong & (count >= 5)].mean() > 0.98
    assert mark[~wrong & (count >= 5)].mean() < 0.02


def test_uneven_clouds_variable_stars_and_flats_are_not_gross(survey):
    o = survey.observations
    under = o.visit % 3 == 0
    x = survey.detectors.x_deg[o.detector] + 0.1 * o.u
    cloud = np.where(under, 0.5 + 0.3 * x / survey.detectors.radius_deg, 0.0)
    flat = 0.05 * o.u * o.v * (o.detector + 1)
    star = np.where(survey.variable[o.star], 0.15 * np.sin(o.star + 7.0 * o.visit), 0.0)
    mark, _ = marked(replace(survey, observations=replace(o, mag=o.mag + cloud + flat + star)))
    assert mark.mean() < 1e-3


def test_a_wrong_detector_image_is_gross_as_a_whole(survey):
    o = survey.observations
    bad = (o.visit == 4) & (o.detector == 2)
    mark, rows = marked(replace(survey, observations=replace(o, mag=o.mag + np.where(bad, 5.0, 0))))
    mine = rows.group == 4 * len(survey.detectors) + 2
    assert mark[mine].mean() > 0.95
    assert mark[~mine].mean() < 0.02


def test_outliers_of_a_star_are_spared_up_to_bad_luck():
    rng = np.random.default_rng(3)
    star = np.repeat(np.arange(200), 20)
    square = np.where(rng.random(star.size) < 0.1, 100.0, 1.0)
    square[:20] = 100.0
    spared, number = _spared(star, square, np.full(200, 20), 5.0)
    total = np.bincount(star, square)
    assert ((total - spared)[1:] < 60).mean() > 0.9
    assert total[0] - spared[0] > 1000
    assert number.min() == 1


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_reference_stars_without_error_are_not_perfect(survey, clean, value):
    stars = survey.stars
    rng = np.random.default_rng(4)
    odd = rng.random(len(stars)) < 0.2
    mag = stars.reference_mag + np.where(odd, 0.1 * rng.normal(size=len(stars)), 0)[:, None]
    err = np.where(odd[:, None], value, stars.reference_err)
    unknown = replace(stars, reference_mag=mag, reference_err=err)
    tables = [unknown if t is stars else t for t in survey.tables]
    rows, _ = build_rows(*tables[:4], survey.config)
    np.testing.assert_allclose(rows.err[rows.is_reference], 0.01)
    found = calibrate(*tables, survey.config)
    clear = ~survey.cloudy
    before = rms(zero_point_errors(survey, clean)[clear])
    assert rms(zero_point_errors(survey, found)[clear]) < max(1.5 * before, 1.0 * MMAG)


def test_reference_stars_all_without_error_scatter_as_found(survey, clean):
    unknown = replace(survey.stars, reference_err=np.full_like(survey.stars.reference_err, np.nan))
    tables = [unknown if t is survey.stars else t for t in survey.tables]
    found = calibrate(*tables, survey.config)
    clear = ~survey.cloudy
    before = rms(zero_point_errors(survey, clean)[clear])
    assert rms(zero_point_errors(survey, found)[clear]) < 1.5 * before
    assert found.offset_error.min() > 0.3 * clean.offset_error.min()
