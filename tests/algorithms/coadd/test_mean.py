"""The weighted mean, and its planes."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.coadd.mean import in_own_bits, weighted_mean
from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.warp_masks import ON_PATCH, WarpMask
from drpflow.data.warps import Warp

CONFIG = CompareWarpAssembleCoaddConfig()
CANVAS = Box(-10, 50, 100, 140)
BOX = CANVAS.grow(-5)


def _warp(visit: int, value: float, variance: float, weight: float) -> Warp:
    rng = np.random.default_rng(visit)
    image = (value + rng.normal(0, 1, CANVAS.shape)).astype(np.float32)
    direct = Exposure(
        image, Mask.zeros(CANVAS.shape), np.full(CANVAS.shape, variance, np.float32),
        unit="nJy", xy0=CANVAS.xy0,
    )  # fmt: skip
    return Warp(visit, weight, direct, None)


def _at(x: int, y: int) -> tuple[int, int]:
    return y - CANVAS.y0, x - CANVAS.x0


@pytest.fixture
def warps() -> list[Warp]:
    return [_warp(1, 10.0, 4.0, 0.25), _warp(2, 20.0, 1.0, 1.0), _warp(3, 30.0, 9.0, 0.1)]


def _mean(warps: list[Warp], masks: dict[int, WarpMask], memory_mb: int = 800):
    polygons = [ValidPolygon.from_box(CANVAS)] * len(warps)
    config = CONFIG.model_copy(update={"memory_mb": memory_mb})
    made = weighted_mean(warps, masks, BOX, polygons, config)
    return made, lambda plane, x, y: bool(made.mask.any(plane)[y - BOX.y0, x - BOX.x0])


def test_mean_and_variance(warps) -> None:
    made, _ = _mean(warps, {})
    weights = np.array([w.weight for w in warps])
    images = np.array([w.direct.cutout(BOX).image for w in warps], float)
    variances = np.array([4.0, 1.0, 9.0])
    expected = np.tensordot(weights, images, 1) / weights.sum()
    np.testing.assert_allclose(made.image, expected, rtol=1e-6)
    np.testing.assert_allclose(
        made.variance, (weights**2 * variances).sum() / weights.sum() ** 2, rtol=1e-6
    )
    assert (made.count == 3).all()
    assert not made.mask.array.any()
    assert made.noise[3] == pytest.approx(0.1**2 * 9)
    # In strips of 16 rows it is the same.
    np.testing.assert_array_equal(made.image, _mean(warps, {}, 0)[0].image)


def test_planes_say_what_was_left_out(warps) -> None:
    clipped, bad, hole, full = (5, 120), (10, 121), (15, 122), (20, 123)
    warps[0].direct.mask.set("BAD", np.zeros(CANVAS.shape, bool))
    warps[0].direct.mask.array[_at(*bad)] |= warps[0].direct.mask.bit("BAD")
    for warp in warps:
        warp.direct.mask.array[_at(*full)] |= warp.direct.mask.bit("SAT")
        warp.direct.mask.array[_at(7, 130)] |= warp.direct.mask.bit("DETECTED")
    warps[1].direct.image[_at(*hole)] = np.nan
    warps[1].direct.mask.array[_at(*hole)] |= warps[1].direct.mask.bit("NO_DATA")
    mask = WarpMask(("other",), [20.0], [ON_PATCH], [0], [clipped[1]], [clipped[0]], [6])
    made, has = _mean(warps, {3: mask})
    for plane, place in (("CLIPPED", clipped), ("REJECTED", bad), ("REJECTED", full)):
        assert has(plane, *place), plane
        assert has("INEXACT_PSF", *place)
    assert has("INEXACT_PSF", *hole)
    assert has("SENSOR_EDGE", hole[0] + 1, hole[1])
    assert has("SAT", *full)
    assert not has("SAT", *bad)
    assert not has("DETECTED", 7, 130)
    count = {p: int(made.count[p[1] - BOX.y0, p[0] - BOX.x0]) for p in (clipped, bad, hole, full)}
    assert count == {clipped: 2, bad: 2, hole: 2, full: 0}
    # Where all visits are rejected, their mean stands in.
    row, column = full[1] - BOX.y0, full[0] - BOX.x0
    values = [w.direct.image[_at(*full)] for w in warps]
    assert made.image[row, column] == pytest.approx(np.average(values, weights=[0.25, 1, 0.1]))


def test_nothing_is_nothing(warps) -> None:
    for warp in warps:
        warp.direct.image[:, :20] = np.nan
        warp.direct.mask.set("NO_DATA", np.s_[:, :20])
    made, has = _mean(warps, {})
    assert np.isnan(made.image[:, :15]).all()
    assert np.isnan(made.variance[:, :15]).all()
    assert has("NO_DATA", BOX.x0, BOX.y0)
    assert has("SENSOR_EDGE", CANVAS.x0 + 20, 120)
    assert not has("SENSOR_EDGE", CANVAS.x0 + 21, 120)


def test_planes_of_other_files_are_found_by_name() -> None:
    mask = Mask(np.array([[1, 2]], np.int32), {"SAT": 0, "STRANGE": 1})
    own = in_own_bits(mask)
    assert own.any("SAT").tolist() == [[True, False]]
    assert own.array[0, 1] == 0
