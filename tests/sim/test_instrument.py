import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.sim.instrument import SimDetector, build_instrument

from .surveys import survey_config

coordinate = st.floats(-500, 1500)


def test_mosaic_is_centered_and_spaced() -> None:
    instrument = build_instrument(survey_config("demo").instrument)
    centers = np.array([d.center_mm for d in instrument.detectors])
    np.testing.assert_allclose(centers.mean(axis=0), 0.0, atol=1e-12)
    step = 1024 * 0.015 + 1.0
    np.testing.assert_allclose(centers[1] - centers[0], [step, 0.0])
    np.testing.assert_allclose(centers[2] - centers[0], [0.0, step])
    assert [d.id for d in instrument.detectors] == [0, 1, 2, 3]
    assert instrument.half_diagonal_mm() == pytest.approx(np.hypot(1, 1) * (1024 * 0.015 + 0.5))
    assert instrument.pixel_scale_arcsec == pytest.approx(0.2)


def test_turned_detector_follows_the_convention() -> None:
    # Turned by 90°, +x of the detector points along +y of the focal plane.
    detector = SimDetector(0, "a", (101, 101), (3.0, 4.0), 90.0, 0.01)
    x, y = detector.pixel_to_focal(np.array([60.0]), np.array([50.0]))
    assert (x[0], y[0]) == (pytest.approx(3.0), pytest.approx(4.1))


@given(coordinate, coordinate, st.floats(-180, 180))
def test_pixels_and_millimetres_round_trip(x: float, y: float, turn: float) -> None:
    detector = SimDetector(0, "a", (1024, 512), (3.0, -7.0), turn, 0.015)
    back = detector.focal_to_pixel(*detector.pixel_to_focal(np.array(x), np.array(y)))
    assert back == (pytest.approx(x, abs=1e-9), pytest.approx(y, abs=1e-9))


def test_unknown_names_are_key_errors() -> None:
    instrument = build_instrument(survey_config("tiny").instrument)
    with pytest.raises(KeyError, match="no detector 9"):
        instrument.detector(9)
    with pytest.raises(KeyError, match="band 'z'"):
        instrument.filter_for_band("z")
    with pytest.raises(KeyError, match="filter 'sim_z'"):
        instrument.filter_named("sim_z")
    assert instrument.filter_for_band("r").physical_filter == "sim_r"
