import numpy as np
import pytest

from drpflow.sim.calibration_crosstalk import measure_crosstalk
from drpflow.sim.calibration_lamps import CalibrationFrames, spot_scene
from drpflow.sim.calibration_reduction import Reduction
from drpflow.sim.detector_config import DetectorEffects
from drpflow.sim.readout import Readout
from tests.sim.detectors import SEED, only, square


def frames(effects: DetectorEffects, size: int = 64) -> CalibrationFrames:
    readout = Readout(effects, SEED)
    return CalibrationFrames(readout, square(size), {"g": np.ones((size, size))})


def test_spots_are_bright_in_one_amplifier_at_a_time() -> None:
    layout = Readout(only(), SEED).layout(square(256))
    scene = spot_scene(layout, 50000.0)
    bright = np.array([channel.cut(scene) for channel in layout]) > 1000
    assert bright.sum(axis=0).max() == 1
    assert np.all(bright.mean(axis=(1, 2)) > 0.03)


def test_crosstalk_is_recovered_from_spots_without_noise() -> None:
    effects = only(electronics={"crosstalk": {"enabled": True}})
    taken = frames(effects, 256)
    layout = taken.readout.layout(taken.detector)
    found = measure_crosstalk(taken.spots("g"), Reduction(layout))
    true = taken.readout.amplifiers(taken.detector).crosstalk
    np.testing.assert_allclose(found, true, atol=2e-5)


def test_number_of_frames() -> None:
    taken = frames(only())
    plan = taken.plan
    assert len(list(taken.biases())) == plan.bias_frames
    assert len(list(taken.darks())) == plan.dark_frames
    assert len(list(taken.flats("g"))) == plan.flat_frames
    assert len(list(taken.ramp("g"))) == 2 * plan.ramp_levels
    assert len(list(taken.pairs(3))) == 6


def test_monitor_follows_the_lamp() -> None:
    taken = frames(only())
    gain = taken.readout.amplifiers(taken.detector).gain[0]
    bias = taken.readout.amplifiers(taken.detector).bias[0]
    light, told = zip(
        *[((raw[:32, 8:40].mean() - bias) * gain, told) for raw, told in taken.flats("g")],
        strict=True,
    )
    assert np.std(light) / np.mean(light) == pytest.approx(0.01, rel=0.6)
    # The monitor's error and the rounding of the converter, which has no noise here.
    np.testing.assert_allclose(told, light, rtol=3e-4)
