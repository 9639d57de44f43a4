"""Files of kernels, and PSFs from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.spatial_kernel import SpatialKernel
from drpflow.errors import InputError
from drpflow.io.psf_match_files import is_exposure, read_kernel, read_psf_image, write_kernel


def test_kernel_and_all_that_belongs_to_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    basis = Basis2D(2, Domain(-0.5, 99.5, -0.5, 49.5))
    kernel = SpatialKernel(basis, rng.normal(size=(3, 7, 7)), rng.normal(size=(3, 6)))
    x, y = np.arange(4.0), np.arange(4.0) * 10
    images, reference = rng.random((4, 9, 9)), rng.random((1, 15, 15))
    path = tmp_path / "kernel.fits"
    write_kernel(path, kernel, (x, y, images), reference, {"condition": 12.5, "method": "m"})
    assert read_kernel(path) == kernel
    with fits.open(path) as hdus:
        np.testing.assert_allclose(hdus["REFERENCE"].data, reference, rtol=1e-6)
        np.testing.assert_allclose(hdus["CELL_PSF"].data, images, rtol=1e-6)
        np.testing.assert_array_equal(hdus["CELLS"].data["y"], y)
        assert '"condition": 12.5' in hdus["NUMBERS"].data[0][0]
    before = path.read_bytes()
    write_kernel(path, kernel, (x, y, images), reference, {"condition": 12.5, "method": "m"})
    assert path.read_bytes() == before
    assert not is_exposure(path)
    assert list(tmp_path.iterdir()) == [path]


def test_psf_from_an_image(tmp_path: Path) -> None:
    image = np.random.default_rng(3).random((11, 11))
    path = tmp_path / "psf.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)]).writeto(path)
    np.testing.assert_array_equal(read_psf_image(path), image)
    with pytest.raises(InputError, match="holds no kernel"):
        read_kernel(path)
    fits.PrimaryHDU().writeto(path, overwrite=True)
    with pytest.raises(InputError, match="no image of two axes"):
        read_psf_image(path)
    path.write_text("no FITS at all")
    with pytest.raises(InputError, match="cannot be read"):
        is_exposure(path)
    with pytest.raises(InputError, match="does not exist"):
        is_exposure(tmp_path / "absent.fits")
