"""Clouds by a flux of less noise than the one that is calibrated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.second_flux import CloudRows

from .made_up_survey import MadeUpSurvey, made_up_survey

CLOUD_MAG = 0.05


def patchy_survey(seed: int, *, clouds: bool = True) -> tuple[MadeUpSurvey, np.ndarray]:
    """Return a survey with patches of 0.05 mag on its cloudy visits, and noiseless magnitudes.

    Both fluxes have the same noise n₂, and the first as much again and more of its own.
    """
    survey = made_up_survey(
        seed, nights=3, per_night=7, stars_per_detector=70, cloudy_fraction=0.25, outliers=0.0
    )
    rng = np.random.default_rng([seed, 5])
    o, d = survey.observations, survey.detectors
    true = survey.true_mag[o.star, survey.visits.band[o.visit]] - survey.correction
    x, y = d.field(o.detector, o.u.astype(float), o.v.astype(float))
    kx, ky, phase = rng.uniform([25, 25, 0], [40, 40, 6], (len(survey.visits), 3))[o.visit].T
    if clouds:
        true = true + CLOUD_MAG * survey.cloudy[o.visit] * np.sin(kx * x + phase) * np.cos(ky * y)
    offset = rng.normal(0, 0.02, (len(survey.visits), len(d)))
    err = o.mag_err.astype(float)
    common, own = (err * rng.normal(size=len(o)) for _ in range(2))
    varies = np.where(survey.variable[o.star], 0.1 * rng.normal(size=len(o)), 0.0)
    observations = replace(
        o,
        mag=true + varies + common + 2 * own,
        mag_err=np.sqrt(5.0) * err,
        cloud_mag=true + varies + common - offset[o.visit, o.detector],
        cloud_mag_err=err,
    )
    return replace(survey, observations=observations), true


def field_errors(survey: MadeUpSurvey, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return errors under clouds of the calibration at the stars' places, and pulls of means."""
    o = survey.observations
    result = calibrate(o, *survey.tables[1:], survey.config)
    standard = survey.true_mag[o.star, survey.visits.band[o.visit]]
    off = result.calibrated(replace(o, mag=true)) - standard
    off -= np.median(off)
    patchy = survey.cloudy[o.visit] & ~survey.variable[o.star] & (o.mag_err < 0.1)
    image = o.visit * len(survey.detectors) + o.detector
    mean = np.bincount(image, off) / np.maximum(np.bincount(image), 1)
    error = result.zero_point_error.ravel()[: mean.size]
    seen = survey.cloudy[np.arange(mean.size) // len(survey.detectors)] & np.isfinite(error)
    return off[patchy], (mean / error)[seen]


def without(survey: MadeUpSurvey) -> MadeUpSurvey:
    o = replace(survey.observations, cloud_mag=None, cloud_mag_err=None)
    return replace(survey, observations=o)


def test_clouds_are_followed_better_with_right_errors():
    found: dict[str, list[np.ndarray]] = {"first": [], "second": [], "pulls": []}
    for seed in (1, 2):
        survey, true = patchy_survey(seed)
        found["first"].append(field_errors(without(survey), true)[0])
        off, pulls = field_errors(survey, true)
        found["second"].append(off)
        found["pulls"].append(pulls)
    rms = {name: float(np.std(np.concatenate(parts))) for name, parts in found.items()}
    assert rms["second"] < 0.8 * rms["first"]
    assert 0.6 < rms["pulls"] < 1.3


def test_without_any_second_magnitude_it_is_as_without_the_column():
    survey = made_up_survey(2, nights=3, per_night=6, stars_per_detector=40)
    o = survey.observations
    nothing = np.full(len(o), np.nan)
    given = replace(o, cloud_mag=nothing, cloud_mag_err=nothing)
    first, second = (calibrate(t, *survey.tables[1:], survey.config) for t in (o, given))
    assert first.zero_point.tobytes() == second.zero_point.tobytes()
    assert first.field_of(0).tobytes() == second.field_of(0).tobytes()
    assert not np.isfinite(second.cloud_flux_offset).any()


def test_clear_visits_do_not_follow_the_second_flux():
    survey, _ = patchy_survey(4, clouds=False)
    o = survey.observations
    uneven = replace(o, cloud_mag=o.cloud_mag + 0.03 * o.u)
    first, second = (calibrate(t, *survey.tables[1:], survey.config) for t in (o, uneven))
    clear = first.photometric
    np.testing.assert_allclose(second.zero_point[clear], first.zero_point[clear], atol=2e-4)


def test_the_scale_of_the_second_flux_is_found_on_each_image():
    survey, _ = patchy_survey(5)
    o = survey.observations
    shift = np.random.default_rng(1).normal(0, 0.05, (len(survey.visits), len(survey.detectors)))
    moved = replace(o, cloud_mag=o.cloud_mag + shift[o.visit, o.detector].astype("f4"))
    first, second = (calibrate(t, *survey.tables[1:], survey.config) for t in (o, moved))
    known = np.isfinite(first.cloud_flux_offset) & np.isfinite(second.cloud_flux_offset)
    assert known.mean() > 0.9
    change = first.cloud_flux_offset - second.cloud_flux_offset
    np.testing.assert_allclose(change[known], shift[known], atol=1e-5)
    np.testing.assert_allclose(second.zero_point, first.zero_point, atol=1e-4)


def test_an_image_whose_scale_is_far_off_follows_the_first_flux():
    survey, _ = patchy_survey(6)
    o = survey.observations
    visit = int(np.flatnonzero(survey.cloudy)[0])
    wrong = (o.visit == visit) & (o.detector == 1)
    moved = replace(o, cloud_mag=np.where(wrong, o.cloud_mag + 0.5, o.cloud_mag))
    result = calibrate(moved, *survey.tables[1:], survey.config)
    assert np.isnan(result.cloud_flux_offset[visit, 1])
    assert np.isfinite(result.cloud_flux_offset[visit, [0, 2, 3]]).all()
    assert np.isfinite(result.zero_point[visit, 1])


def test_junk_in_the_second_flux_does_little_harm():
    survey, true = patchy_survey(7)
    rng = np.random.default_rng(2)
    o = survey.observations
    junk = rng.uniform(size=len(o)) < 0.05
    spoilt = np.where(junk, o.cloud_mag + rng.normal(0, 1.0, len(o)), o.cloud_mag)
    clean = float(np.std(field_errors(survey, true)[0]))
    dirty = replace(survey, observations=replace(o, cloud_mag=spoilt))
    assert np.std(field_errors(dirty, true)[0]) < 1.2 * clean


def test_a_tilt_of_the_scale_over_an_image_goes_into_the_cloud_and_no_more():
    survey, true = patchy_survey(8)
    o = survey.observations
    tilted = replace(survey, observations=replace(o, cloud_mag=o.cloud_mag + 0.005 * o.u))
    clean, off = (float(np.std(field_errors(s, true)[0])) for s in (survey, tilted))
    # 5 mmag to either edge are 2.9 mmag rms.
    assert off**2 < clean**2 + 0.0045**2


def test_order_of_rows_does_not_matter():
    survey, _ = patchy_survey(9)
    o = survey.observations
    rows = np.random.default_rng(3).permutation(len(o))
    first, second = (calibrate(t, *survey.tables[1:], survey.config) for t in (o, o.take(rows)))
    np.testing.assert_allclose(second.zero_point, first.zero_point, atol=1e-7)
    np.testing.assert_allclose(second.cloud_flux_offset, first.cloud_flux_offset, atol=1e-7)


def test_residuals_leave_out_the_row_itself():
    rows = CloudRows(
        group=np.array([0, 1, 8, 2]),
        pair=np.array([5, 5, 5, 7]),
        u=np.zeros(4),
        v=np.zeros(4),
        calibrated=np.array([10.0, 10.4, 10.1, 12.0]),
        own=np.full(4, 0.01),
        weight=np.array([1.0, 1.0, 2.0, 1.0]),
    )
    used, value, variance = rows.left_out(8)
    assert used.tolist() == [0, 1]
    assert value == pytest.approx([(10.4 + 20.2) / 3 - 10.0, (10.0 + 20.2) / 3 - 10.4])
    assert variance == pytest.approx(0.01 + 1 / 3)
