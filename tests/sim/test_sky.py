import numpy as np
import pytest

from drpflow.sim.instrument import SimDetector
from drpflow.sim.photometry import mag_to_njy
from drpflow.sim.scene import render_sky
from drpflow.sim.sky import build_sky_pattern, smooth_map

from .surveys import QUIET, build, tiny

DETECTOR = SimDetector(0, "a", (300, 200), (1.0, -2.0), 0.0, 0.015)


def test_smooth_map_is_good_to_a_hundred_thousandth() -> None:
    def pattern(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 1 + 0.1 * x - 0.02 * y**2 + 0.05 * np.exp(-0.5 * (x**2 + y**2) / 9.0)

    x, y = np.meshgrid(np.arange(300), np.arange(200))
    expected = pattern(*DETECTOR.pixel_to_focal(x, y))
    np.testing.assert_allclose(smooth_map(DETECTOR, pattern), expected, atol=1e-5)


def test_sky_level_follows_brightness_time_and_area() -> None:
    survey = build(QUIET, {"instrument": {"optics": {"vignetting": 0, "radial": []}}})
    model = survey.model(1)
    sky = render_sky(model, 0)
    item = survey.config.instrument.filters[1]
    per_arcsec2 = mag_to_njy(item.sky_mag) * model.truth.airmass**0.6
    rate = per_arcsec2 * model.flat_rate(0, through_air=False)
    assert sky.mean() == pytest.approx(30.0 * 0.04 * rate, rel=1e-3)
    assert np.ptp(sky) < 1e-9 * sky.mean()


def test_gradients_belong_to_visits_and_scattered_light_to_filters() -> None:
    survey = tiny()
    patterns = [build_sky_pattern(survey.config, v) for v in survey.visits]
    bands = [v.band for v in survey.visits]
    assert bands == ["r", "g", "r"]
    assert (patterns[0].gradient != patterns[2].gradient).all()
    np.testing.assert_array_equal(patterns[0].blobs, patterns[2].blobs)
    assert (patterns[0].blobs != patterns[1].blobs).any()


def test_vignetting_and_scattered_light_shape_the_sky() -> None:
    plain = {"sky": {"gradient": 0, "scattered": 0, "brightness_scatter_mag": 0}}
    vignetted = render_sky(build(plain).model(1), 0)
    scattering = render_sky(build(plain, {"sky": {"scattered": 0.05}}).model(1), 0)
    corner, middle = vignetted[0, 0], vignetted[128, 255]
    assert 0.85 < corner / middle < 0.99
    excess = scattering / vignetted - 1
    assert excess.min() >= 0
    assert 0.003 < excess.max() < 0.25
