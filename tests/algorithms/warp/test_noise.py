"""Correlation of resampled noise against realisations of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.algorithms.warp.noise import kernel_covariance
from drpflow.data.resampling_kernel import star_weights


def turned(degrees: float, scale: float) -> np.ndarray:
    t = np.radians(degrees)
    return scale * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])


def plain(x: float, y: float, n: int, order: int) -> np.ndarray:
    """Weights of all pixels for one place."""
    wx, wy = np.zeros((2, n))
    for weights, place in ((wx, x), (wy, y)):
        first = int(np.floor(place)) - order + 1
        weights[first : first + 2 * order] = star_weights(order, np.array([place % 1]))[0]
    return np.outer(wy, wx)


@settings(deadline=None, max_examples=15)
@given(st.floats(-180, 180), st.floats(0.7, 1.5), st.sampled_from([3, 5]), st.floats(0, 1))
def test_covariance_is_the_overlap_of_weights(degrees, scale, order, phase):
    jacobian = turned(degrees, scale)
    x, y = np.array([30.0 + phase, 31.2]), np.array([30.4, 29.0 + phase])
    found = kernel_covariance(x, y, np.stack([jacobian, jacobian]), order)
    half = found.shape[0] // 2
    for row, column in ((0, 0), (0, 1), (2, -1), (half, half)):
        expected = 0.0
        for u, v in zip(x, y, strict=True):
            du, dv = jacobian @ [column, row]
            own, other = plain(u, v, 61, order), plain(u + du, v + dv, 61, order)
            expected += (own * other).sum() / 2
        assert found[half + row, half + column] == pytest.approx(expected, abs=1e-5)


def test_lags_end_where_kernels_do():
    jacobian = turned(10.0, 0.9)[None]
    found = kernel_covariance(np.array([0.3]), np.array([0.7]), jacobian, 3)
    assert found.shape == (13, 13)
    x, y = np.random.default_rng(1).uniform(0, 1, (2, 2000))
    many = kernel_covariance(x, y, np.repeat(jacobian, 2000, axis=0), 3)
    # A constant comes out as it is: a pixel of the input is used up by all outputs together.
    assert many.sum() * 0.9**2 == pytest.approx(1, abs=0.01)
