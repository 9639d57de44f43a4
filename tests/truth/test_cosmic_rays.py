"""Cosmic rays drawn particle by particle are found; the cores of stars are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from drpflow.algorithms.cosmic_rays import find_cosmic_rays
from drpflow.config.cosmic_rays import CosmicRayConfig
from drpflow.data.psf import GaussianPsf
from drpflow.sim.cosmic_rays import hit_image
from drpflow.sim.detector_config import CosmicRays
from tests.algorithms.gaussian_fields import SKY_ELECTRON, gaussian

SIZE = 500


@pytest.mark.parametrize("fwhm_pix", [2.5, 4.5])
def test_completeness_and_false_rate(fwhm_pix: float) -> None:
    rng = np.random.default_rng(1)
    sigma, light = fwhm_pix / 2.355, np.zeros((SIZE, SIZE))
    places = rng.uniform(5, SIZE - 5, (150, 2))
    for (x, y), flux in zip(places, 10 ** rng.uniform(3, 5.5, 150), strict=True):
        light += gaussian(SIZE, x, y, sigma, flux)
    charge, number = hit_image(CosmicRays(rate_cm2_s=1), light.shape, 10.0, 300.0, rng)
    assert number > 50
    # The PSF is a tenth too narrow, as a first guess may be.
    expected = light + SKY_ELECTRON
    noise = np.sqrt(expected)
    image = (light + charge + rng.normal(0, noise)).astype(np.float32)
    variance = (expected + charge).astype(np.float32)
    none = np.zeros(image.shape, bool)
    hit = find_cosmic_rays(image, variance, none, GaussianPsf(0.9 * sigma), CosmicRayConfig())

    strong = charge > 10 * noise
    assert hit[strong].mean() > 0.95
    y, x = np.mgrid[:SIZE, :SIZE]
    core = np.zeros(image.shape, bool)
    for x0, y0 in places:
        core |= np.hypot(x - x0, y - y0) < fwhm_pix / 2
    core &= ~ndimage.binary_dilation(charge > 0, iterations=2)
    assert core.sum() > 400
    assert hit[core].mean() <= 0.001
    elsewhere = ~ndimage.binary_dilation(charge > 0, iterations=2)
    assert hit[elsewhere].mean() < 1e-4
