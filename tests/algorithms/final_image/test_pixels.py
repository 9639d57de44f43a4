"""Final pixels: one calibration off, another on, and cosmic rays filled from the mask alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.algorithms.final_image.pixels import fill_cosmic_rays, final_pixels
from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.recalibration import PixelCalibration
from drpflow.errors import AlgorithmError

SHAPE = (300, 40)
BOX = Box.from_shape(SHAPE, (5, 7))
DOMAIN = Domain.of_box(BOX)
NOTHING = PixelCalibration(None, None)


def calibration(mean: float, sky: float, unit: str = "electron") -> PixelCalibration:
    field = Polynomial2D(Basis2D(1, DOMAIN), np.array([1.0, 0.03, -0.02]))
    level = Polynomial2D(Basis2D(1, DOMAIN), np.array([sky, 0.05 * sky, -0.02 * sky]))
    background = Background((("sky", PolynomialLayer(level)),), unit=unit)
    return PixelCalibration(PhotoCalib(mean, 0.0, field), background)


def detrended(seed: int, sky: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    variance = np.full(SHAPE, sky + 25.0, np.float32)
    image = sky + rng.normal(size=SHAPE) * np.sqrt(variance)
    image[100:110, 10:20] += 1e5
    return image.astype(np.float32), variance


def test_calibrated_pixels_are_those_of_the_formula() -> None:
    image, variance = detrended(1, 300.0)
    wanted = calibration(3.0, 290.0)
    found, found_variance = final_pixels(image, variance, NOTHING, wanted, BOX.xy0)
    x, y = np.meshgrid(BOX.x, BOX.y)
    assert wanted.photo_calib is not None
    assert wanted.background is not None
    c = wanted.photo_calib.factor(x, y)
    truth = (image.astype(float) - wanted.background.image(BOX)) * c
    assert found.dtype == np.float32
    assert np.array_equal(found, truth.astype(np.float32))
    assert found_variance == pytest.approx(variance * c**2, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99),
    sky=st.floats(50.0, 20000.0),
    unit=st.sampled_from(["electron", "nJy"]),
)
def test_a_first_calibration_leaves_no_trace(seed: int, sky: float, unit: str) -> None:
    """By the first image or from detrended pixels: the same to 1e-5 sigma or two float32 steps."""
    image, variance = detrended(seed, sky)
    applied = calibration(2.7, 0.97 * sky)
    first = applied.apply(image, BOX.xy0), applied.apply_to_variance(variance, BOX.xy0)
    wanted = calibration(3.0, sky if unit == "electron" else 3 * sky, unit)
    one, one_variance = final_pixels(*first, applied, wanted, BOX.xy0)
    two, two_variance = final_pixels(image, variance, NOTHING, wanted, BOX.xy0)
    allowed = np.maximum(1e-5 * np.sqrt(two_variance), 2 * np.spacing(np.abs(two)))
    assert (np.abs(one - two) <= allowed).all()
    assert (np.abs(one_variance - two_variance) <= 2 * np.spacing(two_variance)).all()


def test_pixels_without_calibration_stay_as_they_are() -> None:
    image, variance = detrended(2, 100.0)
    image[3, 4] = np.nan
    found, found_variance = final_pixels(image, variance, NOTHING, NOTHING)
    assert np.array_equal(found, image, equal_nan=True)
    assert np.array_equal(found_variance, variance)


def test_a_background_in_njy_needs_a_calibration() -> None:
    image, variance = detrended(3, 100.0)
    background = calibration(3.0, 100.0, "nJy").background
    with pytest.raises(AlgorithmError, match="nJy"):
        final_pixels(image, variance, NOTHING, PixelCalibration(None, background))


def sloping() -> tuple[np.ndarray, np.ndarray, Mask]:
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = (10.0 + 0.2 * xx - 0.1 * yy).astype(np.float32)
    return image, np.full(SHAPE, 4.0, np.float32), Mask.zeros(SHAPE)


def test_what_stood_in_a_hit_does_not_matter() -> None:
    filled = []
    for value in (1e4, -3.0, np.nan):
        image, variance, mask = sloping()
        truth = image.copy()
        hit = (slice(50, 53), slice(10, 16))
        image[hit] = value
        mask.array[hit] |= mask.bit("CR")
        assert fill_cosmic_rays(image, variance, mask) == 18
        assert image == pytest.approx(truth, abs=1e-4)
        assert mask.any("INTRP").sum() == 18
        filled.append(image)
    assert np.array_equal(filled[0], filled[1])
    assert np.array_equal(filled[0], filled[2])


def test_filling_in_two_goes_is_filling_at_once() -> None:
    image, variance, mask = sloping()
    image += np.random.default_rng(4).normal(size=SHAPE).astype(np.float32)
    raw, raw_variance = image.copy(), variance.copy()
    mask.array[50, 10:14] |= mask.bit("CR")
    fill_cosmic_rays(image, variance, mask)
    mask.array[51, 12:18] |= mask.bit("CR")
    fill_cosmic_rays(image, variance, mask)
    again = mask.copy()
    fill_cosmic_rays(raw, raw_variance, again)
    assert np.array_equal(raw, image)
    assert np.array_equal(raw_variance, variance)
    assert again == mask


def test_a_gap_that_cannot_be_bridged_has_no_value() -> None:
    image, variance, mask = sloping()
    mask.array[:, :] |= mask.bit("NO_DATA")
    mask.array[100:200, 5:35] = mask.bit("CR")
    fill_cosmic_rays(image, variance, mask)
    lost = mask.any("UNMASKEDNAN")
    assert lost.any()
    assert np.isnan(image[lost]).all()
    assert np.isnan(variance[lost]).all()
    assert not mask.any("INTRP")[lost].any()
