"""Scores of matched stars: those that are the target, and those off by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy_psf_match import FLUX, Scores, stars_against, total_fluxes

from drpflow.data.double_gaussian_psf import DoubleGaussianPsf

SIZE = 420
PLACES = np.array([[100.3, 120.8], [300.5, 110.2], [200.0, 299.6]])
TARGET = DoubleGaussianPsf(2.0)


def field(psf: DoubleGaussianPsf, flux: float = FLUX) -> np.ndarray:
    """An image of stars."""
    image = np.zeros((SIZE, SIZE), np.float32)
    for x, y in PLACES:
        stamp, box = psf.compute_image(x, y)
        image[box.slices()] += flux * stamp
    return image


def score(image: np.ndarray) -> Scores:
    return stars_against(image, total_fluxes(field(TARGET), PLACES), PLACES, TARGET)


def test_stars_that_are_the_target() -> None:
    found = score(field(TARGET))
    for values in (found.size, found.ellipticity, found.profile, found.flux_mmag):
        assert np.abs(values).max() < 2e-5


def test_stars_that_are_wider_and_brighter() -> None:
    found = score(field(DoubleGaussianPsf(2.02), 1.01 * FLUX))
    np.testing.assert_allclose(found.size, 0.01, atol=5e-4)
    np.testing.assert_allclose(found.flux_mmag, 2500 * np.log10(1.01), atol=0.05)
    # The peak of a star of unit flux falls as 1/σ².
    np.testing.assert_allclose(found.profile, 0.02, atol=2e-3)
    assert found.ellipticity.max() < 1e-4
    assert found.row().startswith("1.0")


def test_a_stretched_star_has_its_ellipticity() -> None:
    image = np.zeros((SIZE, SIZE), np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    for px, py in PLACES:
        d2 = ((x - px) / 1.02) ** 2 + ((y - py) * 1.02) ** 2
        image += FLUX * np.exp(-d2 / 2 / 4) + 0.1 * FLUX * np.exp(-d2 / 2 / 25)
    found = score(image)
    expected = (1.02**2 - 1.02**-2) / (1.02**2 + 1.02**-2)
    assert found.ellipticity == pytest.approx(expected, rel=0.01)
