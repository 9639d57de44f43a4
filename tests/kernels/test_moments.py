"""Adaptive moments against a numpy twin, GalSim's HSM, and many realisations of the noise."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from drpflow.algorithms.measurement.shapes import weighted_kurtosis
from drpflow.data.psf_moments import adaptive_moments
from drpflow.kernels import moments as k
from drpflow.kernels.stamps import Scene


def elliptical(
    shape: tuple[int, int], x: float, y: float, cov: tuple[float, float, float]
) -> np.ndarray:
    xx, yy, xy = cov
    v, u = np.mgrid[: shape[0], : shape[1]]
    det = xx * yy - xy * xy
    dx, dy = u - x, v - y
    rho2 = (yy * dx**2 + xx * dy**2 - 2 * xy * dx * dy) / det
    return np.exp(-rho2 / 2) / (2 * np.pi * np.sqrt(det))


def bare_scene(image: np.ndarray, variance: float) -> Scene:
    none, ends = np.zeros(0, np.int32), np.zeros(2, np.int64)
    image = image.astype(np.float32)
    full = np.full(image.shape, variance, np.float32)
    excluded = np.zeros(image.shape, bool)
    return Scene(image, full, excluded, none, none, none, ends, none.astype(np.float32), ends)


def run(stamp: np.ndarray, x: float, y: float, sigma: float) -> tuple[bool, np.ndarray]:
    state, sums = np.full(5, np.nan), np.empty(k.N_SUMS)
    good = k.adaptive_moments(stamp, x, y, sigma, 3.0, 100, 1e-8, state, sums)
    return good, state


def test_weighted_sums_equal_numpy() -> None:
    rng = np.random.default_rng(1)
    stamp = rng.normal(size=(31, 33))
    x, y, xx, yy, xy = 15.3, 14.8, 4.0, 3.0, 1.0
    sums = np.empty(k.N_SUMS)
    assert k.weighted_sums(stamp, x, y, xx, yy, xy, sums)
    w = elliptical(stamp.shape, x, y, (xx, yy, xy))
    w /= elliptical((1, 1), 0.0, 0.0, (xx, yy, xy))[0, 0]
    w[w < np.exp(-12.5)] = 0
    v, u = np.mgrid[:31, :33]
    dx, dy = u - x, v - y
    terms = [1, dx, dy, dx * dx, dy * dy, dx * dy]
    want = [(w * stamp * t).sum() for t in terms] + [(w * w).sum(), w.sum()]
    np.testing.assert_allclose(sums, want, rtol=1e-10, atol=1e-10)


def test_pixels_without_value_are_noticed() -> None:
    sums = np.empty(k.N_SUMS)
    for missing, complete in (((10, 12), False), ((10, 20), True)):
        stamp = np.ones((21, 21))
        stamp[missing] = np.nan
        assert k.weighted_sums(stamp, 10.0, 10.0, 4.0, 4.0, 0.0, sums) is complete
    assert not k.weighted_sums(np.ones((21, 21)), 2.0, 10.0, 4.0, 4.0, 0.0, sums)


def test_gaussian_is_found_exactly() -> None:
    want = (17.3, 16.6, 4.1, 2.6, -0.9)
    good, state = run(elliptical((35, 35), *want[:2], want[2:]), 17.0, 17.0, 1.2)
    assert good
    np.testing.assert_allclose(state, want, atol=2e-5)


def test_without_noise_equals_the_moments_of_psf_models() -> None:
    image = galsim.Moffat(beta=2.8, fwhm=4.0).shear(g1=0.2, g2=-0.1)
    stamp = image.drawImage(nx=61, ny=61, scale=1.0).array.astype(float)
    good, state = run(stamp, 30.4, 29.7, 2.5)
    moments, x, y = adaptive_moments(stamp)
    assert good
    np.testing.assert_allclose(state, [30 + x, 30 + y, *moments], rtol=1e-5)
    stacked = np.empty((1, 5))
    k.stack_moments(stamp[None], np.array([30.4]), np.array([29.7]), 2.5, stacked)
    np.testing.assert_allclose(stacked[0], state, rtol=1e-5)


@pytest.mark.parametrize("snr", [20, 200])
def test_parity_with_galsim(snr: float) -> None:
    rng = np.random.default_rng(5)
    profile = galsim.Convolve(
        galsim.Exponential(half_light_radius=1.5).shear(g1=0.15, g2=0.1), galsim.Moffat(3, fwhm=3)
    )
    clean = profile.drawImage(nx=51, ny=51, scale=1.0).array.astype(float)
    noise = np.sqrt((clean**2).sum()) / snr
    for _ in range(10):
        stamp = clean + rng.normal(0, noise, clean.shape)
        found = galsim.Image(stamp, xmin=0, ymin=0).FindAdaptiveMom(guess_sig=2.0)
        good, (x, y, xx, yy, xy) = run(stamp, 25.0, 25.0, 2.0)
        assert good
        assert (xx * yy - xy**2) ** 0.25 == pytest.approx(found.moments_sigma, rel=2e-4)
        assert (xx - yy) / (xx + yy) == pytest.approx(found.observed_shape.e1, abs=2e-4)
        assert 2 * xy / (xx + yy) == pytest.approx(found.observed_shape.e2, abs=2e-4)
        assert x == pytest.approx(found.moments_centroid.x, abs=1e-3)
        assert y == pytest.approx(found.moments_centroid.y, abs=1e-3)


@pytest.mark.parametrize("beta", [np.inf, 3.0])
def test_errors_are_the_scatter_over_noise(beta: float) -> None:
    """Also for wings, and of the flux with its shape free."""
    rng = np.random.default_rng(7)
    profile = galsim.Gaussian(sigma=1.9) if np.isinf(beta) else galsim.Moffat(beta, fwhm=4.0)
    profile = (profile * 4000).shear(g1=0.1, g2=0.05).shift(0.2, -0.1)
    clean = profile.drawImage(nx=41, ny=41, scale=1.0).array.astype(float)
    kurtosis = weighted_kurtosis(clean)
    assert kurtosis == pytest.approx(2.0, abs=0.01) if np.isinf(beta) else 2.05 < kurtosis < 2.4
    n, sigma = 600, 3.0
    found, good = np.empty((1, 13)), np.empty(1, bool)
    all_found = np.empty((n, 13))
    at = np.array([20.0]), np.array([20.0]), np.array([2.0])
    limits = np.array([3.0, 1e-6, kurtosis])
    for i in range(n):
        scene = bare_scene(clean + rng.normal(0, sigma, clean.shape), sigma**2)
        k.measure_moments(scene, np.zeros(1, np.int64), *at, 20, limits, 100, found, good)
        assert good[0]
        all_found[i] = found[0]
    widths = all_found[:, :6].std(axis=0)
    quoted = np.sqrt(np.median(all_found[:, [6, 7, 9, 10, 11, 12]], axis=0))
    np.testing.assert_allclose(widths / quoted, 1, atol=0.1)
    state = run(clean, 20.0, 20.0, 2.0)[1]
    mean = all_found[:, :5].mean(axis=0)
    assert (np.abs(mean - state) < 5 * widths[:5] / np.sqrt(n) + 0.01).all()


def test_noise_alone_fails_or_stays_in_bounds() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        good, state = run(rng.normal(size=(41, 41)), 20.0, 20.0, 2.0)
        if good:
            assert np.hypot(state[0] - 20, state[1] - 20) <= 3
            assert max(state[2], state[3]) <= (41 / 6) ** 2
    assert not run(-elliptical((41, 41), 20, 20, (4, 4, 0)), 20.0, 20.0, 2.0)[0]
    assert not run(np.full((41, 41), np.nan), 20.0, 20.0, 2.0)[0]
