"""The light of blends is divided, all of it, and to the right sources."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.algorithms.deblend import Deblended, deblend
from drpflow.config.deblend import DeblendConfig
from drpflow.data.footprints import Footprints
from drpflow.data.psf import GaussianPsf
from tests.algorithms.gaussian_fields import (
    SKY_ELECTRON,
    StarField,
    find_footprints,
    gaussian,
    star_field,
    stars_at,
)

SIGMA = 1.8
PSF = GaussianPsf(SIGMA)
CONFIG = DeblendConfig()


def divide(
    image: np.ndarray, variance: np.ndarray, footprints: Footprints, **config: float
) -> Deblended:
    bad = np.zeros(image.shape, bool)
    return deblend(image, variance, bad, footprints, PSF, DeblendConfig(**config))  # type: ignore[arg-type]


def whole_image(size: int, peaks: list[tuple[float, float]]) -> Footprints:
    """One footprint of everything but a border, with the peaks given in order."""
    labels = np.zeros((size, size), np.int32)
    labels[2:-2, 2:-2] = 1
    x, y = np.array(peaks, float).T
    return Footprints.from_labels(labels, x, y, np.arange(x.size, 0, -1))


def sum_of_children(found: Deblended, shape: tuple[int, int]) -> np.ndarray:
    total = np.zeros(shape)
    np.add.at(total, found.children.footprints.pixels(), found.children.values)
    return total


def own_image(found: Deblended, row: int, shape: tuple[int, int]) -> np.ndarray:
    image = np.zeros(shape, np.float32)
    found.children.add_to(image, row)
    return image


def check_conserved(found: Deblended, image: np.ndarray, footprints: Footprints) -> None:
    inside = footprints.labels(image.shape) > 0
    total = sum_of_children(found, image.shape)
    np.testing.assert_allclose(total[inside], image[inside], rtol=1e-5, atol=1e-2)
    assert not total[~inside].any()


def test_single_peaks_keep_their_pixels() -> None:
    rng = np.random.default_rng(1)
    field = stars_at(80, SIGMA, [(20, 20, 3e4), (60, 55, 2e4)])
    image, variance = field.observe(field.light, rng)
    footprints = find_footprints(image, SIGMA)
    found = divide(image, variance, footprints)
    assert len(found.children) == 2
    np.testing.assert_array_equal(found.children.values, image[footprints.pixels()])
    np.testing.assert_array_equal(found.parent, [0, 1])
    assert not found.is_point.any()
    assert not found.blendedness.any()
    assert found.n_dropped == 0


def test_no_footprints_give_no_sources() -> None:
    image = np.ones((20, 20), np.float32)
    assert len(divide(image, image, Footprints.empty()).children) == 0


@pytest.mark.parametrize("distance_pix", [5.0, 7.5])
def test_two_stars_get_their_fluxes(distance_pix: float) -> None:
    stars = [(40.2, 40.1, 60000.0), (40.2 + distance_pix, 39.6, 12000.0)]
    field = stars_at(80, SIGMA, stars)
    image, variance = field.observe(field.light, np.random.default_rng(2))
    footprints = whole_image(80, [(40, 40), (round(40.2 + distance_pix), 40)])
    found = divide(image, variance, footprints)
    check_conserved(found, image, footprints)
    assert found.is_point.all()
    assert found.n_peaks.tolist() == [2, 2]
    for k, (x, y, flux) in enumerate(stars):
        template = gaussian(80, x, y, SIGMA, 1.0)
        own = (own_image(found, k, image.shape) * template).sum() / (template**2).sum()
        noise = np.sqrt(SKY_ELECTRON * 4 * np.pi * SIGMA**2 + flux)
        assert abs(own - flux) < 3.5 * noise
        assert found.children.peak_x[k] == pytest.approx(x, abs=0.15)
        assert found.children.peak_y[k] == pytest.approx(y, abs=0.15)
    assert found.blendedness[1] > found.blendedness[0]
    assert found.blendedness[0] < 0.1


def test_a_galaxy_is_no_point_and_the_star_beside_it_is() -> None:
    star = gaussian(100, 58.3, 50.2, SIGMA, 30000.0)
    y, x = np.mgrid[:100, :100]
    shape = np.exp(-0.5 * (((x - 45) / 6) ** 2 + ((y - 48) / 3.5) ** 2))
    galaxy = 1e5 * shape / shape.sum()
    field = StarField(SIGMA, np.zeros(0), np.zeros(0), np.zeros(0), star + galaxy)
    image, variance = field.observe(field.light, np.random.default_rng(3))
    found = divide(image, variance, whole_image(100, [(45, 48), (58, 50)]))
    assert found.is_point.tolist() == [False, True]
    sums = [own_image(found, k, image.shape)[20:80, 20:80].sum() for k in (0, 1)]
    # Noise of 60 x 60 pixels of sky: 1200 electrons.
    assert sums[0] == pytest.approx(1e5, abs=5000)
    template = gaussian(100, 58.3, 50.2, SIGMA, 1.0)
    flux = (own_image(found, 1, image.shape) * template).sum() / (template**2).sum()
    assert flux == pytest.approx(30000, rel=0.04)


def test_crowded_field_in_bounded_time() -> None:
    rng = np.random.default_rng(4)
    field = star_field(400, 900, SIGMA, rng)
    image, variance = field.observe(field.light, rng)
    footprints = find_footprints(image, SIGMA)
    assert footprints.n_peaks().max() > 200
    divide(image[:50, :50].copy(), variance[:50, :50].copy(), whole_image(50, [(9, 9), (30, 9)]))
    start = time.process_time()
    found = divide(image, variance, footprints)
    assert time.process_time() - start < 3
    check_conserved(found, image, footprints)
    assert not found.skipped.any()
    assert found.n_dropped < 0.02 * footprints.peak_x.size
    # Fluxes of stars that have no neighbour within a FWHM.
    apart = np.hypot(field.x[:, None] - field.x, field.y[:, None] - field.y)
    alone = (np.sort(apart, axis=1)[:, 1] > 5) & (field.flux > 5000)
    ratios = []
    for k in np.flatnonzero(found.is_point):
        px, py = found.children.peak_x[k], found.children.peak_y[k]
        star = np.argmin(np.hypot(field.x - px, field.y - py))
        if alone[star] and np.hypot(field.x[star] - px, field.y[star] - py) < 1:
            template = gaussian(400, field.x[star], field.y[star], SIGMA, 1.0)
            own = (own_image(found, k, image.shape) * template).sum() / (template**2).sum()
            ratios.append(own / field.flux[star])
    assert len(ratios) > 100
    assert abs(np.median(ratios) - 1) < 0.005
    assert np.median(np.abs(np.array(ratios) - 1)) < 0.02


def test_a_peak_without_light_is_dropped_and_counted() -> None:
    field = stars_at(60, SIGMA, [(25, 30, 5e4)])
    image, variance = field.observe(field.light, np.random.default_rng(5))
    found = divide(image, variance, whole_image(60, [(25, 30), (45, 31)]))
    assert len(found.children) == 1
    assert found.n_dropped == 1
    assert found.children.sums()[0] == pytest.approx(image[2:-2, 2:-2].sum(), rel=1e-5)


def test_a_blend_without_usable_pixels_is_flagged_and_keeps_its_light() -> None:
    field = stars_at(60, SIGMA, [(25, 30, 5e4), (35, 30, 5e4)])
    image, variance = field.observe(field.light, np.random.default_rng(6))
    footprints = whole_image(60, [(25, 30), (35, 30)])
    bad = np.ones(image.shape, bool)
    found = deblend(image, variance, bad, footprints, PSF, CONFIG)
    assert found.skipped.tolist() == [True]
    check_conserved(found, image, footprints)


@pytest.mark.parametrize("limits", [{"max_peaks": 2}, {"max_area_pix": 3000}])
def test_a_blend_beyond_the_limits_stays_whole_and_is_flagged(limits: dict[str, int]) -> None:
    stars = [(25, 30, 2e4), (35, 30, 5e4), (30, 40, 3e4)]
    field = stars_at(60, SIGMA, stars)
    image, variance = field.observe(field.light, np.random.default_rng(6))
    footprints = whole_image(60, [(35, 30), (30, 40), (25, 30)])
    config = CONFIG.model_copy(update=limits)
    found = deblend(image, variance, np.zeros(image.shape, bool), footprints, PSF, config)
    assert found.skipped.tolist() == found.too_big.tolist() == [True]
    assert found.n_peaks.tolist() == [3]
    assert (found.children.peak_x[0], found.children.peak_y[0]) == (35, 30)
    check_conserved(found, image, footprints)
    divided = deblend(image, variance, np.zeros(image.shape, bool), footprints, PSF, CONFIG)
    assert len(divided.children) == 3
    assert not divided.too_big.any()


def test_saturated_core_and_missing_pixels() -> None:
    field = stars_at(80, SIGMA, [(40, 40, 1e6), (50, 41, 3e4)])
    image, variance = field.observe(field.light, np.random.default_rng(7))
    bad = np.hypot(*(np.mgrid[:80, :80] - 40)) < 3
    image[bad] = 3e4
    image[10:12] = np.nan
    footprints = whole_image(80, [(40, 40), (50, 41)])
    found = deblend(image, variance, bad, footprints, PSF, CONFIG)
    assert len(found.children) == 2
    assert np.isfinite(found.children.values).all()
    check_conserved(found, np.nan_to_num(image), footprints)
    template = gaussian(80, 50, 41, SIGMA, 1.0)
    flux = (own_image(found, 1, image.shape) * template).sum() / (template**2).sum()
    assert flux == pytest.approx(3e4, rel=0.1)


def test_groups_change_nothing() -> None:
    rng = np.random.default_rng(8)
    field = star_field(300, 120, SIGMA, rng)
    image, variance = field.observe(field.light, rng)
    footprints = find_footprints(image, SIGMA)
    one, many = (
        divide(image, variance, footprints),
        divide(image, variance, footprints, group_peaks=1),
    )
    assert (footprints.n_peaks() > 1).sum() > 5
    np.testing.assert_array_equal(one.parent, many.parent)
    np.testing.assert_array_equal(one.children.values, many.children.values)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**31),
    number=st.integers(1, 12),
    shift=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
)
def test_light_is_conserved_and_shifts_with_the_image(
    seed: int, number: int, shift: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    field = star_field(64, number, SIGMA, rng, log_flux=(2.5, 5))
    image, variance = field.observe(field.light, rng)
    big, noise = np.zeros((90, 90), np.float32), np.full((90, 90), SKY_ELECTRON, np.float32)
    labels = np.zeros((90, 90), np.int32)
    labels[13:77, 13:77] = 1
    x, y = np.rint(field.x) + 13, np.rint(field.y) + 13
    big[13:77, 13:77], noise[13:77, 13:77] = image, variance
    footprints = Footprints.from_labels(labels, x, y, field.flux)
    found = divide(big, noise, footprints)
    check_conserved(found, big, footprints)
    moved = [np.roll(a, shift, (0, 1)) for a in (big, noise, labels)]
    other = divide(
        moved[0], moved[1],
        Footprints.from_labels(moved[2], x + shift[1], y + shift[0], field.flux),
    )  # fmt: skip
    np.testing.assert_allclose(other.children.sums(), found.children.sums(), rtol=1e-3, atol=1)
    np.testing.assert_allclose(other.children.peak_x, found.children.peak_x + shift[1], atol=1e-3)
