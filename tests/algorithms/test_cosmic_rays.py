"""Cosmic rays are found, stars are not."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.cosmic_rays import find_cosmic_rays, neighbour_ratios
from drpflow.config.cosmic_rays import CosmicRayConfig
from drpflow.data.psf import GaussianPsf
from drpflow.errors import AlgorithmError
from tests.algorithms.gaussian_fields import SKY_ELECTRON, gaussian, star_field, stars_at

CONFIG = CosmicRayConfig()
NONE = np.zeros((300, 300), bool)


@pytest.mark.parametrize("sigma", [0.77, 1.3, 2.0, 4.3])
def test_stars_of_all_widths_and_fluxes_are_kept(sigma: float) -> None:
    rng = np.random.default_rng(1)
    field = star_field(300, 120, sigma, rng, log_flux=(3, 5.7))
    image, variance = field.observe(field.light, rng)
    hit = find_cosmic_rays(image, variance, NONE, GaussianPsf(sigma), CONFIG)
    assert hit.sum() <= 1


@pytest.mark.parametrize("factor", [0.8, 1.05])
def test_a_psf_that_is_a_little_wrong_does_no_harm(factor: float) -> None:
    rng = np.random.default_rng(2)
    field = star_field(300, 100, 1.8, rng, log_flux=(3, 5.7))
    image, variance = field.observe(field.light, rng)
    hit = find_cosmic_rays(image, variance, NONE, GaussianPsf(1.8 * factor), CONFIG)
    assert hit.sum() <= 2


# With a FWHM of 1.8 pixels stars are hardly wider than the tracks here, of rms 0.5 pixel.
@pytest.mark.parametrize(("sigma", "part"), [(0.77, 0.9), (1.8, 0.98), (4.3, 0.98)])
def test_tracks_of_all_directions_are_found_whole(sigma: float, part: float) -> None:
    rng = np.random.default_rng(3)
    field = star_field(300, 20, sigma, rng)
    charge = np.zeros((300, 300))
    for x0, y0, angle in zip(*rng.uniform(30, 270, (2, 40)), rng.uniform(0, 6.3, 40), strict=True):
        for step in np.arange(0, rng.uniform(1, 25), 0.25):
            x, y = x0 + step * np.cos(angle), y0 + step * np.sin(angle)
            charge += gaussian(300, x, y, 0.5, 250.0)
    image, variance = field.observe(field.light, rng)
    noise = np.sqrt(variance)
    hit = find_cosmic_rays(
        image + charge.astype(np.float32), variance + charge.astype(np.float32), NONE,
        GaussianPsf(sigma), CONFIG,
    )  # fmt: skip
    strong = charge > 10 * noise
    assert strong.sum() > 500
    assert hit[strong].mean() > part
    # Noise beside a track is taken along now and then, noise elsewhere hardly ever.
    assert hit[charge < 0.5 * noise].sum() < 0.08 * hit.sum()


def test_a_ray_on_the_flank_of_a_star_is_found_and_the_star_kept() -> None:
    field = stars_at(300, 2.0, [(150.3, 149.8, 2e5)])
    image, variance = field.observe(field.light, np.random.default_rng(4))
    image[152, 152] += 6000
    image[152, 153] += 3000
    hit = find_cosmic_rays(image, variance, NONE, GaussianPsf(2.0), CONFIG)
    assert hit[152, 152]
    assert hit[152, 153]
    assert not hit[149:151, 149:152].any()
    assert hit.sum() <= 4


def test_bad_pixels_are_neither_found_nor_believed() -> None:
    field = stars_at(300, 2.0, [(150.3, 149.8, 2e5)])
    image, variance = field.observe(field.light, np.random.default_rng(5))
    bad = NONE.copy()
    bad[:, 152] = bad[149, 149] = True
    image[bad] = -1e4
    image[0, 0] = image[150, 152] = np.nan
    bad[0, 0] = True
    image[20, 152] = 1e5
    assert not find_cosmic_rays(image, variance, bad, GaussianPsf(2.0), CONFIG).any()


def test_hits_at_the_edge_and_in_the_corner_are_found() -> None:
    rng = np.random.default_rng(6)
    image = rng.normal(0, 20, (100, 120)).astype(np.float32)
    variance = np.full_like(image, SKY_ELECTRON)
    for place in [(0, 50), (99, 60), (40, 0), (41, 119)]:
        image[place] += 1000
    hit = find_cosmic_rays(image, variance, np.zeros(image.shape, bool), GaussianPsf(2), CONFIG)
    assert [hit[p] for p in [(0, 50), (99, 60), (40, 0), (41, 119)]] == [True] * 4


def test_a_psf_far_too_broad_is_an_error() -> None:
    rng = np.random.default_rng(7)
    field = star_field(200, 800, 1.2, rng, log_flux=(4.5, 5))
    image, variance = field.observe(field.light, rng)
    with pytest.raises(AlgorithmError, match="sharper than the PSF"):
        find_cosmic_rays(image, variance, NONE[:200, :200], GaussianPsf(4), CONFIG)


def test_the_result_turns_with_the_image() -> None:
    rng = np.random.default_rng(8)
    image = rng.normal(0, 20, (64, 64)).astype(np.float32)
    image[rng.integers(0, 64, 40), rng.integers(0, 64, 40)] += 300
    image[10, 10:30] += 500
    variance, bad = np.full_like(image, SKY_ELECTRON), np.zeros(image.shape, bool)

    def find(turned: np.ndarray) -> np.ndarray:
        return find_cosmic_rays(np.ascontiguousarray(turned), variance, bad, GaussianPsf(2), CONFIG)

    hit = find(image)
    assert hit.sum() > 50
    np.testing.assert_array_equal(find(image.T), hit.T)
    np.testing.assert_array_equal(find(image[::-1]), hit[::-1])


def test_ratios_of_a_gaussian() -> None:
    ratios = neighbour_ratios(GaussianPsf(1.5), (300, 700), 256)
    assert ratios.shape == (2, 3, 4)
    side, diagonal = np.exp(-0.5 / 1.5**2), np.exp(-1 / 1.5**2)
    np.testing.assert_allclose(ratios, np.broadcast_to([side, side, diagonal, diagonal], (2, 3, 4)))
