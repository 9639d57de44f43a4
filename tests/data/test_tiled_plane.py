"""Planes in tiles: read back by another program, without loss where loss is not allowed."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from drpflow.data.tiled_plane import compress_plane, tiles_of
from drpflow.io.tiled_fits import tiled_hdu

TILE = (32, 40)


def tiles(shape: tuple[int, int]) -> int:
    return len(list(tiles_of(shape, TILE)))


def there_and_back(path, plane: np.ndarray, steps: np.ndarray, seed: int = 7):
    """Return what astropy reads, and the tiles."""
    tiled = compress_plane(plane, steps, TILE, seed)
    hdus = fits.HDUList([fits.PrimaryHDU(), tiled_hdu(tiled, fits.Header(), "IMAGE")])
    hdus.writeto(path / "t.fits", overwrite=True)
    with fits.open(path / "t.fits") as opened:
        return np.array(opened["IMAGE"].data), tiled


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(3).normal(5, 30, (100, 150)).astype(np.float32)


def test_astropy_restores_every_tile_with_its_own_step(tmp_path, noise):
    steps = np.linspace(0.5, 8, tiles(noise.shape))
    back, tiled = there_and_back(tmp_path, noise, steps)
    assert tiled.n_exact == 0
    for step, tile in zip(steps, tiles_of(noise.shape, TILE), strict=True):
        error = back[tile] - noise[tile]
        assert np.abs(error).max() <= 0.5 * step * (1 + 1e-5)
        assert error.std() == pytest.approx(step / 12**0.5, rel=0.15)


def test_zero_and_nan_stay(tmp_path, noise):
    noise[3:9, 4:70], noise[50:52] = 0, np.nan
    back, _ = there_and_back(tmp_path, noise, np.full(tiles(noise.shape), 2.0))
    assert np.array_equal(back == 0, noise == 0)
    assert np.array_equal(np.isnan(back), np.isnan(noise))
    error = (back - noise)[np.isfinite(noise)]
    assert np.abs(error).max() <= 1.0 + 1e-5


def test_tiles_that_do_not_fit_the_integers_keep_their_floats(tmp_path, noise):
    noise[10, 10] = 1e30  # more than 2³¹ steps
    noise[10, 50] = np.inf
    noise[:32, 80:120] = np.nan  # all masked
    noise[:32, 120:] = 4.25  # constant, measured to have no noise
    steps = np.full(tiles(noise.shape), 2.0)
    steps[2], steps[3] = np.nan, 0.0
    back, tiled = there_and_back(tmp_path, noise, steps)
    assert tiled.n_exact == 4
    assert list(np.flatnonzero(tiled.steps == 0)) == [0, 1, 2, 3]
    assert np.array_equal(back[:32], noise[:32], equal_nan=True)
    assert not np.array_equal(back[32:], noise[32:])


def test_bright_pixels_keep_their_accuracy(tmp_path, noise):
    noise[40, 40] = 3e6  # 1.5 million steps
    back, _ = there_and_back(tmp_path, noise, np.full(tiles(noise.shape), 2.0))
    assert abs(back[40, 40] - 3e6) <= 1.0 + np.spacing(np.float32(3e6))


def test_a_seed_gives_its_bytes_and_its_errors(tmp_path, noise):
    steps = np.full(tiles(noise.shape), 2.0)
    one, two, other = (compress_plane(noise, steps, TILE, seed) for seed in (7, 7, 5003))
    assert one.coded == two.coded
    errors = [there_and_back(tmp_path, noise, steps, seed)[0] - noise for seed in (7, 5003)]
    assert abs(np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1]) < 0.04
    assert one.coded != other.coded


def test_as_many_steps_as_tiles(noise):
    with pytest.raises(ValueError, match="3 steps for 16 tiles"):
        compress_plane(noise, np.ones(3), TILE, 1)
