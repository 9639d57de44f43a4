"""Compressed pixels: how small, and how right the fluxes and their errors stay."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from drpflow.algorithms.compression.quantize import (
    CompressedPixels,
    compress_pixels,
    tile_side,
)
from drpflow.config.compress_image import CompressImageConfig
from drpflow.data.exposure import Exposure
from drpflow.io.tiled_fits import tiled_hdu

from .scenes import SIGMA, make_scene

SEEDS = {"image": 11, "variance": 12}
CONFIG = CompressImageConfig(tile_pix=64)


def read_back(pixels: CompressedPixels) -> tuple[np.ndarray, np.ndarray]:
    hdus = [tiled_hdu(p, fits.Header(), n.upper()) for n, p in pixels.planes.items()]
    raw = fits.HDUList([fits.PrimaryHDU(), *hdus])
    import io

    buffer = io.BytesIO()
    raw.writeto(buffer)
    with fits.open(io.BytesIO(buffer.getvalue())) as opened:
        return np.array(opened["IMAGE"].data), np.array(opened["VARIANCE"].data)


@pytest.fixture(scope="module")
def scene() -> Exposure:
    return make_scene(n_stars=20)


@pytest.fixture(scope="module")
def back(scene) -> tuple[np.ndarray, np.ndarray]:
    return read_back(compress_pixels(scene, SEEDS, CONFIG))


def test_image_and_variance_take_a_fifth(scene):
    numbers = compress_pixels(scene, SEEDS, CONFIG).numbers()
    assert numbers["compression_factor"] > 5
    assert numbers["tiles_lossless_image"] == numbers["tiles_lossless_variance"] == 0
    assert numbers["noise_njy"] == pytest.approx(SIGMA, rel=0.02)


def test_noise_grows_by_less_than_a_thousandth(scene, back):
    error = (back[0] - scene.image) / SIGMA
    assert error.std() == pytest.approx(1 / 16 / 12**0.5, rel=0.05)
    assert abs(error.mean()) < 4 * error.std() / error.size**0.5
    empty = ~scene.mask.any("DETECTED")
    assert back[0][empty].std() / scene.image[empty].std() - 1 < 1e-3


def test_variance_is_right_to_its_step_and_unbiased(scene, back):
    relative = back[1] / scene.variance - 1
    sky = ~scene.mask.any("DETECTED")
    assert relative[sky].std() == pytest.approx(CONFIG.variance_step / 12**0.5, rel=0.1)
    total = back[1].sum(dtype=float) / scene.variance.sum(dtype=float) - 1
    assert abs(total) < 1e-4
    # Bright pixels, whose variance is larger, are relatively better.
    bright = scene.variance > 3 * np.median(scene.variance)
    assert relative[bright].std() < 0.5 * relative[sky].std()


@pytest.mark.parametrize("radius_pix", [3.0, 6.0])
def test_fluxes_of_apertures_change_by_a_few_percent_of_their_errors(scene, back, radius_pix):
    y, x = np.mgrid[-7:8, -7:8]
    aperture = x**2 + y**2 < radius_pix**2
    rng = np.random.default_rng(4)
    changes, errors = [], []
    for y0, x0 in rng.integers((8, 8), np.array(scene.shape) - 8, (400, 2)):
        box = slice(y0 - 7, y0 + 8), slice(x0 - 7, x0 + 8)
        sigma = scene.variance[box][aperture].sum() ** 0.5
        changes.append((back[0][box] - scene.image[box])[aperture].sum() / sigma)
        errors.append(back[1][box][aperture].sum() ** 0.5 / sigma - 1)
    assert np.percentile(np.abs(changes), 90) < 0.05
    assert abs(np.mean(changes)) < 4 * np.std(changes) / 20
    assert np.abs(errors).max() < 0.005


def test_what_has_no_noise_keeps_every_digit():
    scene = make_scene(n_stars=0)
    scene.image[:64, :64], scene.variance[:64, :64] = np.nan, np.nan
    scene.image[:64, 64:128] = 1.5
    scene.image[100, 200] = np.inf
    pixels = compress_pixels(scene, SEEDS, CONFIG)
    image, variance = read_back(pixels)
    assert pixels.image.n_exact == 3
    assert pixels.variance.n_exact == 1
    assert np.array_equal(image[:64, :128], scene.image[:64, :128], equal_nan=True)
    assert np.isnan(variance[:64, :64]).all()
    assert image[100, 200] == np.inf


def test_images_smaller_than_a_tile():
    scene = make_scene(n_stars=0).cutout((0, 50, 0, 40))
    image, _ = read_back(compress_pixels(scene, SEEDS, CONFIG))
    assert image.shape == (40, 50)
    assert np.abs(image - scene.image).max() < SIGMA / 16


def test_finer_steps_are_finer(scene):
    coarse, fine = (
        compress_pixels(scene, SEEDS, CompressImageConfig(quantize_level=q)) for q in (4, 64)
    )
    # A factor of 16 is 4 bits.
    bits = [8 * p.image.n_bytes / scene.image.size for p in (coarse, fine)]
    assert bits[1] - bits[0] == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize(
    ("size", "side"), [(4096, 128), (4000, 125), (1024, 128), (4072, 128), (300, 150), (50, 50)]
)
def test_tiles_divide_the_image_where_they_can(size, side):
    assert tile_side(size, 128) == side


def test_no_tile_of_the_mask_is_cut_off(scene):
    mask = compress_pixels(scene, SEEDS, CONFIG).mask
    assert mask.tile_shape == (16, 320)
    assert len(mask.coded) == 16
    assert compress_pixels(scene.cutout((0, 50, 0, 41)), SEEDS, CONFIG).mask.tile_shape == (1, 50)
