"""The mesh recovers a known sky, with sources, masks, crowds and few electrons."""

from __future__ import annotations

import numpy as np
import pytest
import sep
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from drpflow.algorithms.background import fill_bins, fit_background, remodel_background
from drpflow.algorithms.detection import detect
from drpflow.algorithms.sky_sources import place_sky_sources
from drpflow.config.background import BackgroundConfig
from drpflow.data.background import Background
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.errors import AlgorithmError
from tests.algorithms.star_fields import add_stars, observed

SIGMA = 2.0
CONFIG = BackgroundConfig()


def sky(shape: tuple[int, int], level: float, slope: float) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return level * (1 + slope * x / shape[1] - 0.5 * slope * (y / shape[0]) ** 2)


@pytest.mark.parametrize("level", [4.0, 130.0, 5000.0])
def test_photon_noise_of_any_level_leaves_the_mean_unbiased(level: float) -> None:
    rng = np.random.default_rng(1)
    truth = np.full((1024, 1024), level)
    image, _ = observed(truth, rng, read_noise=1.0)
    mesh = fit_background(image, np.zeros(image.shape, bool), 128, CONFIG)
    noise = np.sqrt(level + 1)
    assert abs(mesh.values.mean() - level) < 0.005 * noise
    assert mesh.values.std() == pytest.approx(noise / 128, rel=0.3)
    np.testing.assert_allclose(mesh.weights, 128**2 / noise**2, rtol=0.1)


@pytest.mark.parametrize(
    ("shape", "box"), [((256, 256), 64), ((300, 500), 64), ((100, 700), 32), ((40, 40), 8)]
)
def test_slopes_are_recovered_on_images_of_any_shape(shape: tuple[int, int], box: int) -> None:
    truth = sky(shape, 1000, 0.2).astype(np.float32)
    mesh = fit_background(truth, np.zeros(shape, bool), box, CONFIG)
    model = mesh.image(Box.from_shape(shape))
    assert (mesh.weights > 0).all()
    assert np.abs(model - truth).max() < 8.0


def test_an_image_smaller_than_a_bin_has_one_level() -> None:
    image = np.random.default_rng(8).normal(50, 2, (40, 30)).astype(np.float32)
    mesh = fit_background(image, np.zeros(image.shape, bool), 128, CONFIG)
    assert mesh.values.shape == (1, 1)
    assert mesh.values[0, 0] == pytest.approx(image.mean(), abs=0.1)


@given(hnp.arrays(bool, (5, 6)), st.integers(0, 1000))
def test_filled_bins_stay_within_the_known_ones(known: NDArray[np.bool_], seed: int) -> None:
    known[2, 3] = True
    level = np.random.default_rng(seed).normal(100, 5, known.shape)
    filled = fill_bins(np.where(known, level, np.nan), known)
    np.testing.assert_array_equal(filled[known], level[known])
    assert filled.min() >= level[known].min() - 1e-9
    assert filled.max() <= level[known].max() + 1e-9


def test_filling_leaves_a_plane_a_plane() -> None:
    y, x = np.mgrid[:7, :9]
    plane = 3.0 * x + 2.0 * y
    known = np.ones(plane.shape, bool)
    known[2:5, 3:6] = False
    np.testing.assert_allclose(fill_bins(np.where(known, plane, 0), known), plane, atol=1e-9)


def test_masked_bins_are_filled_and_have_no_weight() -> None:
    image = sky((512, 512), 500, 0.1).astype(np.float32)
    image += np.random.default_rng(2).normal(0, 5, image.shape).astype(np.float32)
    excluded = np.zeros(image.shape, bool)
    excluded[128:256, 256:384] = True
    image[excluded] = np.nan
    mesh = fit_background(image, excluded, 128, CONFIG)
    assert mesh.weights[1, 2] == 0
    assert (mesh.weights > 0).sum() == mesh.weights.size - 1
    assert mesh.values[1, 2] == pytest.approx(sky((512, 512), 500, 0.1)[192, 320], abs=3)


def test_a_bin_full_of_a_bright_star_is_an_outlier() -> None:
    image = np.random.default_rng(3).normal(100, 5, (1024, 1024)).astype(np.float32)
    image[256:384, 512:640] += 200
    mesh = fit_background(image, np.zeros(image.shape, bool), 128, CONFIG)
    assert mesh.weights[2, 4] == 0
    assert np.abs(mesh.values - 100).max() < 1


@pytest.mark.parametrize("excluded", [True, False])
def test_no_sky_is_a_declared_failure(excluded: bool) -> None:
    image = np.full((256, 256), 1.0 if excluded else np.nan, np.float32)
    with pytest.raises(AlgorithmError, match="no bin of the background"):
        fit_background(image, np.full(image.shape, excluded), 128, CONFIG)


class Field:
    """A field with winged stars and galaxies on a sloping sky."""

    def __init__(self, seed: int, n_stars: int = 250, shape: tuple[int, int] = (640, 640)) -> None:
        rng = np.random.default_rng(seed)
        self.sky = sky(shape, 150.0, 0.1)
        truth = self.sky.copy()
        y, x = rng.uniform(0, shape[0], (2, n_stars))
        flux = np.minimum(100 + 300 * rng.pareto(0.8, n_stars), 3e5)
        add_stars(truth, x, y, flux, SIGMA, wings=0.05)
        y, x = rng.uniform(0, shape[0], (2, 20))
        add_stars(truth, x, y, rng.uniform(3e3, 3e4, 20), 5.0)
        self.image, self.variance = observed(truth, rng)
        self.mask = Mask.zeros(shape)


def test_sky_sources_have_no_flux() -> None:
    """Their mean is within 0.1 of the error of one, and nearer to nothing than with sep's mesh."""
    means, means_sep = [], []
    for seed in range(4):
        field = Field(seed)
        model = remodel_background(field.image, field.variance, field.mask, SIGMA, CONFIG)
        flat = model.background.subtract(field.image)
        bad = np.zeros(flat.shape, bool)
        found = detect(flat, field.variance, bad, SIGMA, 5.0, grow_pix=2.4 * SIGMA)
        occupied = model.masked | (found.footprints.labels(flat.shape) > 0)
        rng = np.random.default_rng(seed)
        x, y = place_sky_sources(occupied, 100, 8.0, rng)
        error = np.sqrt(np.pi * 64 * np.median(field.variance))
        means.append(sep.sum_circle(flat, x, y, 8.0)[0].mean() / error)
        level = sep.Background(field.image, bw=128, bh=128).back()
        means_sep.append(sep.sum_circle(field.image - level, x, y, 8.0)[0].mean() / error)
    assert abs(np.mean(means)) < 0.1
    assert abs(np.mean(means)) < abs(np.mean(means_sep))


def test_level_is_that_of_the_sky_between_the_sources() -> None:
    """In truth, not only where sources were not seen: to 3 % of the noise of a pixel."""
    offsets = []
    for seed in range(4):
        field = Field(seed)
        model = remodel_background(field.image, field.variance, field.mask, SIGMA, CONFIG)
        level = model.background.image(Box.from_shape(field.image.shape))
        offsets.append(np.mean(level - field.sky) / model.noise)
    assert abs(np.mean(offsets)) < 0.03


def test_a_sky_that_was_subtracted_before_makes_no_difference() -> None:
    field = Field(5)
    direct = remodel_background(field.image, field.variance, field.mask, SIGMA, CONFIG)
    nothing = np.zeros(field.image.shape, bool)
    first = Background((("first", fit_background(field.image, nothing, 128, CONFIG, first=True)),))
    flat = first.subtract(field.image)
    again = remodel_background(flat, field.variance, field.mask, SIGMA, CONFIG)
    box = Box.from_shape(flat.shape)
    difference = first.image(box) + again.background.image(box) - direct.background.image(box)
    # Masks differ a little where a bin is nearly full of sources.
    assert np.sqrt(np.mean(difference**2)) < 0.05 * direct.noise
    assert abs(np.mean(difference)) < 0.01 * direct.noise


def test_crowded_field_keeps_its_sky() -> None:
    """A star on each 50 pixels: the level stays within half of the noise of a pixel."""
    rng = np.random.default_rng(6)
    truth = np.full((512, 512), 200.0)
    x, y = rng.uniform(0, 512, (2, 5000))
    add_stars(truth, x, y, np.minimum(50 + 300 * rng.pareto(0.9, x.size), 1e6), SIGMA)
    image, variance = observed(truth, rng)
    model = remodel_background(image, variance, Mask.zeros(image.shape), SIGMA, CONFIG)
    level = model.background.image(Box.from_shape(image.shape))
    assert model.masked_fraction <= CONFIG.max_masked_fraction
    assert abs(np.median(level) - 200) < 0.5 * np.sqrt(225)


def test_masked_and_missing_pixels_do_not_count() -> None:
    field = Field(7)
    want = remodel_background(field.image, field.variance, field.mask, SIGMA, CONFIG)
    image, mask = field.image.copy(), field.mask.copy()
    image[100:110, 50:300], image[400:420, 200:210] = 1e6, np.nan
    mask.set("SAT", np.s_[100:110, 50:300])
    mask.set("NO_DATA", np.s_[400:420, 200:210])
    got = remodel_background(image, field.variance, mask, SIGMA, CONFIG)
    box = Box.from_shape(image.shape)
    difference = got.background.image(box) - want.background.image(box)
    assert np.abs(difference).max() < 0.25 * want.noise


def test_all_masked_is_a_declared_failure() -> None:
    mask = Mask.zeros((256, 256))
    mask.set("SAT", np.s_[:, :])
    image = np.full((256, 256), 6e4, np.float32)
    with pytest.raises(AlgorithmError, match="no bin of the background"):
        remodel_background(image, image, mask, SIGMA, CONFIG)


def test_fractions_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="must be below"):
        BackgroundConfig(min_masked_fraction=0.9, max_masked_fraction=0.5)
