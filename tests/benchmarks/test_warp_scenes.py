"""The scenes of the benchmark of resampling measure what they draw."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy_warp import noise
from warp_scenes import Resampled, by_drpflow, draw_stars, header, measure

from drpflow.data.sky_wcs import SkyWcs

SIZE = 300


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return draw_stars(SIZE, 4.0, 60, np.random.default_rng(1))


def test_measuring_finds_what_was_drawn() -> None:
    image, x, y, flux = drawn()
    made = Resampled(image, image, (0, 0), SkyWcs.from_fits_header(header(SIZE)), 0.0)
    found = measure(made, x + 0.2, y - 0.1, 4.0)
    np.testing.assert_allclose(found[0], x, atol=1e-4)
    np.testing.assert_allclose(found[1], y, atol=1e-4)
    np.testing.assert_allclose(found[2], flux, rtol=1e-5)


def test_a_shifted_grid_would_be_seen() -> None:
    image, x, y, _ = drawn()
    made = by_drpflow(image, np.ones_like(image), 4.0)
    wcs = SkyWcs.from_fits_header(header(SIZE))
    u, v = made.wcs.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))
    off = np.hypot(*np.subtract(measure(made, u, v, 4.0)[:2], (u, v)))
    assert off.max() < 0.005
    shifted = Resampled(made.image, made.variance, (made.xy0[0] + 1, made.xy0[1]), made.wcs, 0.0)
    assert np.hypot(*np.subtract(measure(shifted, u, v, 4.0)[:2], (u, v))).min() > 0.9


def test_noise_ratios_tell_white_from_correlated() -> None:
    def smoothed(image: np.ndarray, variance: np.ndarray) -> Resampled:
        mean = (image + np.roll(image, 1, axis=1)) / np.sqrt(2)
        return Resampled(mean, variance, (0, 0), SkyWcs.from_fits_header(header(SIZE)), 0.0)

    ratios = noise(smoothed, 600)
    assert ratios["pixel"].mean() == pytest.approx(1.0, abs=0.02)
    assert ratios["psf"].mean() == pytest.approx(1 + np.exp(-1 / (4 * 1.8**2)), rel=0.06)
