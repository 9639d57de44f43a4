"""Steps that act on single pixels: dither, dark, variance, flat, defects, filling."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from drpflow.algorithms.isr.dark import subtract_dark
from drpflow.algorithms.isr.defects import mark_defects, mark_unusable
from drpflow.algorithms.isr.dequantize import dequantize
from drpflow.algorithms.isr.flat import divide_flat
from drpflow.algorithms.isr.interpolate import interpolate
from drpflow.algorithms.isr.variance import calibration_variance, poisson_and_read_noise
from drpflow.data.calibrations import Defects
from drpflow.data.mask import Mask

from .cameras import two_by_two

SHAPE = (80, 100)


def test_dither_frees_the_median_from_whole_numbers() -> None:
    rng = np.random.default_rng(1)
    raw = np.rint(rng.normal(100.3, 0.05, (400, 400))).astype(np.float32)
    assert np.median(raw) == 100
    quantized = np.rint(rng.normal(100.3, 0.6, (400, 400))).astype(np.float32)
    dithered = quantized.copy()
    dequantize(dithered, np.random.default_rng([1, 2]))
    assert np.median(dithered) == pytest.approx(100.3, abs=0.06)
    assert np.median(quantized) == 100
    assert dithered.var() == pytest.approx(quantized.var() + 1 / 12, rel=0.02)
    again = quantized.copy()
    dequantize(again, np.random.default_rng([1, 2]))
    np.testing.assert_array_equal(again, dithered)


def test_dark_current_and_its_noise() -> None:
    rng = np.random.default_rng(2)
    rate = rng.uniform(0, 5, SHAPE).astype(np.float32)
    rate[0, 0] = -1
    charge = rng.poisson(np.maximum(rate, 0) * 30.0).astype(np.float32)
    image, variance = charge.copy(), np.zeros(SHAPE, np.float32)
    subtract_dark(image, rate, 30.0, variance)
    assert abs(image.mean()) < 3 * np.sqrt(75 / image.size)
    assert variance[0, 0] == 0
    assert np.mean(image**2) == pytest.approx(variance.mean(), rel=0.05)


@pytest.mark.parametrize("sky", [0.0, 3.0, 100.0])
@pytest.mark.parametrize("read_noise", [3.0, 6.0])
def test_variance_is_right_on_average_however_faint_the_sky(sky: float, read_noise: float) -> None:
    rng = np.random.default_rng(3)
    detector = two_by_two(1000, 800)
    image = (rng.poisson(sky, (800, 1000)) + rng.normal(0, read_noise, (800, 1000))).astype(
        np.float32
    )
    noises = [read_noise] * 4
    variance = poisson_and_read_noise(image, detector.amplifiers, noises)
    assert variance.mean() == pytest.approx(image.var(), rel=0.01)
    if sky == 0:
        clipped = np.maximum(image, 0) + read_noise**2
        assert clipped.mean() > 1.03 * image.var()


def test_variance_has_a_floor_and_amplifiers_of_their_own() -> None:
    detector = two_by_two()
    image = np.full(SHAPE, -1000, np.float32)
    variance = poisson_and_read_noise(image, detector.amplifiers, [1, 2, 3, 4], floor_fraction=0.5)
    assert [variance[y, x] for y, x in ((0, 0), (0, 99), (79, 0), (79, 99))] == [0.5, 2, 4.5, 8]


def test_variance_of_calibrations() -> None:
    detector = two_by_two()
    ones = np.ones(SHAPE, np.float32)
    gain = [1.0, 2.0, 3.0, 4.0]
    variance = calibration_variance(
        SHAPE, detector.amplifiers, gain, bias_variance=0.5 * ones, dark_variance=1e-4 * ones,
        exposure_time_s=100.0,
    )  # fmt: skip
    assert [variance[y, x] for y, x in ((0, 0), (0, 99), (79, 0), (79, 99))] == [1.5, 3, 5.5, 9]


def test_flat_restores_the_level_and_tells_the_variance() -> None:
    rng = np.random.default_rng(4)
    response = rng.uniform(0.7, 1.3, SHAPE).astype(np.float32)
    flat_error = 0.01
    flat = response + rng.normal(0, flat_error, SHAPE).astype(np.float32)
    image = rng.poisson(5000 * response).astype(np.float32)
    variance = image.copy()
    mask = Mask.zeros(SHAPE)
    errors = np.full(SHAPE, flat_error**2, np.float32)
    divide_flat(image, variance, mask, flat, flat_variance=errors)
    assert image.mean() == pytest.approx(5000, rel=1e-3)
    assert variance.mean() == pytest.approx(image.var(), rel=0.05)
    assert not mask.array.any()


def test_flat_guards() -> None:
    image, variance = np.full((3, 3), 10, np.float32), np.full((3, 3), 10, np.float32)
    flat = np.ones((3, 3), np.float32)
    flat[0] = [0.0, np.nan, 20.0]
    flat[1, 1] = 0.5
    mask = Mask.zeros((3, 3))
    divide_flat(image, variance, mask, flat)
    np.testing.assert_array_equal(mask.any("BAD")[0], True)
    assert mask.any("BAD").sum() == 3
    np.testing.assert_array_equal(image[0], 10)
    assert (image[1, 1], variance[1, 1]) == (20, 40)


def test_defect_boxes() -> None:
    mask = Mask.zeros((10, 12))
    boxes = np.array([[2, 3, 0, 10], [10, 99, 8, 99], [-5, 1, 4, 5]], np.int32)
    mark_defects(mask, Defects(boxes))
    want = np.zeros((10, 12), bool)
    want[:, 2] = want[8:, 10:] = True
    want[4, 0] = True
    np.testing.assert_array_equal(mask.any("BAD"), want)


def test_unusable_pixels() -> None:
    image = np.array([[1, np.nan, np.nan, np.inf]], np.float32)
    variance = np.array([[0, np.nan, 1, 1]], np.float32)
    mask = Mask.zeros((1, 4))
    mask.array[0, 2] = mask.bit("SAT")
    mark_unusable(image, variance, mask)
    np.testing.assert_array_equal(mask.any("BAD")[0], [True, False, False, False])
    np.testing.assert_array_equal(mask.any("UNMASKEDNAN")[0], [False, True, False, True])
    assert np.isnan(image[0, 3])


def flagged(shape: tuple[int, int], *boxes: tuple[slice | int, slice | int]) -> Mask:
    mask = Mask.zeros(shape)
    for box in boxes:
        mask.array[box] |= mask.bit("BAD")
    return mask


def test_filling_of_a_gradient() -> None:
    y, x = np.mgrid[:80, :100]
    image: NDArray[np.float32] = (3.0 * x + 2.0 * y).astype(np.float32)
    truth = image.copy()
    mask = flagged(
        SHAPE, (slice(None), 40), (30, slice(None)), (slice(50, 58), slice(60, 70)), (70, 10)
    )
    bad = mask.any("BAD")
    image[bad] = np.nan
    filled = interpolate(image, np.ones(SHAPE, np.float32), mask)
    assert filled == bad.sum()  # the crossing of row and column included
    np.testing.assert_array_equal(mask.any("INTRP"), bad)
    np.testing.assert_allclose(image, truth, atol=0.01)


def test_pixels_without_data_are_neither_filled_nor_used() -> None:
    image = np.ones((40, 40), np.float32)
    mask = flagged((40, 40), (slice(None), 20))
    mask.array[:, :20] |= mask.bit(("BAD", "NO_DATA"))
    image[:, :20] = np.nan
    image[5, 30] = np.nan
    mask.array[5, 30] |= mask.bit("UNMASKEDNAN")
    mask.array[5, 31] |= mask.bit("BAD")
    image[5, 31] = 1e6
    interpolate(image, np.ones_like(image), mask, ("BAD",))
    assert np.isnan(image[:, :20]).all()
    assert not mask.any("INTRP")[:, :20].any()
    assert np.isfinite(image[:, 20]).all()
    assert np.isnan(image[5, 30])
    assert image[5, 31] == 1


def test_planes_can_be_chosen() -> None:
    image = np.ones((10, 10), np.float32)
    mask = flagged((10, 10), (4, 4))
    assert interpolate(image, image.copy(), mask, ("SAT",)) == 0
    assert interpolate(image, image.copy(), mask, ("BAD",)) == 1
