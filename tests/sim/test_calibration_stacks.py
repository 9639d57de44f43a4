import numpy as np
import pytest

from drpflow.sim.calibration_reduction import Reduction
from drpflow.sim.calibration_stacks import (
    Master,
    column_boxes,
    combine_biases,
    combine_flats,
    find_defects,
)
from drpflow.sim.detector_config import DetectorEffects
from drpflow.sim.readout import Readout
from tests.sim.detectors import SEED, square

FRAMES = 12


def test_master_bias_is_as_good_as_its_frames() -> None:
    readout, detector = Readout(DetectorEffects(), SEED), square(128)
    layout = readout.layout(detector)
    frames = (readout.expose(None, detector, 0.0, ids=(1, i)).adu for i in range(FRAMES))
    bias = combine_biases(frames, Reduction(layout))
    assert bias.frames == FRAMES
    # Structure of a pixel above the mean of the overscan in its row.
    structure = readout._assembly(detector).amplification.structure_adu
    x0, x1, y0, y1 = layout[0].raw_data_section
    over0, over1, _, _ = layout[0].raw_serial_overscan
    level = structure[:, y0:y1, over0 + 4 : over1 - 1].mean(axis=2, keepdims=True)
    error = bias.blocks - (structure[:, y0:y1, x0:x1] - level)
    # Read noise, rounding, and the noise of the 27 samples of the row's level.
    true = readout.amplifiers(detector)
    noise = np.sqrt((true.read_noise / true.gain) ** 2 + 1 / 12)
    expected = noise * np.sqrt((1 + 1 / 27) / FRAMES)
    np.testing.assert_allclose(error.std(axis=(1, 2)), expected, rtol=0.05)
    level_error = noise / np.sqrt(64 * 27 * FRAMES)
    assert np.all(np.abs(error.mean(axis=(1, 2))) < 4 * level_error)
    np.testing.assert_allclose(bias.noise_adu, noise, rtol=0.02)
    np.testing.assert_allclose(bias.level_adu, true.bias, atol=6)
    master = bias.master(layout)
    assert master.image.shape == (128, 128)
    assert np.sqrt(np.median(master.variance)) == pytest.approx(expected.mean(), rel=0.1)


def test_no_bias_frame_is_an_error() -> None:
    layout = Readout(DetectorEffects(), SEED).layout(square())
    with pytest.raises(ValueError, match="no bias frame"):
        combine_biases(iter(()), Reduction(layout))


def test_flats_are_scaled_by_their_light_and_cosmic_rays_left_out() -> None:
    rng = np.random.default_rng(1)
    light = [9000.0, 10000.0, 11000.0, 10000.0, 9500.0]
    frames = [rng.poisson(0.8 * level, (40, 40)).astype(np.float32) for level in light]
    frames[2][10:13, 20] += 5000
    flat = combine_flats(frames, light, 5.0)
    assert flat.frames == 5
    assert flat.image.mean() == pytest.approx(0.8, rel=1e-3)
    assert np.abs(flat.image - 0.8).max() < 6 * np.sqrt(flat.variance.max())


def test_defects_of_response_and_dark() -> None:
    image = np.ones((96, 96), np.float32)
    image[10:60, 5] = 0.2
    image[70, 30:32] = 1.5
    one_filter_only = image.copy()
    image[80, 80] = 0.5
    dark = np.zeros((96, 96), np.float32)
    dark[20, 50] = 10
    masters = [Master(i, np.ones_like(i), 3) for i in (image, one_filter_only, dark)]
    found = find_defects({"g": masters[0], "r": masters[1]}, masters[2])
    assert [(d.box, d.kind) for d in found] == [
        ((5, 6, 10, 60), "response"),
        ((30, 31, 70, 71), "response"),
        ((31, 32, 70, 71), "response"),
        ((50, 51, 20, 21), "hot"),
    ]


def test_long_columns_are_masked_through() -> None:
    bad = np.zeros((200, 3), bool)
    bad[20:60:2, 1] = True
    bad[150, 1] = True
    assert column_boxes(bad) == [(1, 2, 20, 59), (1, 2, 150, 151)]
