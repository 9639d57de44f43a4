from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.sim.optics import TrueOptics, build_true_optics

from .surveys import build, survey_config, tiny

PERFECT = {
    "instrument": {
        "optics": {
            "radial_error": 0,
            "scale_error": 0,
            "detector_shift_um": 0,
            "detector_turn_deg": 0,
            "static_mas": 0,
        }
    }
}
pixel = st.floats(-40, 296)


@settings(max_examples=50, deadline=None)
@given(pixel, pixel)
def test_pixels_and_field_round_trip(x: float, y: float) -> None:
    optics = tiny().optics
    field = optics.focal_to_field(*optics.detectors[1].to_focal(np.array(x), np.array(y)))
    back = optics.detectors[1].from_focal(*optics.field_to_focal(*field))
    assert back == (pytest.approx(x, abs=1e-7), pytest.approx(y, abs=1e-7))


def test_without_errors_the_truth_is_what_the_makers_say() -> None:
    survey = build(PERFECT)
    for detector in survey.instrument.detectors:
        assert survey.optics.detectors[detector.id].place == detector
    nominal = survey.instrument.optics
    r_mm = 4.0
    u = (r_mm / nominal.radius_mm) ** 2
    stretch = 1 + nominal.radial[0] * u + nominal.radial[1] * u**2
    expected = nominal.plate_scale_arcsec_per_mm * r_mm * stretch / 3600
    found, zero = survey.optics.focal_to_field(np.array(r_mm), np.array(0.0))
    assert found == pytest.approx(expected, rel=1e-14)
    assert zero == 0


def test_truth_differs_slightly_from_the_camera_file() -> None:
    survey = build(name="demo")
    offsets_pix = []
    for nominal in survey.instrument.detectors:
        x, y = np.meshgrid(np.linspace(0, 1023, 9), np.linspace(0, 1023, 9))
        moved = survey.optics.detectors[nominal.id].from_focal(*nominal.pixel_to_focal(x, y))
        offsets_pix.append(np.hypot(moved[0] - x, moved[1] - y))
    worst = np.max(offsets_pix)
    assert 0.1 < worst < 5.0


def test_static_distortion_has_the_rms_asked_for() -> None:
    config = survey_config("tiny", {"instrument": {"optics": {"static_mas": 60.0}}})
    rms = []
    for seed in range(120):
        seeded = config.model_copy(update={"seed": seed})
        optics = build_true_optics(seeded, tiny().instrument)
        x, y = np.meshgrid(np.arange(4.0, 256.0, 8.0), np.arange(4.0, 256.0, 8.0))
        dx, dy = optics.detectors[0]._distortion(x, y)
        rms.append(np.mean(dx**2 + dy**2) / 2)
    assert np.sqrt(np.mean(rms)) * 200 == pytest.approx(60.0, rel=0.1)


def test_pixel_area_is_the_jacobian() -> None:
    optics = TrueOptics(0.0037, 20.0, (2e-3, 1e-4), 0.1, {})
    h = 1e-4
    x, y = np.array(9.0), np.array(-14.0)
    ddx = np.subtract(optics.focal_to_field(x + h, y), optics.focal_to_field(x - h, y)) / (2 * h)
    ddy = np.subtract(optics.focal_to_field(x, y + h), optics.focal_to_field(x, y - h)) / (2 * h)
    jacobian = (ddx[0] * ddy[1] - ddx[1] * ddy[0]) / 0.0037**2
    assert optics.pixel_area(x, y) == pytest.approx(jacobian, rel=1e-8)


def test_vignetting_takes_what_it_says_at_the_edge() -> None:
    optics = replace(tiny().optics, vignetting=0.12, radius_mm=20.0)
    assert optics.illumination(np.array(0.0), np.array(0.0)) == 1.0
    assert optics.illumination(np.array(0.0), np.array(20.0)) == pytest.approx(0.88)
