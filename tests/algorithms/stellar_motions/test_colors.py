"""Colours that fluxes tell, directly or along the sequence of stars."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.stellar_motions.colors import star_colors
from drpflow.config.fit_stellar_motions import StarColorConfig

CONFIG = StarColorConfig()
BLUE, RED, MIDDLE = 0, 1, 2
"""g, i and r: bands come in the order of the alphabet."""


def field(n: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return colours g - i, fluxes in g, i, r and errors of 1 %."""
    rng = np.random.default_rng(4)
    color = np.where(rng.random(n) < 0.45, rng.normal(1.9, 0.3, n), rng.normal(0.6, 0.2, n))
    mag_r = rng.uniform(18, 22, n)
    mag_g, mag_i = mag_r + 0.7 * color, mag_r - 0.3 * color
    flux = 10 ** (-0.4 * (np.stack([mag_g, mag_i, mag_r], axis=1) - 31.4))
    return color, flux, 0.01 * flux


def test_measured_colors_are_kept_with_their_errors() -> None:
    color, flux, error = field()
    found = star_colors(flux, error, (BLUE, RED), CONFIG)
    np.testing.assert_allclose(found.color, color, atol=1e-9)
    expected = np.hypot(2.5 / np.log(10) * 0.01, CONFIG.floor_mag) * np.sqrt(2)
    np.testing.assert_allclose(found.error, expected)
    assert found.known.all()


@pytest.mark.parametrize("band", [BLUE, RED])
def test_another_color_tells_the_missing_one(band: int) -> None:
    """Within its errors, also for red and blue stars apart."""
    color, flux, error = field()
    flux[::10, band] = np.nan
    found = star_colors(flux, error, (BLUE, RED), CONFIG)
    off = (found.color - color)[::10]
    assert found.known[::10].all()
    assert np.abs(off).max() < 0.4
    for which in (color[::10] < 1.2, color[::10] >= 1.2):
        assert abs(np.median(off[which])) < 0.05
    assert (np.abs(off) < 3 * found.error[::10]).mean() > 0.97


def test_a_single_band_tells_nothing_but_what_is_usual() -> None:
    color, flux, error = field()
    flux[:5, [BLUE, MIDDLE]] = np.nan
    found = star_colors(flux, error, (BLUE, RED), CONFIG)
    assert not found.known[:5].any()
    np.testing.assert_allclose(found.color[:5], np.median(color[5:]), atol=0.02)
    low, high = np.percentile(color, (15.87, 84.13))
    np.testing.assert_allclose(found.error[:5], (high - low) / 2, rtol=0.05)


def test_poor_colors_are_not_taken_as_they_are() -> None:
    _, flux, error = field()
    error[0] = 0.5 * flux[0]
    assert not star_colors(flux, error, (BLUE, RED), CONFIG).known[0]


def test_without_any_color_something_is_expected() -> None:
    flux = np.full((3, 2), np.nan)
    found = star_colors(flux, flux, (0, 1), CONFIG)
    assert np.isfinite(found.color).all()
    assert (found.error > 0.3).all()
    assert not found.known.any()
