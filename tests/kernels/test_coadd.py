"""Kernels of coadds against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from drpflow.kernels.coadd import (
    FLAGGED,
    GOOD,
    VOID,
    box_maxima,
    cell_scales,
    clipped_means,
    compare,
    medians,
    others,
    pixel_states,
)

CELL = 8
RULES = (4.0, 0.05, CELL, 3, 5)


@pytest.fixture
def stack() -> dict[str, np.ndarray]:
    """Seven visits, some pixels flagged or void, one visit with twice the noise it states."""
    rng = np.random.default_rng(1)
    n, shape = 7, (29, 37)
    sigma = rng.uniform(0.5, 2.0, n)[:, None, None]
    factor = np.ones((n, 1, 1))
    factor[2] = 2.0
    values = 5 + factor * sigma * rng.normal(0, 1, (n, *shape))
    state = rng.choice([VOID, FLAGGED, GOOD], (n, *shape), p=[0.05, 0.05, 0.9]).astype(np.uint8)
    state[:, 4, 4] = VOID
    state[:, 5, 5] = FLAGGED
    values[0, 10:12, 10:14] += 500
    values[state == VOID] = np.nan
    cells = (-(-(3 + shape[0]) // CELL), -(-(5 + shape[1]) // CELL))
    return {
        "values": values.astype(np.float32),
        "variance": np.broadcast_to(sigma**2, values.shape).astype(np.float32),
        "state": state,
        "scales": np.ones((n, *cells), np.float32),
        "weights": 1 / sigma[:, 0, 0] ** 2,
    }


def _start(stack: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    shape = stack["values"].shape[1:]
    start, good = np.empty(shape, np.float32), np.empty(shape, np.uint16)
    medians(stack["values"], stack["state"], start, good)
    return start, good


def _mean(stack: dict[str, np.ndarray], start: np.ndarray, good: np.ndarray) -> list[np.ndarray]:
    sums = [np.empty(start.shape, np.float32) for _ in range(3)]
    clipped_means(
        stack["values"], stack["variance"], stack["state"], good, start, stack["scales"],
        stack["weights"], RULES, *sums,
    )  # fmt: skip
    return sums


def test_medians(stack) -> None:
    start, good = _start(stack)
    values = np.where(stack["state"] == GOOD, stack["values"], np.nan)
    np.testing.assert_array_equal(good, np.isfinite(values).sum(axis=0))
    many = good > 2
    expected = np.nanmedian(values[:, many], axis=0)
    np.testing.assert_allclose(start[many], expected, rtol=1e-6)
    assert np.isnan(start[4, 4])
    assert start[5, 5] == pytest.approx(np.median(stack["values"][:, 5, 5]))
    two = stack["values"][:2, :1, :1].copy()
    low, number = np.empty((1, 1), np.float32), np.empty((1, 1), np.uint16)
    medians(two, np.full(two.shape, GOOD, np.uint8), low, number)
    assert low[0, 0] == two.min()


def test_clipped_means(stack) -> None:
    start, good = _start(stack)
    mean, total, noise = _mean(stack, start, good)
    with np.errstate(invalid="ignore"):
        kept = np.abs(stack["values"] - start) <= 4 * np.sqrt(stack["variance"]) + 0.05 * np.abs(
            start
        )
    kept &= stack["state"] >= np.where(good > 0, GOOD, FLAGGED)
    w = stack["weights"][:, None, None] * kept
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (w * np.nan_to_num(stack["values"])).sum(axis=0) / w.sum(axis=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    np.testing.assert_allclose(total, w.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(noise, (w**2 * stack["variance"]).sum(axis=0), rtol=1e-5)
    assert abs(mean[10, 12] - 5) < 3


def test_others_are_all_but_one() -> None:
    values, spread = np.array([1.0, 4.0, 6.0]), np.array([0.5, 1.0, 2.0])
    w = 1 / spread
    mean, total, noise = (w * values).sum() / w.sum(), w.sum(), (w**2 * spread).sum()
    rest, error = others(values[1], spread[1], True, w[1], mean, total, noise)
    assert rest == pytest.approx((w[0] * 1 + w[2] * 6) / (w[0] + w[2]))
    assert error == pytest.approx(1 / (w[0] + w[2]))
    assert others(9.0, 1.0, False, w[1], mean, total, noise)[0] == pytest.approx(mean)
    assert others(1.0, 0.5, True, w[0], 1.0, w[0], w[0] ** 2 * 0.5)[1] < 0


def test_scales_are_measured_by_cells() -> None:
    rng = np.random.default_rng(3)
    n, shape, cell = 5, (128, 128), 64
    values = rng.normal(0, 1, (n, *shape)).astype(np.float32)
    values[3] *= 3.0
    values[1, 64:, :] *= 1.5
    values[0, :13, :] += 40  # a trail over 20 % of two cells
    stack = {
        "values": values,
        "variance": np.ones_like(values),
        "state": np.full(values.shape, GOOD, np.uint8),
        "weights": np.ones(n),
    }
    rules = (4.0, 0.0, cell, 0, 0)
    start, good = np.empty(shape, np.float32), np.empty(shape, np.uint16)
    medians(values, stack["state"], start, good)
    scales = np.ones((n, 2, 2), np.float32)
    for _ in range(2):
        sums = [np.empty(shape, np.float32) for _ in range(3)]
        given = (values, stack["variance"], stack["state"], good, start, scales, stack["weights"])
        clipped_means(*given, rules, *sums)
        better = np.empty_like(scales)
        cell_scales(*given, rules, tuple(sums), 2, better)
        scales = better
    np.testing.assert_allclose(scales[3], 3.0, rtol=0.12)
    np.testing.assert_allclose(scales[1, 1], 1.5, rtol=0.15)
    np.testing.assert_allclose(scales[2], 1.0, rtol=0.15)
    assert (scales[0, 0] < 2.0).all()


def test_compare_takes_the_others_and_what_errors_may_do(stack) -> None:
    start, good = _start(stack)
    mean, total, noise = _mean(stack, start, good)
    amplitude = np.full(start.shape, 20.0, np.float32)
    significance, level = np.empty_like(start), np.empty_like(start)
    k = 0
    compare(
        stack["values"][k], stack["variance"][k], stack["state"][k],
        (start, mean, total, noise, good, amplitude), stack["scales"][k], RULES,
        stack["weights"][k], 0.03, 0.1, np.full(start.shape, 4.0, np.float32),
        (significance, level),
    )  # fmt: skip
    y, x = 10, 12
    difference = stack["values"][k, y, x] - mean[y, x]  # clipped: not in the mean
    expected = stack["variance"][k, y, x] + noise[y, x] / total[y, x] ** 2 + 0.6**2 + 0.01 * 4
    assert significance[y, x] == pytest.approx(difference / np.sqrt(expected), rel=1e-5)
    assert level[y, x] == pytest.approx((difference - 0.6) / 2, rel=1e-5)
    assert (significance[stack["state"][k] == VOID] == 0).all()


def test_states_and_maxima() -> None:
    image = np.array([[1.0, np.nan, 3.0, 4.0]], np.float32)
    variance = np.array([[1.0, 1.0, 0.0, 1.0]], np.float32)
    mask = np.array([[0, 0, 0, 2]], np.int32)
    assert pixel_states(image, variance, mask, 1, 2).tolist() == [[GOOD, VOID, VOID, FLAGGED]]
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (20, 30)).astype(np.float32)
    found = np.empty_like(values)
    box_maxima(values, 3, found)
    np.testing.assert_array_equal(found, maximum_filter(np.abs(values), 7, mode="constant"))
