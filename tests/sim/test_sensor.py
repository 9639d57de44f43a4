import numpy as np
import pytest

from drpflow.sim.detector_config import DarkCurrent, DetectorEffects, PixelResponse
from drpflow.sim.sensor import (
    build_sensor,
    dark_current,
    filter_response,
    pixel_response,
    smooth_variation,
)
from tests.sim.detectors import SEED, only, square

SHAPE = (96, 128)


def test_pixels_scatter_as_configured() -> None:
    config = PixelResponse(detector_rms=0, low_order_rms=0, pixel_rms=0.013)
    assert pixel_response(config, SHAPE, 1, 2).std() == pytest.approx(0.013, rel=0.03)


def test_detectors_scatter_as_configured() -> None:
    config = PixelResponse(detector_rms=0.05, low_order_rms=0, pixel_rms=0)
    means = [pixel_response(config, (4, 4), 1, d).mean() for d in range(300)]
    assert np.std(means) == pytest.approx(0.05, rel=0.15)


def test_smooth_variation_has_its_rms() -> None:
    rng = np.random.default_rng(3)
    maps = np.array([smooth_variation((40, 50), 0.02, rng) for _ in range(300)])
    assert np.sqrt(np.mean((maps - 1) ** 2)) == pytest.approx(0.02, rel=0.1)
    assert np.abs(np.diff(maps, axis=2)).max() < 0.02


def test_filters_differ_and_repeat() -> None:
    config = PixelResponse()
    g, again, r = (filter_response(config, SHAPE, 1, 2, f) for f in ("g", "g", "r"))
    np.testing.assert_array_equal(g, again)
    assert 1e-4 < np.std(g - r) < 0.03


def test_tree_rings_have_their_amplitude() -> None:
    plain = PixelResponse()
    rings = plain.model_copy(update={"tree_rings": 0.01})
    ratio = pixel_response(rings, SHAPE, 1, 2) / pixel_response(plain, SHAPE, 1, 2) - 1
    assert np.abs(ratio).max() == pytest.approx(0.01, rel=0.02)
    assert ratio.std() == pytest.approx(0.01 / np.sqrt(2), rel=0.2)


def test_dark_current() -> None:
    dark = dark_current(DarkCurrent(glow_electron_s=0.0), SHAPE, 1, 2)
    assert np.median(dark) == pytest.approx(0.04, rel=0.02)
    assert np.std(np.log(dark)) == pytest.approx(0.2, rel=0.03)
    glow = dark_current(DarkCurrent(), SHAPE, 1, 2) - dark
    assert glow[0, 0] == pytest.approx(0.05, rel=1e-3)
    assert glow[48, 64] < 1e-3


def test_full_well() -> None:
    effects = only(saturation={"enabled": True})
    well = build_sensor(effects, square(128), SEED).full_well_electron
    assert well.mean() == pytest.approx(90000, rel=1e-3)
    assert well.std() == pytest.approx(540, rel=0.05)
    assert np.all(np.isinf(build_sensor(only(), square(), SEED).full_well_electron))


def test_same_seed_same_sensor() -> None:
    first, again, other = (build_sensor(DetectorEffects(), square(), s) for s in (1, 1, 2))
    for name in ("response", "dark_electron_s", "full_well_electron"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert np.any(getattr(first, name) != getattr(other, name))
    assert first.defects == again.defects
