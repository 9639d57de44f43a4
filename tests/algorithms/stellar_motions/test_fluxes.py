"""Mean fluxes where only what exceeds a limit was found."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.stellar_motions.fluxes import flux_ratio, mean_fluxes

THRESHOLD, SCATTER = 5.0, 1e-6


def found(true_snr: float, n_star: int, n_visit: int) -> tuple[np.ndarray, ...]:
    """Return star and flux of the visits that show stars of a significance (errors are 1)."""
    rng = np.random.default_rng(int(100 * true_snr))
    flux = true_snr + rng.normal(size=(n_star, n_visit))
    star, visit = np.nonzero(flux > THRESHOLD)
    return star, flux[star, visit], np.ones(star.size)


@pytest.mark.parametrize("true_snr", [5.3, 6.0, 7.0, 12.0])
def test_stars_near_the_limit_are_as_bright_as_they_are(true_snr: float) -> None:
    """Plain means are too large by up to 0.5 standard deviations; these are not, on average."""
    star, flux, error = found(true_snr, 3000, 30)
    mean, _ = mean_fluxes(star, 3000, flux, error, THRESHOLD, SCATTER)
    plain = np.bincount(star, flux) / np.bincount(star)
    assert np.mean(mean) == pytest.approx(true_snr, abs=0.05)
    if true_snr < 7:
        assert np.mean(plain) > true_snr + 0.2


def test_errors_are_those_of_the_scatter() -> None:
    star, flux, error = found(6.5, 3000, 30)
    mean, sigma = mean_fluxes(star, 3000, flux, error, THRESHOLD, SCATTER)
    assert ((mean - 6.5) / sigma).std() == pytest.approx(1.0, abs=0.08)


def test_bright_stars_have_the_weighted_mean() -> None:
    flux, error = np.array([100.0, 104.0, 50.0]), np.array([1.0, 2.0, 1.0])
    mean, sigma = mean_fluxes(np.array([0, 0, 2]), 3, flux, error, THRESHOLD, SCATTER)
    np.testing.assert_allclose(mean[[0, 2]], [100.8, 50.0], rtol=1e-6)
    assert sigma[0] == pytest.approx(np.sqrt(0.8), rel=1e-3)
    assert np.isnan(mean[1])


def test_what_is_not_known_does_not_count() -> None:
    flux = np.array([10.0, np.nan, 12.0, 10.0])
    error = np.array([1.0, 1.0, np.nan, 0.0])
    mean, _ = mean_fluxes(np.zeros(4, int), 1, flux, error, THRESHOLD, SCATTER)
    assert mean[0] == pytest.approx(10.0, abs=0.01)


def test_faint_sources_are_as_bright_as_the_mean_and_bright_ones_as_measured() -> None:
    flux = np.array([7.5, 1000.0, 50.0])
    ratio = flux_ratio(flux, np.ones(3), np.array([6.0, 1200.0, np.nan]), 0.05)
    assert ratio[0] == pytest.approx(7.5 / 6.0, rel=0.03)
    assert ratio[1] == pytest.approx(1.0, abs=1e-3)
    assert ratio[2] == 1.0
