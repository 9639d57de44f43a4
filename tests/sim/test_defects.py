import numpy as np
import pytest

from drpflow.sim.defects import draw_defects, draw_hot_pixels
from drpflow.sim.detector_config import DarkCurrent, Defects
from drpflow.sim.sensor import build_sensor
from tests.sim.detectors import SEED, only, square

MANY = {"enabled": True, "dead_columns": 60, "hot_columns": 50, "dead_spots": 400}


def test_defects_are_in_the_maps() -> None:
    effects = only(defects={**MANY})
    sensor = build_sensor(effects, square(256), SEED)
    assert {d.kind for d in sensor.defects} == {"dead_column", "hot_column", "dead_spot"}
    response = np.ones((256, 256))
    dark = np.zeros((256, 256))
    for item in sensor.defects:
        response[item.index] *= item.response
        dark[item.index] += item.dark_electron_s
    np.testing.assert_allclose(sensor.response, response, rtol=1e-6)
    np.testing.assert_allclose(sensor.dark_electron_s, dark, rtol=1e-6)


def test_switched_off_there_is_none() -> None:
    sensor = build_sensor(only(), square(), SEED)
    assert sensor.defects == ()
    assert np.all(sensor.response == 1)
    assert not sensor.dark_electron_s.any()


def test_boxes_lie_in_the_detector() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        for item in draw_defects(Defects.model_validate(MANY), (128, 96), rng):
            x0, x1, y0, y1 = item.box
            assert 0 <= x0 < x1 <= 96
            assert 0 <= y0 < y1 <= 128


def test_columns_end_at_the_midline_and_spare_the_register_side() -> None:
    items = draw_defects(Defects.model_validate(MANY), (128, 1024), np.random.default_rng(2))
    columns = [d.box for d in items if d.kind.endswith("column")]
    assert all(b[1] - b[0] == 1 for b in columns)
    # Charge beyond the fault cannot leave: either the lower half's end or the upper half's start.
    assert all(b[3] == 64 or b[2] == 64 for b in columns)


def test_numbers_follow_the_configuration() -> None:
    config, rng = (
        Defects(dead_columns=2.0, hot_columns=0.0, dead_spots=8.0),
        np.random.default_rng(3),
    )
    kinds = [d.kind for _ in range(200) for d in draw_defects(config, (512, 1024), rng)]
    assert kinds.count("dead_column") == pytest.approx(400, abs=4 * 20)
    assert kinds.count("dead_spot") == pytest.approx(800, abs=4 * 28)
    assert "hot_column" not in kinds


def test_hot_pixels_follow_their_power_law() -> None:
    config = DarkCurrent(hot_fraction=0.05, hot_min_electron_s=1.0, hot_max_electron_s=100.0)
    dark = np.zeros((400, 400), np.float32)
    draw_hot_pixels(config, dark, np.random.default_rng(4))
    rate = dark[dark > 0]
    assert rate.size == pytest.approx(0.05 * dark.size, rel=0.05)
    assert rate.min() >= 1
    # dN/dr ∝ r⁻² from 1 to 100: N(> 10) / N = (1/10 - 1/100) / (1 - 1/100).
    assert np.mean(rate > 10) == pytest.approx(0.09 / 0.99, abs=0.012)
