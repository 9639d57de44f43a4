"""Kernels of detection against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from drpflow.data.footprints import span_pixels
from drpflow.kernels.detection import (
    connect_spans,
    find_spans,
    local_maxima,
    matched_filter,
    paint_spans,
    prominences,
    ring_medians,
)

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
EVERYWHERE = np.ones((3, 3), bool)


def numpy_filter(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    bad: NDArray[np.bool_],
    taps: NDArray[np.float32],
) -> NDArray[np.float64]:
    kernel = np.outer(taps, taps).astype(np.float64)
    signal = ndimage.correlate(np.where(bad, 0.0, image), kernel, mode="constant")
    noise = ndimage.correlate(np.where(bad, 0.0, variance), kernel**2, mode="constant")
    return np.divide(signal, np.sqrt(noise), out=np.zeros(noise.shape), where=noise > 1e-12)


@pytest.mark.parametrize("shape", [(40, 30), (3, 50), (50, 3), (1, 1)])
@pytest.mark.parametrize("reach", [2, 7])
def test_matched_filter_is_that_of_numpy(shape: tuple[int, int], reach: int) -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(0, 10, shape).astype(np.float32)
    variance = rng.uniform(50, 200, shape).astype(np.float32)
    bad = rng.random(shape) < 0.2
    image[bad] = np.nan
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (0.4 * reach)) ** 2).astype(np.float32)
    out = np.empty(shape, np.float32)
    matched_filter(image, variance, bad, taps, out)
    np.testing.assert_allclose(out, numpy_filter(image, variance, bad, taps), atol=2e-5)


def test_ring_medians_are_those_of_numpy() -> None:
    """Also at edges; 0 where too little of the ring counts."""
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (50, 60)).astype(np.float32)
    blocked = rng.random(values.shape) < 0.3
    y, x = np.array([38, 0, 49, 20], np.int32), np.array([14, 3, 59, 40], np.int32)
    blocked[5:35, 25:55] |= np.hypot(*np.mgrid[-15:15, -15:15]) < 12
    v, u = np.mgrid[:50, :60]
    wanted = []
    for row, column in zip(y, x, strict=True):
        square = (v - row) ** 2 + (u - column) ** 2
        ring = (square >= 16) & (square <= 100) & ((v - row) % 2 == 0) & ((u - column) % 2 == 0)
        wanted.append(np.median(values[ring & ~blocked]) if (ring & ~blocked).any() else 0.0)
    np.testing.assert_array_equal(ring_medians(values, blocked, y, x, 4.0, 10.0, 0.0), wanted)
    assert wanted[3] == 0.0
    few = ring_medians(values, blocked, y, x, 4.0, 10.0, 0.5)
    assert few[0] == np.float32(wanted[0])
    assert few[1] == 0.0, "most of the ring lies off the image"


def test_matched_filter_is_zero_where_there_is_no_good_pixel() -> None:
    image = np.full((20, 20), np.nan, np.float32)
    bad = np.ones((20, 20), bool)
    out = np.empty((20, 20), np.float32)
    matched_filter(image, np.ones_like(image), bad, np.ones(3, np.float32), out)
    assert not out.any()


@given(MASKS)
def test_spans_are_the_pixels_that_are_set(where: NDArray[np.bool_]) -> None:
    rows, starts, ends = find_spans(where)
    painted = np.zeros_like(where)
    painted[span_pixels(rows, starts, ends)] = True
    np.testing.assert_array_equal(painted, where)
    # Runs are as long as they can be, in raster order.
    key = rows.astype(int) * 100 + starts
    assert (np.diff(key) > 0).all()
    same_row = rows[1:] == rows[:-1]
    assert (starts[1:][same_row] > ends[:-1][same_row]).all()


@given(MASKS)
def test_groups_are_the_connected_components(where: NDArray[np.bool_]) -> None:
    spans = find_spans(where)
    group, count = connect_spans(*spans)
    labels, n = ndimage.label(where, EVERYWHERE)
    assert count == n
    mine = np.zeros(where.shape, int)
    mine[span_pixels(*spans)] = np.repeat(group + 1, spans[2] - spans[1])
    np.testing.assert_array_equal(mine, labels)


@given(MASKS, st.integers(0, 4))
def test_painted_discs_are_a_dilation(where: NDArray[np.bool_], radius: int) -> None:
    offset = np.arange(-radius, radius + 1)
    disc = np.hypot(offset, offset[:, None]) <= radius
    half_widths = np.sqrt(radius**2 - offset**2).astype(np.int64)
    painted = np.zeros_like(where)
    paint_spans(*find_spans(where), half_widths, painted)
    np.testing.assert_array_equal(painted, ndimage.binary_dilation(where, disc))


@given(hnp.arrays(np.float32, (7, 8), elements=st.integers(0, 5).map(float)))
def test_local_maxima_are_not_exceeded_and_plateaus_have_one(values: NDArray[np.float32]) -> None:
    spans = find_spans(values > 1)
    x, y, span = local_maxima(values, *spans)
    highest = ndimage.maximum_filter(values, size=3, mode="nearest")
    assert (values[y, x] == highest[y, x]).all()
    assert (spans[0][span] == y).all()
    assert ((spans[1][span] <= x) & (x < spans[2][span])).all()
    assert len(set(zip(x.tolist(), y.tolist(), strict=True))) == x.size
    unique = (values > 1) & (values == highest)
    strict = unique & (ndimage.generic_filter(values, _ties, size=3, mode="constant") == 1)
    found = np.zeros(values.shape, bool)
    found[y, x] = True
    assert (found | ~strict).all()


def _ties(window: NDArray[np.float64]) -> int:
    return int((window == window[4]).sum())


def flood(values: NDArray[np.float32], where: NDArray[np.bool_], y: int, x: int) -> float:
    """Lower the level until the lake of a peak holds a higher pixel."""
    for level in np.unique(values[where])[::-1]:
        if level > values[y, x]:
            continue
        labels, _ = ndimage.label(where & (values >= level), EVERYWHERE)
        if values[labels == labels[y, x]].max() > values[y, x]:
            return float(values[y, x] - level)
    return np.inf


def test_prominences_are_those_of_flooding_step_by_step() -> None:
    rng = np.random.default_rng(2)
    values = ndimage.gaussian_filter(rng.normal(0, 10, (30, 40)), 1.5).astype(np.float32)
    where = values > -0.5
    spans = find_spans(where)
    x, y, _ = local_maxima(values, *spans)
    rows, columns = span_pixels(*spans)
    order = np.argsort(values[rows, columns], kind="stable")[::-1]
    slot = np.full(values.shape, -1, np.int32)
    rise = prominences(values, rows[order], columns[order], y, x, slot)
    want = [flood(values, where, int(b), int(a)) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(rise, want, rtol=1e-6)
    assert x.size > 20
    assert (slot == -1).all()
