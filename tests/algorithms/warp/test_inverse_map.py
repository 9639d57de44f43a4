"""The interpolated map against the exact one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from drpflow.algorithms.warp.inverse_map import footprint, make_map
from drpflow.data.displacement_map import DisplacementMap
from drpflow.data.geometry import Box
from drpflow.errors import AlgorithmError
from tests.algorithms.warp.scenes import SCALE_DEG, detector_wcs, tract_wcs

N = 400
DETECTOR = Box(0, N, 0, N)


@pytest.mark.parametrize(("distortion", "tolerance"), [(0.003, 1e-3), (0.01, 1e-3), (0.003, 1e-4)])
def test_the_error_holds_everywhere(distortion, tolerance):
    wcs, tract = detector_wcs(N, distortion=distortion), tract_wcs()
    area = footprint(tract, wcs, DETECTOR)
    assert area is not None
    found = make_map(tract, wcs, area, 64, tolerance)
    assert found.error_pix <= tolerance
    numbers, *nodes = found.nodes(area)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(area.x0, area.x1 - 1, 5000), rng.uniform(area.y0, area.y1 - 1, 5000)
    axes = numbers.y * found.step_pix, numbers.x * found.step_pix
    between = [RegularGridInterpolator(axes, v)(np.stack([y, x], axis=1)) for v in nodes]
    exact = found.to_detector(x, y)
    assert np.hypot(between[0] - exact[0], between[1] - exact[1]).max() < 1.3 * tolerance
    area_ratio = tract.pixel_area_arcsec2(x, y) / wcs.pixel_area_arcsec2(*exact)
    np.testing.assert_allclose(between[2], area_ratio, rtol=2e-4)


def test_the_spacing_goes_with_the_distortion():
    tract, steps = tract_wcs(), []
    for distortion in (0.0, 0.001, 0.01):
        wcs = detector_wcs(N, distortion=distortion)
        area = footprint(tract, wcs, DETECTOR)
        assert area is not None
        steps.append(make_map(tract, wcs, area, 64, 1e-3).step_pix)
    assert steps[0] == 64
    assert steps[0] > steps[1] > steps[2] >= 4


def test_a_map_that_is_too_rough_is_refused():
    rng = np.random.default_rng(8)
    rough = DisplacementMap(
        (-0.02, -0.02), 2 * SCALE_DEG, 0.5 * SCALE_DEG * rng.normal(size=(2, 400, 400))
    )
    wcs = detector_wcs(N).with_stage("turbulence", rough)
    with pytest.raises(AlgorithmError, match="too rough") as failure:
        make_map(tract_wcs(), wcs, Box(800, 1200, 800, 1200), 32, 1e-3)
    assert failure.value.numbers["step_pix"] == 4


def test_nodes_lie_at_multiples_of_the_step():
    tract, wcs = tract_wcs(), detector_wcs(N)
    found = make_map(tract, wcs, Box(800, 1200, 800, 1200), 16, 1.0)
    for box in (Box(811, 950, 807, 823), Box(832, 833, 832, 833), Box(-40, -3, -17, 16)):
        numbers, x, _, _ = found.nodes(box)
        assert x.shape == numbers.shape
        assert min(x.shape) >= 2
        assert numbers.x0 * 16 <= box.x0
        assert (numbers.x1 - 1) * 16 >= box.x1 - 1
        assert (numbers.y1 - 1) * 16 >= box.y1 - 1


def test_footprint_holds_the_detector_and_no_more():
    tract, wcs = tract_wcs(), detector_wcs(N, turn_deg=45.0)
    area = footprint(tract, wcs, DETECTOR)
    assert area is not None
    y, x = np.mgrid[-0.5:N, -0.5:N].reshape(2, -1)
    u, v = tract.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))
    for low, high, at in ((area.x0, area.x1, u), (area.y0, area.y1, v)):
        assert low <= at.min() < low + 2
        assert high - 3 < at.max() <= high
