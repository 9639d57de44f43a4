"""Lanczos resampling against a plain sum, and what it must keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.data.resampling_kernel import resampling_kernel, star_weights
from drpflow.kernels import warp as k

NO_DATA, EDGE, CR = 1 << 8, 1 << 4, 1 << 3
places = st.floats(0, 1, exclude_max=True)


def nodes(x: np.ndarray, y: np.ndarray, step: int = 8) -> k.Nodes:
    return k.Nodes(x, y, np.ones_like(x), step, 0, 0)


def affine(shape: tuple[int, int], matrix: np.ndarray, shift: np.ndarray, step: int = 8) -> k.Nodes:
    """Nodes of (x, y) = matrix · (column, row) + shift; bilinear between them is exact."""
    v, u = (np.arange(0, n + step, step, dtype=float) for n in shape)
    u, v = np.meshgrid(u, v)
    x = matrix[0, 0] * u + matrix[0, 1] * v + shift[0]
    y = matrix[1, 0] * u + matrix[1, 1] * v + shift[1]
    return nodes(x, y, step)


def run(
    image: np.ndarray,
    at: k.Nodes,
    shape: tuple[int, int],
    *,
    order: int = 3,
    mask: np.ndarray | None = None,
    max_lost: float = 0.04,
    threshold: float = 1e-3,
) -> k.Target:
    image = image.astype(np.float32)
    variance = np.ones_like(image)
    mask = np.zeros(image.shape, np.int32) if mask is None else mask.astype(np.int32)
    state = k.pixel_states(image, variance, mask, np.ones(image.shape, bool), NO_DATA, CR)
    source = k.Source(image, variance, mask, state, k.spread(state, order))
    out = k.bare_target(shape, np.int32(NO_DATA))
    rules = k.Rules(threshold, max_lost, np.int32(NO_DATA), np.int32(EDGE))
    k.resample(source, at, resampling_kernel(order), rules, out)
    return out


def along(place: float, n: int, order: int) -> np.ndarray:
    """Weights of all pixels of an axis."""
    weights = np.zeros(n)
    first = int(np.floor(place)) - order + 1
    weights[first : first + 2 * order] = star_weights(order, np.array([place % 1]))[0]
    return weights


def plain(image: np.ndarray, x: float, y: float, order: int) -> tuple[float, float]:
    """The sum as the top of the module writes it."""
    wx, wy = (along(p, n, order) for p, n in ((x, image.shape[1]), (y, image.shape[0])))
    return wy @ image @ wx, (wy**2).sum() * (wx**2).sum()


@settings(deadline=None, max_examples=60)
@given(places, places, st.sampled_from([3, 5]), st.integers(0, 2**32 - 1))
def test_a_pixel_is_the_plain_sum(px: float, py: float, order: int, seed: int) -> None:
    image = np.random.default_rng(seed).normal(size=(16, 17)).astype(np.float32)
    x, y = 7 + px, 8 + py
    out = run(image, affine((1, 1), np.eye(2), np.array([x, y])), (1, 1), order=order)
    value, variance = plain(image, x, y, order)
    assert out.image[0, 0] == pytest.approx(value, abs=2e-5)
    assert out.variance[0, 0] == pytest.approx(variance, abs=2e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([3, 5]))
def test_whole_pixel_shifts_copy(dx: int, dy: int, order: int) -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(size=(30, 40)).astype(np.float32)
    mask = np.where(rng.uniform(size=image.shape) < 0.1, CR, 0)
    shift = np.array([dx, dy], float)
    out = run(image, affine((30, 40), np.eye(2), shift), (30, 40), order=order, mask=mask)
    expected = np.full(image.shape, np.nan, np.float32)
    bits = np.full(image.shape, NO_DATA)
    here = slice(max(0, -dy), min(30, 30 - dy)), slice(max(0, -dx), min(40, 40 - dx))
    there = slice(max(0, dy), min(30, 30 + dy)), slice(max(0, dx), min(40, 40 + dx))
    expected[here], bits[here] = image[there], mask[there]
    np.testing.assert_array_equal(out.image, expected)
    np.testing.assert_array_equal(out.mask, bits)  # also at the edges: nothing is lost there
    np.testing.assert_array_equal(out.variance[here], 1)


@settings(deadline=None, max_examples=20)
@given(st.floats(-0.1, 0.1), st.floats(0.8, 1.2), st.floats(1, 1e5), st.sampled_from([3, 5]))
def test_a_constant_stays_constant(turn: float, scale: float, level: float, order: int) -> None:
    image = np.full((60, 60), level)
    image[20, 30] = np.nan  # also where the kernel is renormalised
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    out = run(image, affine((50, 50), matrix, np.array([4.3, 2.2])), (50, 50), order=order)
    there = np.isfinite(out.image)
    assert there.sum() > 1500
    np.testing.assert_allclose(out.image[there], level, rtol=6e-7)


def test_area_multiplies_image_and_its_square_the_variance() -> None:
    at = affine((20, 20), 2 * np.eye(2), np.array([5.0, 5.0]))
    out = run(np.full((60, 60), 3.0), at._replace(area=np.full_like(at.x, 4.0)), (20, 20))
    np.testing.assert_array_equal(out.image, 12)
    np.testing.assert_array_equal(out.variance, 16)


def test_there_and_back() -> None:
    """A well-sampled image comes back to within what the kernel's passband costs."""
    y, x = np.mgrid[:64, :64].astype(float)
    image = np.exp(-((x - 31.3) ** 2 + (y - 32.8) ** 2) / (2 * 1.8**2))
    for order, tolerance in ((3, 8e-3), (5, 3e-3)):
        turn = np.radians(20)
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        shift = np.array([31.5, 31.5]) - matrix @ [31.5, 31.5] + [0.3, 0.4]
        back = np.linalg.inv(matrix)
        once = run(image, affine((64, 64), matrix, shift), (64, 64), order=order).image
        twice = run(once, affine((64, 64), back, -back @ shift), (64, 64), order=order).image
        inner = (slice(16, -16),) * 2
        assert np.abs(twice - image)[inner].max() < tolerance


def test_pixels_without_a_value_are_left_out() -> None:
    image = np.full((40, 40), 5.0)
    image[20, 20] = np.nan
    at = affine((40, 40), np.eye(2), np.array([0.5, 0.5]))
    strict, loose = (run(image, at, (40, 40), max_lost=limit) for limit in (0.04, 0.5))
    # (20, 20) has the weights 0.61, -0.14, 0.02 along each axis, at distances 0.5, 1.5, 2.5.
    expected = np.zeros((40, 40), bool)
    expected[18:22, 18:22] = True
    expected[17:23, 19:21] = True
    expected[19:21, 17:23] = True
    # Of those, 0.61 · 0.02 is below the limit.
    expected[17, 19:21] = expected[22, 19:21] = False
    expected[19:21, 17] = expected[19:21, 22] = False
    expected[[18, 18, 21, 21], [18, 21, 18, 21]] = False
    lost = np.isnan(strict.image)[3:36, 3:36]
    np.testing.assert_array_equal(lost, expected[3:36, 3:36])
    # With a weight of 0.37 the others do, except where the pixel itself has no value.
    np.testing.assert_array_equal(np.argwhere(np.isnan(loose.image[3:36, 3:36])), [[16, 16]])
    assert strict.mask[17, 19] == EDGE
    assert strict.mask[10, 10] == 0
    assert strict.variance[17, 19] > strict.variance[10, 10]


def test_masks_go_where_the_weight_is() -> None:
    mask = np.zeros((40, 40), np.int32)
    mask[20, 20] = CR
    at = affine((40, 40), np.eye(2), np.array([0.25, 0.0]))
    out = run(np.ones((40, 40)), at, (40, 40), mask=mask)
    weights = abs(np.array([along(u + 0.25, 60, 3)[20] for u in range(2, 40)]))
    np.testing.assert_array_equal(out.mask[20, 2:] == CR, weights > 1e-3)
    assert not out.mask[19, 2:37].any()
    total = abs(along(20.25, 60, 3)).sum()
    assert out.fraction[20, 20] == pytest.approx(weights[18] / total, rel=1e-3)
    assert not out.fraction[19, 3:36].any()


def test_without_a_map_there_is_nothing() -> None:
    at = affine((24, 24), np.eye(2), np.array([3.0, 3.0]))
    at.x[1, 1] = np.nan
    out = run(np.ones((40, 40)), at, (24, 24))
    bare = np.isnan(out.image)
    assert bare[1:16, 1:16].all()
    assert not bare[17:, :].any()
    assert (out.mask[bare] == NO_DATA).all()


def test_spreading_is_a_maximum_over_the_taps() -> None:
    state = np.zeros((12, 12), np.uint8)
    state[5, 6], state[0, 0] = k.VOID, k.BAD
    reach = k.spread(state, 3)
    expected = np.zeros((12, 12), np.uint8)
    expected[2:8, 3:9] = k.VOID  # taps of a pixel: 2 before, 3 after
    expected[0:3, 0:3] |= k.BAD
    np.testing.assert_array_equal(reach, expected)


def test_stamps_are_mapped_about_their_centres() -> None:
    y, x = np.mgrid[-15:16, -15:16].astype(float)
    stamp = np.exp(-(x * x / 9 + y * y / 16))
    jacobian = np.array([[[0.8, 0.3], [-0.2, 0.9]]])
    out = np.empty((1, 21, 21))
    k.map_stamps(
        stamp[None], jacobian, np.array([0.3]), np.array([-0.4]), resampling_kernel(5), out
    )
    v, u = np.mgrid[-10:11, -10:11].astype(float)
    u, v = u - 0.3, v + 0.4
    x, y = 0.8 * u + 0.3 * v, -0.2 * u + 0.9 * v
    np.testing.assert_allclose(out[0], np.exp(-(x * x / 9 + y * y / 16)), atol=2e-3)
