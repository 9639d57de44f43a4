"""Photometric calibration."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.geometry import Box
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D

BOX = Box(0, 120, 0, 300)


def varying() -> PhotoCalib:
    basis = Basis2D(2, Domain.of_box(BOX))
    return PhotoCalib(3.7, 0.02, Polynomial2D(basis, np.array([1.0, 0.1, -0.05, 0.02, 0.0, 0.01])))


def image(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 10 ** rng.uniform(-3, 6, BOX.shape)).astype(np.float32)


def test_zero_point_is_the_ab_magnitude_of_one_electron() -> None:
    calib = PhotoCalib.from_zero_point(27.0, 0.01)
    assert calib.zero_point_mag == pytest.approx(27.0)
    assert calib.zero_point_error_mag == pytest.approx(0.01)
    # AB: 3631 Jy is magnitude zero to 1e-4 mag.
    assert calib.mean == pytest.approx(3631e9 * 10 ** (-0.4 * 27.0), rel=2e-4)
    assert calib.flux_to_magnitude(100.0, 0, 0) == pytest.approx(22.0)


def test_fluxes_go_through_the_field() -> None:
    calib = varying()
    x, y = np.array([0.0, 60.0, 119.0]), np.array([10.0, 150.0, 299.0])
    assert calib.field is not None
    assert calib.flux_to_njy([1.0, 2.0, 3.0], x, y) == pytest.approx(
        3.7 * np.array([1.0, 2.0, 3.0]) * calib.field(x, y)
    )
    assert calib.njy_to_flux(calib.flux_to_njy(5.0, x, y), x, y) == pytest.approx(np.full(3, 5.0))
    assert calib.factor(4, 5) == pytest.approx(3.7 * calib.field(4, 5))
    assert PhotoCalib(2.0).factor(np.zeros(3), 1).tolist() == [2.0, 2.0, 2.0]


def test_magnitudes_of_nothing_are_nan() -> None:
    found = PhotoCalib(1.0).flux_to_magnitude([-1.0, 0.0, np.nan, 1.0], np.zeros(4), np.zeros(4))
    assert np.isnan(found[:3]).all()
    assert found[3] == pytest.approx(31.4)


@pytest.mark.parametrize("calib", [PhotoCalib(0.0123), varying()])
def test_image_and_variance_come_back_to_one_unit_in_the_last_place(calib: PhotoCalib) -> None:
    pixels, variance = image(), np.abs(image(1))
    there = calib.calibrate_image(pixels, variance)
    back = calib.uncalibrate_image(*there)
    for before, after in zip((pixels, variance), back, strict=True):
        assert after is not None
        assert after.dtype == np.float32
        assert (np.abs(after - before) <= np.spacing(np.abs(before))).all()


def test_pixels_are_scaled_by_the_field_and_variance_by_its_square() -> None:
    calib = varying()
    pixels, variance = image(), np.abs(image(1))
    calibrated, scaled = calib.calibrate_image(pixels, variance)
    factor = calib.factor(*np.meshgrid(BOX.x, BOX.y))
    assert calibrated == pytest.approx((pixels * factor).astype(np.float32), rel=2e-7)
    assert scaled == pytest.approx((variance * factor**2).astype(np.float32), rel=2e-7)
    assert calib.calibrate_image(pixels)[1] is None
    assert np.array_equal(calib.calibrate_variance(variance), scaled)
    assert np.array_equal(
        calib.uncalibrate_variance(variance), calib.uncalibrate_image(pixels, variance)[1]
    )


def test_cut_out_is_calibrated_as_the_whole() -> None:
    calib, pixels = varying(), image()
    whole, _ = calib.calibrate_image(pixels)
    part = Box(30, 70, 100, 290)
    cut, _ = calib.calibrate_image(pixels[part.slices()], xy0=part.xy0)
    assert cut == pytest.approx(whole[part.slices()], rel=2e-7)


def test_field_below_zero_gives_nan_not_a_sign() -> None:
    basis = Basis2D(1, Domain(0, 1, 0, 1))
    calib = PhotoCalib(1.0, 0.0, Polynomial2D(basis, np.array([0.0, 1.0, 0.0])))
    assert np.isnan(calib.factor(0.25, 0.5))
    assert calib.factor(0.75, 0.5) > 0


def test_identity_states_its_unit() -> None:
    calib = PhotoCalib.identity()
    assert (calib.mean, calib.error, calib.input_unit) == (1.0, 0.0, "nJy")
    assert np.array_equal(calib.calibrate_image(image())[0], image())


@pytest.mark.parametrize("arguments", [(0.0,), (np.nan,), (-1.0,), (1.0, -1.0), (1.0, np.inf)])
def test_impossible_calibrations_are_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError):
        PhotoCalib(*arguments)
