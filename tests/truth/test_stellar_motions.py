"""Motions and parallaxes of simulated surveys are right, and so are their errors."""

from __future__ import annotations

import numpy as np
import pytest
from motion_scores import Errors, color_slopes, errors_of, width
from motion_tables import Fitted, fit_survey

from drpflow.sim.motion_survey import MotionConfig, MotionSurvey, simulate_motions

SEEDS = (61, 62, 63)


@pytest.fixture(scope="module")
def surveys() -> list[tuple[MotionSurvey, Fitted]]:
    made = [simulate_motions(MotionConfig(seed=seed, stars=1500)) for seed in SEEDS]
    return [(survey, fit_survey(survey)) for survey in made]


@pytest.fixture(scope="module")
def errors(surveys: list[tuple[MotionSurvey, Fitted]]) -> Errors:
    parts = [errors_of(*pair, seed) for pair, seed in zip(surveys, SEEDS, strict=True)]
    return Errors(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@pytest.mark.parametrize(("low", "high"), [(5, 7), (7, 12), (12, 1000)])
def test_errors_of_faint_and_bright_stars_are_as_stated(
    errors: Errors, low: float, high: float
) -> None:
    """Pulls 0.9 to 1.1 wide, their statistical error (0.03) on top."""
    chosen = errors.select((errors.snr >= low) & (errors.snr < high))
    for k in range(3):
        assert 0.86 < width(chosen.pulls[:, k])[0] < 1.14


def test_errors_are_near_the_statistical_limit(errors: Errors) -> None:
    free = errors.select(~errors.tied)
    for k in range(3):
        assert width(free.error[:, k] / free.limit[:, k])[0] < 1.08


def test_the_catalogue_helps(errors: Errors) -> None:
    tied = errors.select(errors.tied)
    assert np.median(tied.stated[:, 0] / tied.limit[:, 0]) < 0.5


def test_motions_do_not_depend_on_color(errors: Errors) -> None:
    slope, error = color_slopes(errors)
    assert (np.abs(slope) < 0.05 + 3.5 * error).all()


def test_groups_are_single_stars(surveys: list[tuple[MotionSurvey, Fitted]]) -> None:
    """Of sources of true stars, 99.8 % are in the group of their star."""
    for _, fitted in surveys:
        rows, ids = fitted.rows, fitted.matches.matches["source_match_id"]
        place = np.searchsorted(ids, rows["source_match_id"])
        own = rows["true_star"] >= 0
        pairs = np.stack([rows["true_star"][own], place[own]], axis=1)
        kinds, count = np.unique(pairs, axis=0, return_counts=True)
        most = np.zeros(rows["true_star"].max() + 1, np.int64)
        np.maximum.at(most, kinds[:, 0], count)
        assert most.sum() / own.sum() > 0.998


def test_spoilt_positions_are_found(surveys: list[tuple[MotionSurvey, Fitted]]) -> None:
    """Of positions that are spoilt by more than ten of their errors, hardly any counts."""
    survey, fitted = surveys[0]
    assert 0.004 < fitted.stars.numbers["rejected"] / fitted.stars.numbers["detections"] < 0.012
    assert survey.config.outliers == 0.01
