import numpy as np
import pytest

from drpflow.sim.dome import dome_illumination
from drpflow.sim.survey import Survey

from .surveys import build


def dome(survey: Survey, detector: int, physical_filter: str = "sim_r") -> np.ndarray:
    return dome_illumination(
        survey.config, survey.optics, survey.throughputs, detector, physical_filter
    )


def test_mean_over_the_camera_is_one() -> None:
    survey = build(name="demo")
    mean = np.mean([dome(survey, d).mean() for d in range(4)])
    assert mean == pytest.approx(1.0, abs=1e-3)


def test_even_screen_of_flat_spectrum_is_the_light_of_the_sky() -> None:
    survey = build({"dome": {"screen_gradient": 0, "stray_light": 0}})
    true = survey.optics.detectors[0]
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    focal = true.place.pixel_to_focal(x, y)
    sky = survey.optics.illumination(*focal) * survey.optics.pixel_area(*focal)
    ratio = dome(survey, 0) / sky
    assert np.ptp(ratio) < 1e-5


def test_dividing_by_the_dome_leaves_an_illumination_error() -> None:
    survey = build(name="demo")
    true = survey.optics.detectors[0]
    x, y = np.meshgrid(np.arange(1024), np.arange(1024))
    error = survey.optics.illumination(*true.place.pixel_to_focal(x, y)) / dome(survey, 0)
    assert 0.003 < np.std(error) / np.mean(error) < 0.05


def test_lamp_and_sky_compare_detectors_differently() -> None:
    survey = build({"dome": {"screen_gradient": 0, "stray_light": 0}})
    lamp = dome(survey, 0, "sim_g").mean() / dome(survey, 1, "sim_g").mean()
    star = survey.model(2).flat_rate(0) / survey.model(2).flat_rate(1)
    assert survey.visit(2).band == "g"
    assert 5e-4 < abs(lamp / star - 1) < 0.05
