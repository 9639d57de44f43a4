from dataclasses import replace

import numpy as np
import pytest
from zero_point_folds import CONSTANT, Image, largest_change_mmag

from drpflow.algorithms.photometry import calibrate_photometry
from drpflow.config.photometry import PhotometryConfig
from drpflow.data.photo_calib import PhotoCalib
from tests.algorithms.test_photometry import BOX, scene

SLOPE_MAG = 0.1
"""Light lost from the left edge of the detector to the right one."""


def image() -> Image:
    """Return an image under a cloud with a gradient."""
    columns, wcs, reference = scene(120)
    columns["sourceId"] = 1000 + np.arange(120)
    columns["psfFlux_instFlux"] *= 10 ** (-0.4 * SLOPE_MAG * (columns["x"] / BOX.x1 - 0.5))
    fit = calibrate_photometry(columns, wcs, reference, "r", BOX, PhotometryConfig())
    return Image(columns, wcs, reference, "r", BOX, fit.zero_point.photo_calib())


def zero_points(found: PhotoCalib | None, x: np.ndarray) -> np.ndarray:
    assert found is not None
    return -2.5 * np.log10(found.flux_to_njy(np.ones(x.size), x, np.full(x.size, 2000.0)))


def test_with_all_stars_it_is_what_is_stored() -> None:
    one = image()
    assert largest_change_mmag({(1, 1): one}) == pytest.approx(0, abs=1e-9)
    off = replace(one, stored=replace(one.stored, mean=one.stored.mean * 1.01))
    assert largest_change_mmag({(1, 1): one, (1, 2): off}) == pytest.approx(10.8, abs=0.1)


def test_stars_held_out_have_no_say() -> None:
    one = image()
    held = one.columns["sourceId"][:12]
    spoilt = dict(one.columns)
    spoilt["psfFlux_instFlux"] = spoilt["psfFlux_instFlux"].copy()
    spoilt["psfFlux_instFlux"][:12] *= 1.05
    x = np.linspace(0, 2047, 5)
    wanted = zero_points(one.without(held), x)
    found = replace(one, columns=spoilt)
    np.testing.assert_array_equal(zero_points(found.without(held), x), wanted)
    assert np.abs(zero_points(found.without(held[:0]), x) - wanted).max() > 1e-4


def test_the_gradient_is_in_the_field_and_not_in_the_constant() -> None:
    one, x = image(), np.array([0.0, 2047.0])
    nothing = one.columns["sourceId"][:0]
    assert np.ptp(zero_points(one.without(nothing), x)) == pytest.approx(SLOPE_MAG, abs=0.01)
    assert np.ptp(zero_points(one.without(nothing, CONSTANT), x)) == 0


def test_without_stars_there_is_no_calibration() -> None:
    one = image()
    assert one.without(one.columns["sourceId"]) is None
