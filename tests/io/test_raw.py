"""Raw frames come out as written, whatever the container; broken ones are told in a sentence."""

from __future__ import annotations

import bz2
import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drpflow.data.camera import Amplifier, Detector
from drpflow.errors import InputError
from drpflow.io.raw import read_detector, read_raw

BOK = "decam_cutouts/mzlsbass2/images/90prime/CP/V2.3/CP20170429"
DATA = Path(__file__).parents[3] / "shared" / "data"
PIXELS = np.arange(12 * 7, dtype=np.uint16).reshape(7, 12) * 700


def write_plain(path: Path, pixels: np.ndarray = PIXELS) -> Path:
    header = fits.Header({"EXPTIME": 30.0, "FILTER": "r ", "OBJECT": "field"})
    fits.PrimaryHDU(pixels, header).writeto(path)
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_plain(tmp_path / "a.fits")


def test_unsigned_integers_are_restored(plain: Path) -> None:
    frame = read_raw(plain)
    assert frame.data.dtype == np.float32
    np.testing.assert_array_equal(frame.data, PIXELS)


def test_cards_hold_the_exposure_and_not_the_storage(plain: Path) -> None:
    cards = read_raw(plain).header
    assert cards["EXPTIME"] == 30.0
    assert cards["FILTER"] == "r"
    assert not {"NAXIS1", "BZERO", "BITPIX", "COMMENT"} & set(cards)
    with pytest.raises(TypeError):
        cards["EXPTIME"] = 1.0  # type: ignore[index]


@pytest.mark.parametrize("suffix", ["fits.gz", "fits.bz2", "fit"])
def test_compression_is_known_by_content(plain: Path, suffix: str) -> None:
    packed = {"fits.gz": gzip.compress, "fits.bz2": bz2.compress, "fit": gzip.compress}[suffix]
    path = plain.with_name(f"b.{suffix}")
    path.write_bytes(packed(plain.read_bytes()))
    np.testing.assert_array_equal(read_raw(path).data, PIXELS)


def test_tile_compressed_integers(tmp_path: Path) -> None:
    path = tmp_path / "a.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(PIXELS, name="SCI")]).writeto(path)
    for hdu in (0, 1, "sci"):
        np.testing.assert_array_equal(read_raw(path, hdu).data, PIXELS)


def test_tile_compressed_floats(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).normal(100.0, 5.0, (64, 48)).astype(np.float32)
    path = tmp_path / "a.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels, compression_type="RICE_1")]).writeto(
        path
    )
    np.testing.assert_array_equal(read_raw(path, 1).data, fits.getdata(path, 1))


def test_blank_integers_become_nan(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(np.array([[1, -5], [3, 4]], np.int16))
    hdu.header["BLANK"] = -5
    hdu.writeto(tmp_path / "a.fits")
    data = read_raw(tmp_path / "a.fits").data
    assert np.isnan(data[0, 1])
    assert np.isfinite(data).sum() == 3


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.int32, (3, 5), elements=st.integers(-(2**31), 2**31 - 1)),
    st.sampled_from([1.0, 0.25, 3.5e-3]),
    st.sampled_from([0.0, 1000.0, -2.5]),
)
def test_scaling_agrees_with_float64(
    tmp_path_factory: pytest.TempPathFactory, stored: np.ndarray, scale: float, zero: float
) -> None:
    path = tmp_path_factory.mktemp("scaled") / "a.fits"
    fits.PrimaryHDU(stored).writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as file:
        file[0].header["BSCALE"], file[0].header["BZERO"] = scale, zero
    expected = (stored * scale + zero).astype(np.float32)
    np.testing.assert_allclose(read_raw(path).data, expected, rtol=1e-7, atol=0)


def test_one_array_for_each_amplifier(tmp_path: Path) -> None:
    path = tmp_path / "amps.fits"
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = 12.0
    hdus = [primary] + [fits.ImageHDU(PIXELS + i, name=f"im{i}") for i in (1, 2)]
    fits.HDUList(hdus).writeto(path)
    amps = tuple(
        Amplifier(
            name=f"A{i}",
            data_section=(x0, x0 + 10, 0, 7),
            raw_data_section=(0, 10, 0, 7),
            raw_hdu=f"im{i}",
            gain=1.0,
            read_noise=1.0,
            saturation=6e4,
        )
        for i, x0 in ((1, 0), (2, 10))
    )
    detector = Detector(id=1, name="A", size_pix=(20, 7), pixel_size_mm=0.015, amplifiers=amps)
    frame = read_detector(path, 0, detector)
    assert isinstance(frame.data, dict)
    np.testing.assert_array_equal(frame.data["A2"], PIXELS + 2)
    assert frame.header["EXPTIME"] == 12.0


def test_peak_memory_is_that_of_two_arrays(tmp_path: Path) -> None:
    pixels = np.full((1024, 1024), 3000, np.uint16)
    write_plain(tmp_path / "a.fits", pixels)
    read_raw(tmp_path / "a.fits")
    tracemalloc.start()
    read_raw(tmp_path / "a.fits")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.25 * pixels.size * (2 + 4)


def damaged(name: str, path: Path) -> Path:
    """Return a broken file of one kind."""
    whole = write_plain(path / "whole.fits").read_bytes()
    broken = path / f"{name}.fits"
    if name == "truncated":
        broken.write_bytes(whole[: 2880 + 50])
    elif name == "half a header":
        broken.write_bytes(whole[:1000])
    elif name == "empty":
        broken.write_bytes(b"")
    elif name == "text":
        broken.write_text("an apology of the archive")
    elif name == "gz cut short":
        broken.write_bytes(gzip.compress(whole)[:-60])
    elif name == "bz2 cut short":
        broken.write_bytes(bz2.compress(whole)[:-60])
    elif name == "cube":
        fits.PrimaryHDU(np.zeros((2, 3, 4))).writeto(broken)
    elif name == "table":
        fits.BinTableHDU.from_columns([fits.Column("x", "D", array=[1.0])]).writeto(broken)
    elif name == "nan":
        fits.PrimaryHDU(np.full((4, 4), np.nan, np.float32)).writeto(broken)
    return broken


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("truncated", "truncated: HDU 0 reaches to byte 3048, the file has 2930"),
        ("half a header", "no END card"),
        ("empty", "the file is empty"),
        ("text", "not a FITS file: it begins with b'an apolog'"),
        ("gz cut short", "cut short"),
        ("bz2 cut short", "cut short"),
        ("cube", "a 4 x 3 x 2 image) is no two-dimensional image"),
        ("table", "is no two-dimensional image"),
        ("nan", "has no finite pixel"),
        ("absent", "No such file"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, words: str) -> None:
    path = damaged(name, tmp_path)
    with pytest.raises(InputError) as caught:
        read_raw(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_unknown_hdu_lists_what_is_there(plain: Path) -> None:
    with pytest.raises(InputError, match=r"no HDU 'S4'.*HDU 0 \(a 12 x 7 image\)"):
        read_raw(plain, "S4")


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real frames are not here")
@pytest.mark.parametrize(
    ("name", "hdu", "shape", "median"),
    [
        ("saao_kb131475/AKB13475I0100.fits.gz", 0, (512, 512), (500, 900)),
        ("sdss_m2/frame-r-002583-2-0136.fits.bz2", 0, (1489, 2048), (-0.01, 0.1)),
        ("sdss_m2/fpC-005754-r3-0280.fit.gz", 0, (1489, 2048), (1050, 1400)),
        ("raw_darks/tres1-021.fit.gz", 0, (736, 1092), (100, 5000)),
        (
            f"{BOK}/ksb_170430_055945_ooi_r_ls9.CCD4.fits",
            1,
            (119, 118),
            (10, 12),
        ),
    ],
)
def test_real_frames(
    name: str, hdu: int, shape: tuple[int, int], median: tuple[float, float]
) -> None:
    frame = read_raw(DATA / name, hdu)
    assert frame.data.shape == shape
    assert median[0] < np.median(frame.data) < median[1]
