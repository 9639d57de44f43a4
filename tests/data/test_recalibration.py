"""Undoing and redoing a calibration on pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.geometry import Box
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.recalibration import PixelCalibration
from drpflow.errors import AlgorithmError

BOX = Box(100, 130, 40, 60)
DOMAIN = Domain(0, 200, 0, 200)


def plane(*values: float) -> Polynomial2D:
    return Polynomial2D(Basis2D(1, DOMAIN, "chebyshev"), np.array(values))


def pixels() -> np.ndarray:
    return np.random.default_rng(1).normal(200, 15, BOX.shape).astype(np.float32)


calibs = st.none() | st.builds(
    lambda mean, a, b: PhotoCalib(mean, 0.0, plane(1.0, a, b)),
    st.floats(0.01, 1e3),
    st.floats(-0.2, 0.2),
    st.floats(-0.2, 0.2),
)
levels = st.builds(plane, st.floats(-500, 500), st.floats(-20, 20), st.floats(-20, 20))
backgrounds = st.none() | st.builds(
    lambda level: Background((("sky", PolynomialLayer(level)),), "electron"), levels
)


@given(calibs, backgrounds)
def test_undo_is_the_inverse_of_apply(photo_calib, background):
    calibration = PixelCalibration(photo_calib, background)
    image = pixels()
    back = calibration.undo(calibration.apply(image, BOX.xy0), BOX.xy0)
    # Each of the four roundings is below half a unit in the last place of 1300.
    np.testing.assert_allclose(back, image, atol=4 * np.spacing(np.float32(1300)), rtol=0)
    variance = calibration.undo_on_variance(calibration.apply_to_variance(image, BOX.xy0), BOX.xy0)
    np.testing.assert_allclose(variance, image, rtol=1e-6)


@given(calibs, backgrounds)
def test_apply_is_what_it_says(photo_calib, background):
    calibration = PixelCalibration(photo_calib, background)
    image = pixels()
    x, y = np.meshgrid(BOX.x, BOX.y)
    sky = 0.0 if background is None else background.image(BOX)
    factor = 1.0 if photo_calib is None else photo_calib.factor(x, y)
    expected = (image.astype(np.float64) - sky) * factor
    tolerance = 1e-4 * np.max(factor)
    np.testing.assert_allclose(
        calibration.apply(image, BOX.xy0), expected, rtol=1e-6, atol=tolerance
    )
    variance = calibration.apply_to_variance(image, BOX.xy0)
    np.testing.assert_allclose(variance, image * np.square(factor), rtol=1e-6)
    assert calibration.unit == ("electron" if photo_calib is None else "nJy")


def test_a_background_in_njy_comes_after_the_calibration():
    background = Background((("sky", PolynomialLayer.constant(50.0)),), "nJy")
    calibration = PixelCalibration(PhotoCalib(2.0), background)
    image = pixels()
    calibrated = calibration.apply(image, BOX.xy0)
    np.testing.assert_allclose(calibrated, 2 * image - 50, rtol=1e-6)
    np.testing.assert_allclose(calibration.undo(calibrated, BOX.xy0), image, rtol=1e-6)


def test_units_that_do_not_fit_are_told():
    layers = (("sky", PolynomialLayer.constant(50.0)),)
    with pytest.raises(AlgorithmError, match="there is no calibration from electrons to nJy"):
        PixelCalibration(None, Background(layers, "nJy")).apply(pixels(), BOX.xy0)
    with pytest.raises(AlgorithmError, match="a background in adu"):
        PixelCalibration(PhotoCalib(1.0), Background(layers, "adu")).undo(pixels(), BOX.xy0)


def test_undoing_on_the_variance_rounds_once_each_way() -> None:
    calibration = PixelCalibration(PhotoCalib(13.7, 0.1, plane(1.0, 0.05, -0.1)), None)
    variance = pixels()
    there = calibration.apply_to_variance(variance, (100, 40))
    back = calibration.undo_on_variance(there, (100, 40))
    assert (np.abs(back - variance) <= np.spacing(variance)).all()
