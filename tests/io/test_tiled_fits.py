"""Exposures whose image and variance come in tiles: like any other to those who read them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from drpflow import InputError, Store
from drpflow.data.tiled_plane import compress_mask, compress_plane
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.exposure_write import write_exposure
from drpflow.io.fits_index import FitsIndex
from drpflow.io.tiled_fits import read_steps
from tests.io.conftest import make_exposure

TILE = (32, 32)
ID = {"visit": 12, "detector": 3}


@pytest.fixture
def exposure():
    made = make_exposure((100, 120))
    made.image[5, 7] = np.nan
    return made


def tiled(exposure):
    steps = np.full(16, 0.2)
    steps[5] = np.nan
    return {
        "image": compress_plane(exposure.image, steps, TILE, 7),
        "variance": compress_plane(exposure.variance, np.full(16, 0.1), TILE, 9),
        "mask": compress_mask(exposure.mask.array, TILE),
    }


@pytest.fixture
def path(tmp_path, exposure):
    write_exposure(tmp_path / "e.fits", exposure, compression="lossless", tiled=tiled(exposure))
    return tmp_path / "e.fits"


def test_pixels_mask_and_components_come_back(path, exposure):
    back = open_exposure(path)
    assert np.nanmax(np.abs(back.image - exposure.image)) <= 0.1 * (1 + 1e-5)
    assert np.abs(back.variance - exposure.variance).max() <= 0.05 * (1 + 1e-4)
    assert np.isnan(back.image[5, 7])
    assert back.mask == exposure.mask
    assert back.unit == "nJy"
    assert back.psf == exposure.psf
    assert back.image.dtype == np.float32


def test_a_cut_out_is_a_part_of_the_whole(path):
    whole = open_exposure(path)
    part = open_exposure(path).cutout((20, 90, 40, 71))
    for plane in ("image", "variance"):
        expected = getattr(whole, plane)[40:71, 20:90]
        assert np.array_equal(getattr(part, plane), expected, equal_nan=True)
    assert np.array_equal(part.mask.array, whole.mask.array[40:71, 20:90])


def test_others_see_an_image_with_its_cards(path, exposure):
    with fits.open(path) as hdus:
        assert hdus["IMAGE"].data.shape == (100, 120)
        assert hdus["IMAGE"].header["BUNIT"] == "nJy"
        assert hdus["VARIANCE"].header["BUNIT"] == "nJy2"
        assert hdus["IMAGE"].header["CTYPE1"].startswith("RA---TAN")
        bit = hdus["MASK"].header["MP_CR"]
        assert np.array_equal(hdus["MASK"].data >> bit & 1, exposure.mask.any("CR"))
    with fits.open(path, disable_image_compression=True) as hdus:
        header = hdus["IMAGE"].header
        assert (header["ZCMPTYPE"], header["ZQUANTIZ"]) == ("RICE_1", "SUBTRACTIVE_DITHER_2")
        assert (header["ZTILE1"], header["ZTILE2"], header["ZDITHER0"]) == (32, 32, 7)
        hdus.verify("exception")


def test_steps_are_read(path):
    steps, shape = read_steps(FitsIndex(path), "IMAGE")
    assert shape == TILE
    assert steps[5] == 0  # without loss
    assert (np.delete(steps, 5) == 0.2).all()


def test_plain_pixels_have_no_steps(tmp_path, exposure):
    write_exposure(tmp_path / "plain.fits", exposure)
    with pytest.raises(InputError, match="its image is not compressed with loss"):
        read_steps(FitsIndex(tmp_path / "plain.fits"), "IMAGE")


def test_equal_pixels_are_equal_bytes(path, exposure, tmp_path):
    again = tmp_path / "again.fits"
    write_exposure(again, exposure, compression="lossless", tiled=tiled(exposure))
    assert again.read_bytes() == path.read_bytes()


def test_a_store_reads_it(tmp_path, exposure):
    store = Store(tmp_path)
    path = store.path("compressed_pvi", **ID)
    data = {"dataset": "compressed_pvi", "data_id": ID}
    write_exposure(path, exposure, compression="lossless", tiled=tiled(exposure), **data)
    cut = store.get("compressed_pvi", box=(20, 90, 40, 71), **ID)
    assert cut.shape == (31, 70)
    assert store.get("compressed_pvi.psf", **ID) == exposure.psf
    assert store.get("compressed_pvi", **ID).image.shape == (100, 120)
