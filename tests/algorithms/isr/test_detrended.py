"""Variance and mask of frames detrended by others."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.isr.detrended import (
    electron_per_unit,
    mark_given,
    noise_electron,
    variance_from_weight,
)
from drpflow.data.calibrations import amplifier_noise
from drpflow.data.mask import Mask
from drpflow.errors import InputError

from .cameras import two_by_two


def test_factor_to_electrons() -> None:
    detector = two_by_two()
    noise = amplifier_noise(detector, None)
    gain = electron_per_unit(detector, noise, None, "adu", "x.fits")
    assert gain[0, 0] == pytest.approx(1.5)
    assert gain[79, 99] == pytest.approx(1.65)
    assert electron_per_unit(detector, noise, None, "electron", "x.fits") == 1
    assert electron_per_unit(detector, noise, 7.0, "nJy", "x.fits") == 7
    calibrated = electron_per_unit(detector, noise, None, "nanomaggy", "x.fits", 0.005)
    np.testing.assert_allclose(calibrated, gain / 0.005, rtol=1e-6)
    assert electron_per_unit(detector, noise, 7.0, "nanomaggy", "x.fits", 0.005) == 7
    with pytest.raises(InputError, match=r"x.fits: its pixels are in nJy.*electron_per_unit"):
        electron_per_unit(detector, noise, None, "nJy", "x.fits")


def test_noise_of_a_subtracted_sky_is_that_of_the_pixels() -> None:
    rng = np.random.default_rng(1)
    detector = two_by_two(400, 400)
    image = rng.normal(0, 12, (400, 400)).astype(np.float32)
    image[::17, ::13] += 1000
    image[3, 3] = np.nan
    noises = noise_electron(image, detector.amplifiers, [5.0] * 4, "subtracted")
    np.testing.assert_allclose(noises, 12, rtol=0.05)
    assert noise_electron(image, detector.amplifiers, [5.0] * 4, "kept") == [5.0] * 4
    assert noise_electron(image, detector.amplifiers, [50.0] * 4, "subtracted") == [50.0] * 4


def test_weight_is_inverse_variance() -> None:
    weight = np.array([[4.0, 0.0, np.nan, -1.0]], np.float32)
    mask = Mask.zeros((1, 4))
    variance = variance_from_weight(weight, 3.0, mask)
    assert variance[0, 0] == pytest.approx(9 / 4)
    np.testing.assert_array_equal(mask.any("BAD")[0], [False, True, True, True])
    assert np.isnan(variance[0, 1:]).all()


def test_given_masks() -> None:
    given = np.array([[0, 1, 4, 5]])
    plain = Mask.zeros((1, 4))
    mark_given(plain, given, {})
    np.testing.assert_array_equal(plain.any("BAD")[0], [False, True, True, True])
    translated = Mask.zeros((1, 4))
    mark_given(translated, given, {"SAT": 4, "CR": 1})
    np.testing.assert_array_equal(translated.any("SAT")[0], [False, False, True, True])
    np.testing.assert_array_equal(translated.any("CR")[0], [False, True, False, True])
    assert not translated.any("BAD").any()
