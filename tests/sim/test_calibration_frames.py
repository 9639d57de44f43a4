"""Measured calibrations against the truth behind them."""

import numpy as np
import pytest

from drpflow.sim.calibration_frames import calibrate_detector, extra_pairs, finish_camera
from drpflow.sim.detector_config import CalibrationPlan
from drpflow.sim.electronics import nonlinearity_loss
from drpflow.sim.readout import Readout
from tests.sim.conftest import Calibrated
from tests.sim.detectors import SEED, only, square


def test_gain(calibrated: Calibrated) -> None:
    found = calibrated.measured.photon_transfer
    error = found.gain / calibrated.true.gain - 1
    assert np.abs(error).max() < 0.005
    pull = (found.gain - calibrated.true.gain) / found.gain_error
    assert np.abs(pull).max() < 3


def test_read_noise(calibrated: Calibrated) -> None:
    # The converter's rounding, 12^(-1/2) adu, is part of what is measured.
    gain, noise = calibrated.true.gain, calibrated.true.read_noise
    expected = np.sqrt(noise**2 + gain**2 / 12)
    found = calibrated.measured.photon_transfer.read_noise
    np.testing.assert_allclose(found, expected, rtol=0.01)
    np.testing.assert_allclose(found, noise, rtol=0.02)


def test_linearizer_inverts_the_nonlinearity(calibrated: Calibrated) -> None:
    true, config = calibrated.true, calibrated.readout.effects.electronics.nonlinearity
    for a, found in enumerate(calibrated.measured.linearizers):
        top = 0.9 * calibrated.measured.saturation_adu[a]
        linear = np.linspace(500, top, 300).astype(np.float32)
        lost = nonlinearity_loss(linear, config, true.nonlinearity[a], true.wave_phase[a])
        left = found.apply(linear - lost) - linear
        assert np.abs(left).max() < 0.1 * np.abs(lost).max()


def test_crosstalk(calibrated: Calibrated) -> None:
    true, found = calibrated.true.crosstalk, calibrated.measured.crosstalk
    assert not np.diag(found).any()
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(found[off], true[off], rtol=0.1)


def test_serial_cti(calibrated: Calibrated) -> None:
    np.testing.assert_allclose(calibrated.measured.serial_cti, calibrated.true.serial_cti, rtol=0.1)


def test_saturation_is_just_below_the_full_well(calibrated: Calibrated) -> None:
    level = calibrated.measured.saturation_adu * calibrated.true.gain
    well = calibrated.readout.effects.saturation.full_well_electron
    assert np.all((level > 0.9 * well) & (level < well))


def test_dark_is_as_good_as_its_frames(calibrated: Calibrated) -> None:
    dark = calibrated.measured.dark
    sensor = calibrated.readout.sensor(calibrated.detector)
    error = dark.image - sensor.dark_electron_s
    normal = sensor.dark_electron_s < 0.3
    noise = np.mean(calibrated.measured.photon_transfer.read_noise)
    time_s = calibrated.readout.effects.calibrations.dark_exposure_s
    charge = np.median(sensor.dark_electron_s) * time_s
    own = np.sqrt((charge + noise**2) / dark.frames) / time_s
    # The master bias has noise too, and so has the level of each row, a mean of 27 samples.
    bias = noise**2 / calibrated.measured.bias.frames
    expected = np.hypot(own, np.sqrt(bias + noise**2 / 27 / dark.frames) / time_s)
    width = 1.4826 * np.median(np.abs(error[normal]))
    assert width == pytest.approx(expected, rel=0.1)
    assert abs(np.median(error[normal])) < 0.2 * expected
    assert np.sqrt(np.median(dark.variance)) == pytest.approx(own, rel=0.1)


def test_flat_is_as_good_as_its_frames(calibrated: Calibrated) -> None:
    flat = calibrated.measured.flats["sim_r"]
    truth = calibrated.readout.response(calibrated.detector, "sim_r")
    ratio = flat.image / truth
    # Errors of the gains are tested below; this is about pixels.
    for channel in calibrated.readout.layout(calibrated.detector):
        part = channel.cut(ratio)
        part /= np.median(part)
    error = ratio[truth > 0.9 * np.median(truth)] - 1
    level = calibrated.readout.effects.calibrations.flat_level_electron
    expected = 1 / np.sqrt(level * flat.frames)
    assert np.median(flat.image) == pytest.approx(1, abs=1e-6)
    assert 1.4826 * np.median(np.abs(error)) == pytest.approx(expected, rel=0.1)
    assert np.sqrt(np.median(flat.variance)) == pytest.approx(expected, rel=0.05)


def test_flat_is_even_across_amplifiers(calibrated: Calibrated) -> None:
    # An error of a gain must appear in the flat, so that both together are right.
    flat = calibrated.measured.flats["sim_r"].image
    truth = calibrated.readout.response(calibrated.detector, "sim_r")
    ratio = flat / truth
    gain = calibrated.measured.photon_transfer.gain / calibrated.true.gain
    for a, channel in enumerate(calibrated.readout.layout(calibrated.detector)):
        relative = np.median(channel.cut(ratio)) / np.median(ratio)
        assert relative == pytest.approx(gain[a] / np.median(gain), abs=1e-3)


def test_defects_are_found(calibrated: Calibrated) -> None:
    found = np.zeros((512, 512), bool)
    for item in calibrated.measured.defects:
        x0, x1, y0, y1 = item.box
        found[y0:y1, x0:x1] = True
    sensor = calibrated.readout.sensor(calibrated.detector)
    bad = (sensor.response < 0.75) | (sensor.dark_electron_s > 4)
    assert bad.any()
    assert np.mean(found[bad]) > 0.99
    assert found.mean() < bad.mean() + 0.01


def test_kernel_undoes_the_effect(calibrated: Calibrated) -> None:
    kernel = calibrated.measured.kernel
    assert kernel is not None
    # K is negative, deepest at the charge itself, symmetric, and -∇²K(0) is the loss of area.
    assert kernel.shape == (17, 17)
    assert kernel.argmin() == kernel.size // 2
    assert kernel[8, 8] < 0
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-20)
    np.testing.assert_allclose(kernel, kernel[:, ::-1], atol=1e-20)
    laplacian = kernel[7, 8] + kernel[9, 8] + kernel[8, 7] + kernel[8, 9] - 4 * kernel[8, 8]
    loss = calibrated.readout.effects.brighter_fatter.area_loss_per_electron
    assert laplacian == pytest.approx(loss, rel=0.1)


def test_more_pairs_are_taken_as_needed() -> None:
    plan, detector = CalibrationPlan(pair_megapixels=10.0, most_pairs=30), square(1024)
    assert extra_pairs(plan, detector, taken=3, detectors=1) == 7
    assert extra_pairs(plan, detector, taken=3, detectors=4) == 0
    assert extra_pairs(plan, square(64), taken=3, detectors=1) == 27


def test_ideal_detector_is_found_ideal() -> None:
    plan = CalibrationPlan(bias_frames=4, dark_frames=3, pair_megapixels=0.1)
    effects = only().model_copy(update={"photon_noise": True, "calibrations": plan})
    readout, detector = Readout(effects, SEED), square(128)
    (found,) = finish_camera([calibrate_detector(readout, detector, {"g": np.ones((128, 128))})])
    gain = readout.amplifiers(detector).gain
    np.testing.assert_allclose(found.photon_transfer.gain, gain, rtol=0.02)
    assert np.abs(found.crosstalk).max() < 1e-5
    assert found.defects == ()
    assert np.all(found.flats["g"].variance > 0)
    assert found.kernel is not None
    assert np.abs(found.kernel).max() < 2e-7
