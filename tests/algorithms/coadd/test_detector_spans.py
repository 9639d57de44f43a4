"""Artifacts on the pixels of a turned, shifted detector."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from drpflow.algorithms.coadd.detector_spans import with_detectors
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.plane_maps import AffineMap
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.data.warp_masks import ON_PATCH, WarpMask

PIXEL_DEG = 0.2 / 3600


def _wcs(place: tuple[float, float], turn_deg: float = 0.0) -> SkyWcs:
    """A WCS whose pixel at `place` is the tangent point."""
    t = np.radians(turn_deg)
    matrix = PIXEL_DEG * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    stage = AffineMap(matrix, -matrix @ np.array(place))
    return SkyWcs((("detector", stage),), TanProjection(150.0, -12.0), (400, 400))


@pytest.mark.parametrize("rotation_deg", [0.0, 33.0, 90.0])
def test_every_pixel_that_entered_is_found(rotation_deg: float) -> None:
    tract = _wcs((0.0, 0.0))
    own = _wcs((61.3, 40.8), rotation_deg)
    frame = Box(0, 120, 0, 90)
    item = SimpleNamespace(wcs=own, polygon=ValidPolygon.from_box(frame), detector=7)
    marked = np.zeros((400, 400), bool)
    y, x = np.mgrid[-200:200, -200:200]
    marked[np.abs(y - 0.5 * x) < 3] = True
    rows = np.flatnonzero(marked.any(axis=1))
    x0 = np.array([marked[r].argmax() for r in rows]) - 200
    x1 = x0 + np.array([marked[r].sum() for r in rows])
    spans = np.zeros(rows.size, int)
    mask = WarpMask(("streak",), [50.0], spans + ON_PATCH, spans, rows - 200, x0, x1)
    both = with_detectors(mask, tract, [item])
    assert both.detectors == [7]
    v, u = np.mgrid[: frame.height, : frame.width]
    tx, ty = tract.world_to_pixel_values(*own.pixel_to_world_values(u.ravel(), v.ravel()))
    distance = (np.abs(ty - 0.5 * tx) / np.hypot(1, 0.5)).reshape(frame.shape)
    painted = both.paint(frame, 7)
    half_width = 3 / np.hypot(1, 0.5)
    assert painted[distance < half_width - 0.8].all()
    assert not painted[distance > half_width + 1.8].any()
    part = Box(-100, 100, -50, 50)
    np.testing.assert_array_equal(both.paint(part), mask.paint(part))
