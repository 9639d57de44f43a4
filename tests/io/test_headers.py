"""Headers are read without the data, whatever the container, and truncation is noticed."""

from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from drpflow.errors import InputError
from drpflow.io import headers
from drpflow.io.headers import card, read_headers


def mef(path: Path) -> Path:
    """Write a primary without data, an image, a compressed image, a table and a cube."""
    primary = fits.PrimaryHDU()
    primary.header["EXPNUM"] = 5
    fits.HDUList(
        [
            primary,
            fits.ImageHDU(np.zeros((7, 5), np.int16), name="S1"),
            fits.CompImageHDU(np.zeros((64, 32), np.int16), name="S2"),
            fits.BinTableHDU.from_columns([fits.Column("x", "PJ()", array=[[1, 2], [3]])]),
            fits.ImageHDU(np.zeros((2, 3, 4), np.float32)),
        ]
    ).writeto(path)
    return path


PACKERS = {
    "plain": lambda raw: raw,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_every_hdu_is_described_as_astropy_sees_it(tmp_path: Path, packer: str) -> None:
    path = tmp_path / "packed"
    path.write_bytes(PACKERS[packer](mef(tmp_path / "a.fits").read_bytes()))
    found = read_headers(path)
    assert [h.kind for h in found.hdus] == ["empty", "image", "compressed image", "table", "image"]
    assert [h.shape for h in found.hdus] == [(), (7, 5), (64, 32), (), (2, 3, 4)]
    assert [h.name for h in found.frames()] == ["S1", "S2"]
    assert found.primary["EXPNUM"] == 5
    with fits.open(tmp_path / "a.fits", disable_image_compression=True) as file:
        for ours, theirs in zip(found.hdus, file, strict=True):
            assert ours.data_start == theirs.fileinfo()["datLoc"]
            assert ours.data_bytes <= theirs.fileinfo()["datSpan"] < ours.data_bytes + 2880
            assert ours.header.tostring() == theirs.header.tostring()


def test_hdus_are_found_by_index_and_name(tmp_path: Path) -> None:
    found = read_headers(mef(tmp_path / "a.fits"))
    assert found.find(1) is found.find("s1")
    assert found.find("PRIMARY").index == 0
    with pytest.raises(InputError, match=r"no HDU 'S3'.*HDU 1 \('S1', a 5 x 7 image\)"):
        found.find("S3")


def test_first_image_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.fits.gz"
    plain = tmp_path / "a.fits"
    fits.HDUList(
        [fits.PrimaryHDU(np.zeros((600, 600), np.int32)), fits.ImageHDU(np.zeros((3, 3)))]
    ).writeto(plain)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    read = []
    original = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda self, n=-1: read.append(n) or original(self, n)
    )
    assert len(read_headers(path, all_hdus=False).hdus) == 1
    assert sum(read) == headers.BLOCK
    assert len(read_headers(path).hdus) == 2


@pytest.mark.parametrize("cut", [1, 40, 2000, 100_000])
def test_truncated_plain_file(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((300, 300), np.int32)).writeto(path)
    data_end = 2880 + 300 * 300 * 4
    os.truncate(path, data_end - cut)
    with pytest.raises(InputError) as caught:
        read_headers(path)
    assert f"HDU 0 reaches to byte {data_end}, the file has {data_end - cut}" in str(caught.value)


def test_missing_padding_is_forgiven(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((30, 30), np.int16)).writeto(path)
    os.truncate(path, 2880 + 30 * 30 * 2)
    assert read_headers(path).frames()[0].shape == (30, 30)


@pytest.mark.parametrize("seed", range(8))
def test_truncated_gzip_is_noticed_by_its_trailer(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain, path = tmp_path / "a.fits", tmp_path / "a.fits.gz"
    fits.PrimaryHDU(rng.integers(0, 60000, (200, 200)).astype(np.uint16)).writeto(plain)
    whole = gzip.compress(plain.read_bytes())
    path.write_bytes(whole[: rng.integers(len(whole) // 4, len(whole) - 1)])
    with pytest.raises(InputError, match="cut short"):
        read_headers(path, all_hdus=False)


def test_truncated_bzip2_is_noticed_when_read_deeply(tmp_path: Path) -> None:
    plain, path = tmp_path / "a.fits", tmp_path / "a.fits.bz2"
    pixels = np.random.default_rng(1).normal(size=(400, 400))
    fits.PrimaryHDU(pixels).writeto(plain)
    path.write_bytes(bz2.compress(plain.read_bytes(), 1)[:-5000])
    assert read_headers(path, all_hdus=False).frames()
    with pytest.raises(InputError, match="cut short"):
        read_headers(path, all_hdus=False, deep=True)


def test_a_broken_card_is_told_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((2, 2)), fits.Header({"FILTER": "r", "EXPTIME": 3.0})).writeto(path)
    raw = path.read_bytes()
    start = raw.index(b"FILTER  =")
    broken = b"FILTER  = 'r with no end".ljust(80)
    path.write_bytes(raw[:start] + broken + raw[start + 80 :])
    header = read_headers(path).primary
    assert card(header, "EXPTIME") == 3.0
    assert card(header, "AIRMASS") is None
    with pytest.raises(ValueError, match="card FILTER breaks the FITS rules"):
        card(header, "FILTER")


def test_foreign_letters_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((2, 2)), fits.Header({"OBSERVER": "Joerg"})).writeto(path)
    path.write_bytes(path.read_bytes().replace(b"Joerg", b"J\xf6rg "))
    assert card(read_headers(path).primary, "OBSERVER") == "J?rg"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"\x1f\x8b\x08", "cut short"), (b"PK\x03\x04", "not a FITS file")],
)
def test_what_is_no_fits_file(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_headers(path)


def test_a_header_without_its_mandatory_cards(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes((b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80)).ljust(2880))
    with pytest.raises(InputError, match="lacks a mandatory card"):
        read_headers(path)
