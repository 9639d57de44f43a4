"""Pairs that have one maximum are found out, and galaxies are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.close_pairs import split_close_pairs
from drpflow.algorithms.deblend import deblend
from drpflow.config.deblend import ClosePairConfig, DeblendConfig
from drpflow.data.footprints import Footprints
from drpflow.data.psf import GaussianPsf
from tests.algorithms.gaussian_fields import SKY_ELECTRON, find_footprints, gaussian, stars_at

SIGMA, SIZE = 1.8, 240
FWHM = 2.355 * SIGMA
PSF = GaussianPsf(SIGMA)
STEP = 48
NODES = [(x, y) for x in range(30, SIZE - 20, STEP) for y in range(30, SIZE - 20, STEP)]


def observed_pairs(
    separation: float, ratio: float, flux: float = 3e4
) -> tuple[np.ndarray, np.ndarray, Footprints, np.ndarray]:
    """Pairs in all directions: image, variance, footprints, and (x, y, flux) of the stars."""
    rng = np.random.default_rng(7)
    stars = []
    for k, (x, y) in enumerate(NODES):
        angle = 0.37 * k
        x2 = x + separation * FWHM * np.cos(angle)
        stars += [(x, y, flux), (x2, y + separation * FWHM * np.sin(angle), ratio * flux)]
    field = stars_at(SIZE, SIGMA, stars)
    image, variance = field.observe(field.light, rng)
    return image, variance, find_footprints(image, SIGMA), np.array(stars)


def split(image: np.ndarray, variance: np.ndarray, found: Footprints, **rules: float) -> Footprints:
    config = DeblendConfig(close_pairs=ClosePairConfig(**rules))  # type: ignore[arg-type]
    bad = np.zeros(image.shape, bool)
    return split_close_pairs(image, variance, bad, found, PSF, config)


@pytest.mark.parametrize("ratio", [1.0, 0.4])
def test_pairs_at_one_fwhm_become_two_peaks(ratio: float) -> None:
    image, variance, found, stars = observed_pairs(1.0, ratio)
    assert found.peak_x.size == len(NODES)
    parted = split(image, variance, found)
    assert parted.n_peaks().tolist() == [2] * len(NODES)
    for x, y, _ in stars:
        assert np.hypot(parted.peak_x - x, parted.peak_y - y).min() < 0.4
    np.testing.assert_array_equal(parted.span_y, found.span_y)
    sums = parted.peak_significance.reshape(-1, 2).sum(axis=1)
    np.testing.assert_allclose(sums, found.peak_significance, rtol=1e-5)


def test_fluxes_of_separated_pairs_are_right() -> None:
    image, variance, found, stars = observed_pairs(1.0, 0.6)
    parts = deblend(image, variance, np.zeros(image.shape, bool), found, PSF, DeblendConfig())
    assert len(parts.children) == len(stars)
    assert parts.is_point.all()
    errors = []
    for row in range(len(parts.children)):
        own = np.zeros(image.shape, np.float32)
        parts.children.add_to(own, row)
        x, y = parts.children.peak_x[row], parts.children.peak_y[row]
        phi = gaussian(SIZE, x, y, SIGMA, 1.0)
        truth = stars[np.argmin(np.hypot(stars[:, 0] - x, stars[:, 1] - y)), 2]
        errors.append((phi * own).sum() / np.square(phi).sum() / truth - 1)
    assert abs(np.mean(errors)) < 0.005
    assert np.std(errors) < 0.03


def test_single_stars_stay_single() -> None:
    rng = np.random.default_rng(2)
    field = stars_at(SIZE, SIGMA, [(x + 0.3, y + 0.2, 1e5) for x, y in NODES])
    image, variance = field.observe(field.light, rng)
    found = find_footprints(image, SIGMA)
    assert split(image, variance, found) is found


def test_an_edge_on_galaxy_stays_whole() -> None:
    """An exponential profile along its axis, as thin as the PSF across."""
    rng = np.random.default_rng(3)
    light = np.zeros((SIZE, SIZE))
    for k, (x, y) in enumerate(NODES):
        angle = 0.37 * k
        for s in np.linspace(-12, 12, 49):
            weight = np.exp(-abs(s) / 2.5)
            light += gaussian(SIZE, x + s * np.cos(angle), y + s * np.sin(angle), SIGMA, weight)
    light *= 6e4 / light.sum() * len(NODES)
    variance = (light + SKY_ELECTRON).astype(np.float32)
    image = (light + rng.normal(size=light.shape) * np.sqrt(variance)).astype(np.float32)
    found = find_footprints(image, SIGMA)
    parted = split(image, variance, found)
    assert (parted.n_peaks() > found.n_peaks()).mean() < 0.05


def test_faint_peaks_and_those_not_wanted_are_left() -> None:
    image, variance, found, _ = observed_pairs(1.0, 1.0, flux=600.0)
    assert split(image, variance, found) is found
    image, variance, found, _ = observed_pairs(1.0, 1.0)
    assert split(image, variance, found, enabled=False) is found


def test_no_footprints() -> None:
    image = np.ones((20, 20), np.float32)
    none = Footprints.empty()
    assert split(image, image, none) is none
