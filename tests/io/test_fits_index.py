"""The index of a FITS file agrees with astropy about where everything is."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from drpflow import InputError
from drpflow.data.geometry import Box
from drpflow.io.exposure_write import write_exposure
from drpflow.io.fits_index import FitsIndex


@pytest.fixture(params=["none", "lossy"])
def path(tmp_path, make_exposure, request):
    write_exposure(tmp_path / "e.fits", make_exposure(), compression=request.param)
    return tmp_path / "e.fits"


def test_hdus_are_where_astropy_finds_them(path):
    index = FitsIndex(path)
    with fits.open(path, disable_image_compression=True) as hdus:
        assert list(index.entries) == [hdu.name for hdu in hdus[1:]]
        for hdu in hdus[1:]:
            entry, where = index.entries[hdu.name], hdu.fileinfo()
            assert (entry.start, entry.data_start) == (where["hdrLoc"], where["datLoc"])
            assert entry.end == where["datLoc"] + where["datSpan"]


def test_tables_and_pixels_are_those_of_astropy(path):
    index = FitsIndex(path)
    box = Box(3, 30, 5, 17)
    with fits.open(path) as hdus:
        assert index.table("PSF").data[0][0] == hdus["PSF"].data[0][0]
        pixels = index.pixels("IMAGE", box)
        np.testing.assert_array_equal(pixels, hdus["IMAGE"].data[5:17, 3:30])
        assert pixels.dtype.isnative


def test_scan_reads_headers_only(tmp_path):
    """A file that claims terabytes of data is scanned as fast as any."""
    header = fits.ImageHDU(name="HUGE").header
    header["NAXIS"], header["BITPIX"] = 2, -64
    header["NAXIS1"] = header["NAXIS2"] = 10**6
    content = fits.PrimaryHDU().header.tostring() + header.tostring()
    (tmp_path / "huge.fits").write_text(content)
    index = FitsIndex(tmp_path / "huge.fits")
    assert index.entries["HUGE"].data_size == 8 * 10**12
    with pytest.raises(InputError, match="ends within the HDU HUGE"):
        index.entry("HUGE")


def test_absent_hdu_names_the_nearest(path):
    with pytest.raises(InputError, match="no HDU PSFS; did you mean 'PSF'"):
        FitsIndex(path).entry("PSFS")


def test_image_is_no_table(path):
    if not FitsIndex(path).entries["IMAGE"].is_compressed:
        with pytest.raises(InputError, match="HDU IMAGE is no table"):
            FitsIndex(path).table("IMAGE")
