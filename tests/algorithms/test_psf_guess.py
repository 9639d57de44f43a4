"""The first guess of the width of the PSF."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.psf_guess import guess_psf_sigma
from drpflow.config.cosmic_rays import PsfGuessConfig
from tests.algorithms.gaussian_fields import star_field


@pytest.mark.parametrize("sigma", [0.77, 1.8, 4.2])
def test_the_width_is_found_among_galaxies_and_cosmic_rays(sigma: float) -> None:
    rng = np.random.default_rng(1)
    field = star_field(400, 60, sigma, rng, log_flux=(3.8, 5))
    light, y, x = field.light.copy(), *np.mgrid[:400, :400]
    for x0, y0, wide in zip(*rng.uniform(20, 380, (2, 20)), rng.uniform(1.3, 3, 20), strict=True):
        light += 500 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / (wide * sigma) ** 2)
    image, variance = field.observe(light, rng)
    for x0, y0 in rng.integers(20, 380, (60, 2)):
        image[y0, x0 - 1 : x0 + 2] += np.float32([300, 2000, 400])
        image[y0 + 1, x0] += 300
    bad = np.zeros(image.shape, bool)
    found = guess_psf_sigma(image, variance, bad, PsfGuessConfig())
    assert found == pytest.approx(sigma, rel=0.06)


def test_without_peaks_there_is_no_guess() -> None:
    image = np.random.default_rng(2).normal(0, 10, (100, 100)).astype(np.float32)
    variance, bad = np.full_like(image, 100), np.zeros(image.shape, bool)
    assert guess_psf_sigma(image, variance, bad, PsfGuessConfig()) is None
