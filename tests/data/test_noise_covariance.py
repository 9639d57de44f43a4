"""Correlated noise against realisations of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve

from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.record import from_record

KERNEL = np.array([[0.0, 0.1, 0.05], [0.2, 1.0, -0.1], [0.0, 0.3, 0.1]])


def noise(n: int = 1200) -> np.ndarray:
    """White noise convolved with the kernel, divided by its standard deviation."""
    white = np.random.default_rng(3).normal(size=(n, n))
    return convolve(white, KERNEL, mode="wrap") / np.sqrt(np.square(KERNEL).sum())


def smooth(half: int = 9) -> np.ndarray:
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return np.exp(-(x * x + y * y) / (2 * 2.5**2))


def test_convolving_white_noise() -> None:
    found = NoiseCovariance.white().convolved(KERNEL)
    image = noise()
    assert found.half_size_pix == 2
    for v in range(-2, 3):
        for u in range(-2, 3):
            measured = (image * np.roll(image, (-v, -u), (0, 1))).mean()
            assert found.correlation[v + 2, u + 2] == pytest.approx(measured, abs=4e-3)


def test_the_error_of_a_weighted_sum() -> None:
    """The scatter of sums over 1,2 million places has an error of 0.5 %."""
    rho = NoiseCovariance.white().convolved(KERNEL)
    weights = smooth()
    sums = convolve(noise(), weights, mode="wrap")
    expected = rho.factor(weights) * np.square(weights).sum()
    assert sums.var() == pytest.approx(expected, rel=0.03)
    assert rho.factor(weights) > 1.8  # far from white


def test_an_aperture_is_a_weighted_sum() -> None:
    rho = NoiseCovariance.white().convolved(KERNEL)
    y, x = np.mgrid[-9:10, -9:10]
    hard = (x * x + y * y <= 6.0**2).astype(float)
    assert rho.aperture_factor(6.0) == pytest.approx(rho.factor(hard), rel=0.05)
    assert rho.aperture_factor(0.3) == pytest.approx(1.0)
    assert rho.aperture_factor(40.0) == pytest.approx(rho.total, rel=0.03)
    assert rho.total == pytest.approx(KERNEL.sum() ** 2 / np.square(KERNEL).sum())


def test_convolving_twice_is_convolving_with_both() -> None:
    other = smooth(3)
    once = NoiseCovariance.white().convolved(KERNEL).convolved(other)
    both = np.zeros((9, 9))
    for (v, u), value in np.ndenumerate(KERNEL):
        both[v : v + 7, u : u + 7] += value * other
    np.testing.assert_allclose(
        once.correlation, NoiseCovariance.white().convolved(both).correlation, atol=1e-12
    )


def test_combining_weighs_by_variance() -> None:
    rho = NoiseCovariance.white().convolved(KERNEL)
    mixed = NoiseCovariance.combine([(rho, 3.0), (NoiseCovariance.white(), 1.0)])
    assert mixed.correlation[2, 3] == pytest.approx(0.75 * rho.correlation[2, 3])
    assert mixed.correlation[2, 2] == 1
    with pytest.raises(ValueError, match="no images"):
        NoiseCovariance.combine([(rho, 0.0)])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 5), st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_round_trips(half: int, padded: int, seed: int) -> None:
    kernel = np.random.default_rng(seed).normal(size=(half + 1, half + 1))
    rho = NoiseCovariance.white().convolved(np.pad(kernel, ((0, half), (half, 0))))
    assert from_record(rho.to_record()) == rho
    assert rho.padded(padded).half_size_pix == padded
    assert rho.padded(30).padded(rho.half_size_pix) == rho
    assert rho.factor(np.ones((1, 1))) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "values", [np.ones((2, 2)), np.full((3, 3), 0.5), [[0, 0, 0.5], [0, 1, 0], [0, 0, 0]]]
)
def test_what_is_no_correlation_is_refused(values) -> None:
    with pytest.raises(ValueError, match="correlation"):
        NoiseCovariance(values)
