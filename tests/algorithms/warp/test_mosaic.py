"""Detectors of a visit on one canvas."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.warp.mosaic import MADE_OF_PIXELS, empty_warp, hull, mosaic
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.psf import GaussianPsf
from tests.algorithms.warp.scenes import tract_wcs

CANVAS = Box(100, 160, 200, 240)


def part(box: Box, level: float, variance: float = 4.0, plane: str = "") -> Exposure:
    mask = Mask.zeros(box.shape)
    if plane:
        mask.set(plane, (slice(None), slice(None)))
    return Exposure(
        np.full(box.shape, level, np.float32),
        mask,
        np.full(box.shape, variance, np.float32),
        unit="nJy",
        xy0=box.xy0,
        components={
            "wcs": tract_wcs(),
            "valid_polygon": ValidPolygon.from_box(box),
            "noise_covariance": NoiseCovariance.white(),
        },
    )


def put(**parts: Exposure) -> Exposure:
    return mosaic({int(k[1:]): v for k, v in parts.items()}, tract_wcs(), CANVAS, 7, GaussianPsf(2))


def test_parts_stand_side_by_side():
    warp = put(
        d1=part(Box(90, 120, 190, 250), 1.0), d2=part(Box(125, 140, 210, 220), 2.0, 9.0, "CR")
    )
    assert warp.box == CANVAS
    assert warp.unit == "nJy"
    np.testing.assert_array_equal(warp.image[:, :20], 1)
    np.testing.assert_array_equal(warp.image[10:20, 25:40], 2)
    np.testing.assert_array_equal(warp.variance[10:20, 25:40], 9)
    bare = np.ones(CANVAS.shape, bool)
    bare[:, :20] = bare[10:20, 25:40] = False
    np.testing.assert_array_equal(np.isnan(warp.image), bare)
    np.testing.assert_array_equal(np.isnan(warp.variance), bare)
    np.testing.assert_array_equal(warp.mask.any("NO_DATA"), bare)
    assert warp.mask.any("CR").sum() == 150
    assert [dict(i.data_id) for i in warp.coadd_inputs] == [
        {"visit": 7, "detector": 1}, {"visit": 7, "detector": 2}
    ]  # fmt: skip
    assert warp.valid_polygon.contains([110, 130], [215, 215]).all()


def test_overlapping_parts_are_averaged():
    warp = put(
        d1=part(Box(100, 130, 200, 240), 1.0), d2=part(Box(120, 160, 200, 240), 3.0, 4.0, "CR")
    )
    np.testing.assert_array_equal(warp.image[:, 20:30], 2)
    np.testing.assert_array_equal(warp.variance[:, 20:30], 2)
    np.testing.assert_array_equal(warp.variance[:, 30:], 4)
    assert warp.mask.any("CR")[:, 20:30].all()


def test_holes_in_one_part_are_filled_by_the_other():
    one = part(Box(100, 130, 200, 240), 1.0)
    one.image[5, 25] = np.nan
    one.mask.set("NO_DATA", (slice(5, 6), slice(25, 26)))
    warp = put(d1=one, d2=part(Box(120, 160, 200, 240), 3.0))
    assert warp.image[5, 25] == 3
    assert warp.variance[5, 25] == 4
    assert warp.mask.array[5, 25] == 0


def test_correlations_count_by_variance():
    pair = NoiseCovariance(np.array([[0, 0, 0], [0.4, 1, 0.4], [0, 0, 0]]))
    one = part(Box(100, 130, 200, 240), 1.0, 1.0).replace(noise_covariance=pair)
    two = part(Box(130, 160, 200, 240), 1.0, 3.0)
    warp = put(d1=one, d2=two)
    assert warp.noise_covariance.correlation[1, 2] == pytest.approx(0.1)


def test_parts_that_lie_elsewhere_are_no_inputs():
    warp = put(d1=part(Box(100, 130, 200, 240), 1.0), d2=part(Box(500, 530, 200, 240), 1.0))
    assert warp.coadd_inputs.values_of("detector") == [1]


def test_an_empty_warp_is_complete():
    warp = empty_warp(tract_wcs(), CANVAS, "nothing is there")
    assert warp.box == CANVAS
    assert np.isnan(warp.image).all()
    assert np.isnan(warp.variance).all()
    assert warp.mask.any("NO_DATA").all()
    assert set(warp.components) == {"wcs", "photo_calib"}
    assert dict(warp.missing) == dict.fromkeys(MADE_OF_PIXELS, "nothing is there")


def test_hull():
    parts = [ValidPolygon.from_box(Box(*b)) for b in ((90, 120, 210, 220), (130, 150, 205, 225))]
    found = hull([*parts, None], CANVAS)
    # 20 wide and 20 high, and a trapezium 30 wide, 10 to 20 high.
    assert found.area_pix == pytest.approx(400 + 450)
    assert len(found.vertices) == 6
    assert hull([ValidPolygon.from_box(Box(0, 5, 0, 5))], CANVAS) is None
