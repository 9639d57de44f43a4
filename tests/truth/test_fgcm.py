"""The whole fit against a survey of which everything is known, made by other formulae."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy_fgcm import CASES, calibration_of, run_fit, survey_of
from fgcm_baselines import median_zero_points
from fgcm_scores import figures, score
from scoring import Figure

from drpflow.sim.photometric_survey import PhotometricSurvey

# Two nights before and two after the cleaning of the mirror: of an epoch of one night, cloudy for
# most of the visits in a band, nobody could say what is throughput and what is cloud.
SMALL = {
    "field": {"stars_per_detector": 150},
    "nights": {"days": (0, 1, 33, 40), "visits_per_night": 12},
    "reference": {"fraction": 0.2},
}
LONELY_NIGHT = {**SMALL, "nights": {"days": (0, 1, 7, 40), "visits_per_night": 12}}


def build(case: dict[str, object]) -> PhotometricSurvey:
    CASES["small"] = case
    try:
        return survey_of("small", 31)
    finally:
        del CASES["small"]


@pytest.fixture(scope="module")
def survey() -> PhotometricSurvey:
    return build(SMALL)


@pytest.fixture(scope="module")
def scored(survey: PhotometricSurvey) -> dict[str, Figure]:
    return figures([score(survey, calibration_of(survey, run_fit(survey, "fgcm")))])


def test_zero_points_and_their_errors(scored: dict[str, Figure]) -> None:
    assert scored["zero points, photometric visits, rms"].value < 2.0  # mmag
    assert scored["zero points, cloudy visits, rms"].value < 6.0
    assert 0.7 < scored["pull width, photometric"].value < 1.4


def test_at_least_twice_as_good_as_medians(
    survey: PhotometricSurvey, scored: dict[str, Figure]
) -> None:
    medians = figures([score(survey, median_zero_points(survey))])
    for name in ("zero points, photometric visits, rms", "colour slope of a visit, rms"):
        assert scored[name].value < 0.6 * medians[name].value
    name = "zero points, photometric visits, rms"
    assert scored[name].value < 0.5 * medians[name].value


def test_colours_and_stars(scored: dict[str, Figure]) -> None:
    assert scored["colour slope of a band, largest"].value < 2.0  # mmag per mag
    assert scored["uniformity, rms"].value < 2.0
    assert scored["the same without noise, photometric"].value < 3.0


def test_water_and_aerosols_of_the_nights_come_back_within_their_errors(
    scored: dict[str, Figure],
) -> None:
    for name in ("water, ln", "aerosols, 1000 τ"):
        assert scored[f"{name}, pulls, rms"].value < 2.0
    # Three bands of which one feels water: its column is known to a third.
    assert scored["water, ln, rms"].value < 0.5
    assert scored["aerosols, 1000 τ, rms"].value < 15.0


def test_clouds_are_recognised(scored: dict[str, Figure]) -> None:
    assert scored["cloudy visits recognised"].value > 0.8
    assert scored["photometric visits lost"].value < 0.06


def test_without_references_visits_agree_all_the_same(survey: PhotometricSurvey) -> None:
    made = calibration_of(survey, run_fit(survey, "no reference"))
    table = figures([score(survey, made)])
    assert table["zero points, photometric visits, rms"].value < 3.0
    assert np.isfinite(made.standard_mag).any()


def test_cloud_taken_for_throughput_costs_the_zero_points_nothing() -> None:
    """The night after the cleaning stands alone, and three of its four visits in r are cloudy."""
    survey = build(LONELY_NIGHT)
    found = figures([score(survey, calibration_of(survey, run_fit(survey, "fgcm")))])
    assert found["zero points, photometric visits, rms"].value < 2.0  # mmag
    assert found["zero points, cloudy visits, rms"].value < 6.0
    assert found["cloudy visits recognised"].value > 0.6
    assert found["photometric visits lost"].value < 0.06
