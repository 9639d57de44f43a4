"""The noise of tiles: that of the sky, whatever stands in them."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.compression.noise import tile_noise
from drpflow.data.tiled_plane import tiles_of

from .scenes import SHAPE, SIGMA, make_scene

TILE = (64, 64)
NONE = np.zeros(SHAPE, bool)


def test_noise_and_variance_of_the_sky_are_found():
    scene = make_scene(n_stars=0)
    noise = tile_noise(scene.image, scene.variance, NONE, NONE, TILE)
    assert noise.n_measured == len(noise.sigma) == 20
    assert noise.sigma == pytest.approx(SIGMA, rel=0.08)
    assert noise.sigma.mean() == pytest.approx(SIGMA, rel=0.01)
    assert noise.variance == pytest.approx(SIGMA**2, rel=0.02)


def test_neither_sources_nor_a_gradient_nor_a_step_of_the_sky_count():
    scene = make_scene(n_stars=60)
    plain = make_scene(n_stars=0)
    slope = 20 * SIGMA * np.linspace(0, 1, SHAPE[1], dtype=np.float32)
    noise = tile_noise(scene.image + slope, scene.variance, scene.mask.any("DETECTED"), NONE, TILE)
    empty = tile_noise(plain.image, plain.variance, NONE, NONE, TILE)
    assert noise.sigma == pytest.approx(empty.sigma, rel=0.15)
    assert noise.sigma.mean() == pytest.approx(SIGMA, rel=0.02)


def test_a_full_tile_takes_its_noise_from_its_variance():
    scene = make_scene(n_stars=0)
    scene.image[:] *= np.sqrt(2)  # the variance plane says too little, everywhere alike
    crowded = NONE.copy()
    crowded[64:128, 64:128] = True
    noise = tile_noise(scene.image, scene.variance, crowded, NONE, TILE)
    assert noise.n_measured == 19
    # A sky of 225 electrons scatters by 7 %, and its lower quartile lies 0.67 of that below.
    expected = np.sqrt(2) * SIGMA * np.sqrt(1 - 0.67 / 15)
    assert noise.sigma[6] == pytest.approx(expected, rel=0.03)


def test_saturated_and_empty_pixels_do_not_set_the_noise():
    scene = make_scene(n_stars=0)
    before = tile_noise(scene.image, scene.variance, NONE, NONE, TILE)
    unusable = NONE.copy()
    unusable[:40, :64] = True
    scene.image[:40, :64] = 1e6 * np.random.default_rng(1).random((40, 64))
    scene.image[100] = np.nan
    after = tile_noise(scene.image, scene.variance, NONE, unusable, TILE)
    assert after.sigma == pytest.approx(before.sigma, rel=0.15)


def test_tiles_without_pixels_have_no_noise_and_constant_ones_none_either():
    scene = make_scene(n_stars=0)
    first, last = (list(tiles_of(SHAPE, TILE))[i] for i in (0, -1))
    scene.image[first], scene.variance[first] = np.nan, np.nan
    scene.image[last] = 3.0
    noise = tile_noise(scene.image, scene.variance, NONE, NONE, TILE)
    assert np.isnan(noise.sigma[0])
    assert np.isnan(noise.variance[0])
    assert noise.sigma[-1] == 0


def test_an_image_without_any_empty_tile_has_the_noise_that_its_variance_says():
    scene = make_scene(n_stars=0)
    noise = tile_noise(scene.image, scene.variance, ~NONE, NONE, TILE)
    assert noise.n_measured == 0
    assert noise.sigma == pytest.approx(SIGMA, rel=0.05)
