from dataclasses import replace

import numpy as np
import pytest
from fgcm_baselines import mean_magnitudes, median_zero_points
from fgcm_scores import Calibration, detector_mean, figures, score, true_air
from fgcm_spectra import true_sensitivity

from drpflow.sim.photometric_config import PhotometricConfig
from drpflow.sim.photometric_survey import PhotometricSurvey, simulate_photometry


@pytest.fixture(scope="module")
def survey() -> PhotometricSurvey:
    values = {
        "seed": 5,
        "field": {"stars_per_detector": 120, "reserved_fraction": 0.4},
        "nights": {"days": (0, 3, 30), "visits_per_night": 8},
        "gray": {"cloud_fraction": 0.25},
        "reference": {"fraction": 0.4},
    }
    return simulate_photometry(PhotometricConfig.model_validate(values))


def perfect(
    survey: PhotometricSurvey,
    wrong_mag: np.ndarray | float = 0.0,
    wrong_points: np.ndarray | float = 0.0,
) -> Calibration:
    correction = survey.measurements.correction + wrong_mag
    error = np.full(survey.gray_mag.shape, 0.002)
    magnitudes = mean_magnitudes(survey, correction)
    points = survey.zero_point + wrong_points
    return Calibration(correction, points, error, survey.photometric, magnitudes)


def test_the_truth_has_no_error(survey: PhotometricSurvey) -> None:
    table = figures([score(survey, perfect(survey))])
    for name in ("zero points, photometric visits, rms", "zero points, cloudy visits, rms"):
        assert table[name].value == pytest.approx(0, abs=0.01)
    assert table["colour slope of a visit, rms"].value == pytest.approx(0, abs=0.01)
    assert table["cloudy visits recognised"].value == 1
    assert table["photometric visits lost"].value == 0
    # 1.2 mmag that no catalogue tells, and few stars here.
    assert table["the same without noise, photometric"].low < 2.0


def test_an_even_offset_of_a_band_does_not_count(survey: PhotometricSurvey) -> None:
    band = np.array([e.band for e in survey.exposures])[survey.measurements.visit]
    offset = np.array([0.1, -0.2, 0.3])
    of_visit = offset[[e.band for e in survey.exposures]][:, None]
    table = figures([score(survey, perfect(survey, offset[band], of_visit))])
    assert table["zero points, photometric visits, rms"].value == pytest.approx(0, abs=0.01)
    assert table["uniformity, rms"].value == pytest.approx(
        figures([score(survey, perfect(survey))])["uniformity, rms"].value, abs=1e-6
    )


def test_known_errors_of_detectors_are_found(survey: PhotometricSurvey) -> None:
    rng = np.random.default_rng(1)
    wrong = rng.normal(0.0, 0.003, survey.gray_mag.shape)
    m = survey.measurements
    table = figures([score(survey, perfect(survey, wrong[m.visit, m.detector], wrong))])
    found = table["zero points, photometric visits, rms"]
    assert found.low < 3.0 < found.high
    assert table["pull width, photometric"].value == pytest.approx(1.5, abs=0.3)


def test_air_is_compared_at_the_mean_time_of_each_night(survey: PhotometricSurvey) -> None:
    true = true_air(survey)
    air = [e.air for e in survey.exposures if e.night == 1]
    assert true["water"].shape == true["aerosols"].shape == (3,)
    assert np.exp(true["water"][1]) == pytest.approx(np.median([a.water_mm for a in air]), rel=0.1)
    off = {"water": 0.2, "aerosols": -0.004}
    said = {n: np.column_stack([v + off[n], np.full(3, 0.1)]) for n, v in true.items()}
    table = figures([score(survey, replace(perfect(survey), air=said))])
    assert table["water, ln, rms"].value == pytest.approx(0.2)
    assert table["water, ln, pulls, rms"].value == pytest.approx(2.0)
    assert table["aerosols, 1000 τ, mean"].value == pytest.approx(-4.0)


def test_what_says_nothing_of_the_air_has_no_figure_of_it(survey: PhotometricSurvey) -> None:
    assert figures([score(survey, perfect(survey))])["water, ln, rms"].number == 0


def test_a_colour_term_shows_as_slope(survey: PhotometricSurvey) -> None:
    color = survey.stars.color[survey.measurements.star]
    table = figures([score(survey, perfect(survey, 0.004 * color))])
    assert table["colour slope of a band, largest"].value == pytest.approx(4.0, rel=0.01)
    assert table["colour slope of a visit, rms"].value == pytest.approx(4.0, rel=0.01)


def test_detectors_of_few_stars_have_no_mean(survey: PhotometricSurvey) -> None:
    values = np.full(len(survey.measurements), np.nan)
    first = (survey.measurements.visit == 0) & (survey.measurements.detector == 0)
    values[np.flatnonzero(first)[:4]] = 1.0
    mean, number = detector_mean(survey, values)
    assert number[0, 0] == 4
    assert np.isnan(mean).all()


def test_medians_find_zero_points_and_the_colour_terms_of_the_catalogue(
    survey: PhotometricSurvey,
) -> None:
    baseline = median_zero_points(survey)
    table = figures([score(survey, baseline)])
    # 40 % of some 120 stars, half of them bright enough: about 25 references of 9 mmag.
    assert 1.0 < table["zero points, photometric visits, rms"].value < 5.0
    assert table["colour slope of a band, largest"].value < 5.0
    assert table["detector images calibrated, photometric"].value > 0.99


def test_mean_magnitudes_leave_out_what_is_spoilt(survey: PhotometricSurvey) -> None:
    magnitudes = mean_magnitudes(survey, survey.measurements.correction)
    bright = (survey.stars.amplitude_mag == 0) & (survey.stars.mag < 17)
    off = (magnitudes - survey.stars.standard_mag)[bright]
    assert np.nanpercentile(np.abs(off), 68) < 0.003


def test_clouds_are_counted_by_their_depth(survey: PhotometricSurvey) -> None:
    depth = 1e3 * np.array([e.cloud_mag for e in survey.exposures])
    said = replace(perfect(survey), photometric=depth < 60)
    table = figures([score(survey, said)])
    deep = table["called cloudy, of 60 to 2000 mmag"]
    assert deep.value == 1
    assert deep.number == (depth > 60).sum() > 0
    thin = table["called cloudy, of 30 to 60 mmag"]
    assert thin.number == ((depth > 30) & (depth <= 60)).sum()
    assert thin.number == 0 or thin.value == 0
    assert table["called cloudy, of 5 to 10 mmag"].number == 0


def test_sensitivities_are_compared_with_the_spectra(survey: PhotometricSurvey) -> None:
    true, spread = true_sensitivity(survey).T
    # The spectra of most stars bend: slopes inside bands are not those between bands.
    assert (true > 0.3).all()
    assert (true < 5).all()
    assert (spread > 0).all()
    first = replace(survey, exposures=survey.exposures[:1])
    one = true_sensitivity(first)[survey.exposures[0].band]
    assert np.isfinite(one[0])
    assert one[1] == pytest.approx(0, abs=1e-3), "one visit has no spread"
    said = np.column_stack([true + 0.4, np.full(true.size, 0.2)])
    table = figures([score(survey, replace(perfect(survey), sensitivity=said))])
    assert table["κ, pulls, rms"].value == pytest.approx(2.0)
    assert table["κ of g, fitted"].value == pytest.approx(table["κ of g, true"].value + 0.4)
    assert figures([score(survey, perfect(survey))])["κ, pulls, rms"].number == 0
