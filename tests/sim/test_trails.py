import numpy as np
import pytest

from drpflow.sim.instrument import SimDetector
from drpflow.sim.trails import Trail, draw_trails

from .surveys import build, survey_config

DETECTOR = SimDetector(0, "a", (200, 150), (0.0, 0.0), 0.0, 0.015)


def draw(trail: Trail, peak: float, fwhm: float) -> np.ndarray:
    image = np.zeros(DETECTOR.shape)
    pixels, electrons = trail.draw(DETECTOR, peak, fwhm)
    image.ravel()[pixels] += electrons
    return image


def test_a_steady_trail_is_a_line_of_its_width_and_peak() -> None:
    image = draw(Trail(0.0, 0.0, 0.0, 20.0, 0.5, 0.0, 1.0), 100.0, 4.0)
    # Along x through the centre, between rows 74 and 75.
    np.testing.assert_allclose(image, image[:, :1].repeat(200, axis=1))
    sigma = 4.0 / 2.355
    assert image[:, 0].sum() == pytest.approx(100.0 * sigma * np.sqrt(2 * np.pi), rel=1e-4)
    assert image[74, 0] == pytest.approx(100.0 * np.exp(-0.5 * (0.5 / sigma) ** 2))


def test_direction_and_place() -> None:
    image = draw(Trail(0.3, 0.0, np.deg2rad(60.0), 20.0, 0.5, 0.0, 1.0), 1.0, 3.0)
    y, x = np.nonzero(image > 0.9)
    slope, intercept = np.polyfit(y - 74.5, x - 99.5, 1)
    assert slope == pytest.approx(1 / np.tan(np.deg2rad(60.0)), abs=0.01)
    assert intercept == pytest.approx(0.3 / 0.015, abs=0.3)


def test_flashing_trail_varies_along_its_length() -> None:
    image = draw(Trail(0.0, 0.0, 0.0, 20.0, 0.5, 0.8, 0.6), 100.0, 4.0)
    spine = image[74]
    assert spine.min() == pytest.approx(0.2 * spine.max(), rel=0.02)
    period = 0.6 / 0.015
    power = np.abs(np.fft.rfft(spine - spine.mean()))
    assert power.argmax() == pytest.approx(200 / period)


def test_each_visit_has_its_own_number_of_trails() -> None:
    config = survey_config("demo")
    survey = build(name="demo")
    for visit in survey.visits[:6]:
        trails = draw_trails(config, visit, 20.0)
        assert len(trails) == visit.trails
        for trail in trails:
            assert np.hypot(trail.x_mm, trail.y_mm) <= 14.0
