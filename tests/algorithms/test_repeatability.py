import numpy as np
import pytest

from drpflow.algorithms.repeatability import about_mean, excess, noise_width, width


def values_of(number: int, scatter: float, seed: int) -> tuple[np.ndarray, ...]:
    """Return keys, values about means of their own, and noises of 1 to 9."""
    rng = np.random.default_rng([seed, number])
    key = np.arange(number * 4000) // number
    noise = rng.uniform(1.0, 9.0, key.size)
    values = 16e3 + 100.0 * (key % 7) + rng.normal(0.0, np.hypot(noise, scatter))
    return key, values, noise


@pytest.mark.parametrize("number", [3, 4, 6, 12])
def test_scatter_of_few_values_is_right_with_unequal_noise_and_some_spoilt(number: int) -> None:
    key, values, noise = values_of(number, 4.0, 1)
    rng = np.random.default_rng(number)
    values[rng.uniform(size=values.size) < 0.01] += 300.0
    off, sigma = about_mean(key, values, noise)
    known = np.isfinite(off)
    assert known.mean() > 0.95
    assert excess(off[known], sigma[known]) == pytest.approx(4.0, rel=0.1)


def test_deviations_are_those_about_the_mean() -> None:
    values = np.array([20.0, 20.01, 20.03, 25.0, 18.0, 18.0, 18.0, np.nan])
    off, noise = about_mean(np.repeat([0, 1], 4), values, np.full(8, 0.02))
    enlarged = np.sqrt(3 / 2)
    mean = 60.04 / 3
    np.testing.assert_allclose(off[:3], (values[:3] - mean) * enlarged, atol=1e-9)
    np.testing.assert_allclose(off[3], 25 - mean, atol=1e-9)
    np.testing.assert_allclose(off[4:7], 0, atol=1e-12)
    assert np.isnan(off[7])
    np.testing.assert_allclose(noise[:3], 0.02)
    np.testing.assert_allclose(noise[3], 0.02 * np.sqrt(4 / 3))


def test_values_that_do_not_count_deviate_from_the_mean_of_the_others() -> None:
    rng = np.random.default_rng(3)
    key = np.repeat(np.arange(5000), 5)
    cloudy = np.arange(key.size) % 5 == 0
    noise = np.full(key.size, 2.0)
    values = 50.0 * key + rng.normal(0, 2.0, key.size) + cloudy * rng.normal(0, 30.0, key.size)
    off, sigma = about_mean(key, values, noise, ~cloudy)
    assert excess(off[cloudy], sigma[cloudy]) == pytest.approx(30.0, rel=0.04)
    np.testing.assert_allclose(sigma[cloudy], 2 * np.sqrt(1.25))
    # What clouds do is not carried into the others.
    assert width(off[~cloudy]) == pytest.approx(2.0, rel=0.03)


def test_few_values_have_no_deviation() -> None:
    key = np.array([0, 0, 1, 1, 1])
    off, noise = about_mean(key, np.arange(5.0), np.ones(5))
    assert np.isnan(off[:2]).all()
    assert np.isfinite(off[2:]).all()
    assert np.isnan(noise[:2]).all()
    nothing, _ = about_mean(key, np.full(5, np.nan), np.ones(5))
    assert np.isnan(nothing).all()


def test_noise_alone_leaves_no_scatter_however_unequal() -> None:
    rng = np.random.default_rng(5)
    noise = np.where(rng.uniform(size=40_000) < 0.5, 1.0, 10.0)
    off = rng.normal(0, noise)
    assert excess(off, noise) < 0.2
    assert noise_width(noise) == pytest.approx(width(off), rel=0.03)
    assert noise_width(noise) < 0.5 * np.sqrt(np.mean(noise**2))
    assert noise_width(np.full(4, 3.0)) == pytest.approx(3.0, rel=1e-5)
