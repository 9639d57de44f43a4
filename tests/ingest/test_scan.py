"""Every file of a folder is either taken or listed with a reason, whatever its container."""

from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from drpflow.errors import InputError
from drpflow.ingest.scan import fits_files, scan
from tests.ingest.frames import CAMERA, camera, cards, image, write_frame


def test_files_are_found_by_name_and_in_order(tmp_path: Path) -> None:
    for name in ("b.fits", "a/c.FIT", "a/d.fts.gz", "e.fits.fz", "f.fz", "g.fits.bz2"):
        write_frame(tmp_path / name)
    for name in ("README.txt", "h.fits.txt", ".hidden.fits", ".part/x.fits", "a/fits"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no frame")
    found = [str(p.relative_to(tmp_path)) for p in fits_files(tmp_path)]
    assert found == ["a/c.FIT", "a/d.fts.gz", "b.fits", "e.fits.fz", "f.fz", "g.fits.bz2"]
    assert [p.name for p in fits_files(tmp_path, "[bg]*")] == ["b.fits", "g.fits.bz2"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    write_frame(tmp_path / "archive" / "a.fits")
    (tmp_path / "survey").mkdir()
    (tmp_path / "survey" / "night").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "loop").symlink_to(tmp_path / "survey")
    assert [p.name for p in fits_files(tmp_path / "survey")] == ["a.fits"]


def test_folders_without_frames_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        fits_files(tmp_path / "absent")
    with pytest.raises(InputError, match="no FITS file in this folder"):
        fits_files(tmp_path)
    write_frame(tmp_path / "a.fits")
    with pytest.raises(InputError, match="whose name matches 'b\\*'"):
        fits_files(tmp_path, "b*")


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress])
def test_compressed_frames(tmp_path: Path, packer: object) -> None:
    plain = write_frame(tmp_path / "a.fits")
    path = tmp_path / "a.fits.packed"
    path.write_bytes(packer(plain.read_bytes()))  # type: ignore[operator]
    assert scan([path], camera()).frames[0].visit == scan([plain], camera()).frames[0].visit


def write_mef(path: Path, *, compressed: bool, names: tuple[str, ...] = ("west", "east")) -> Path:
    """Write a multi-extension file: what detectors share in the primary, a CCD in each HDU."""
    primary = fits.PrimaryHDU(header=fits.Header(cards(CCDNUM=None, BUNIT=None)))
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    hdus = [kind(image(), fits.Header({"CCDNUM": name}), name=name) for name in names]
    fits.HDUList([primary, *hdus]).writeto(path)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_multi_extension_files(tmp_path: Path, compressed: bool) -> None:
    path = write_mef(tmp_path / "a.fits.fz", compressed=compressed)
    frames = scan([path], camera()).frames
    assert [(f.detector, f.hdu) for f in frames] == [(1, 1), (2, 2)]
    assert {f.visit.visit for f in frames} == {7}


def test_detector_from_the_name_of_the_hdu(tmp_path: Path) -> None:
    path = write_mef(tmp_path / "a.fits", compressed=False)
    frames = scan([path], camera(header={"detector": {"hdu_name": True}})).frames
    assert [f.detector for f in frames] == [1, 2]


def test_hdus_to_pass_over(tmp_path: Path) -> None:
    path = write_mef(tmp_path / "a.fits", compressed=False, names=("west", "FOCUS1"))
    result = scan([path], camera())
    assert [(r.hdu, "'FOCUS1' is not in camera" in r.reason) for r in result.rejected] == [
        (2, True)
    ]
    quiet = scan([path], camera(ignore_hdus=r"FOCUS\d"))
    assert len(quiet.frames) == 1
    assert not quiet.rejected


def test_images_behind_a_frame_belong_to_it(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    fits.HDUList(
        [fits.PrimaryHDU(image(), fits.Header(cards())), fits.ImageHDU(image(), name="MASK")]
    ).writeto(path)
    result = scan([path], camera())
    assert len(result.frames) == 1
    assert not result.rejected


def amplifier_camera() -> object:
    """Return the camera with an HDU for each amplifier."""
    detectors = [
        d | {"amplifiers": [
            a | {"raw_data_section": [0, 10, 0, 12], "raw_serial_overscan": [10, 13, 0, 12],
                 "raw_hdu": f"{d['name']}{a['name']}"} for a in d["amplifiers"]
        ]} for d in CAMERA["detectors"]
    ]  # fmt: skip
    return camera(detectors=detectors, header={"detector": None})


def write_amplifiers(path: Path, names: tuple[str, ...]) -> Path:
    primary = fits.PrimaryHDU(header=fits.Header(cards(CCDNUM=None)))
    hdus = [fits.ImageHDU(image((12, 13)), name=name) for name in names]
    fits.HDUList([primary, *hdus]).writeto(path)
    return path


def test_an_hdu_for_each_amplifier(tmp_path: Path) -> None:
    path = write_amplifiers(tmp_path / "a.fits", ("westB", "westA", "eastA", "eastB"))
    result = scan([path], amplifier_camera())
    # The HDU of the sheet is that of the first amplifier of the camera file.
    assert [(f.detector, f.hdu) for f in result.frames] == [(1, 2), (2, 3)]


def test_a_missing_amplifier_is_named(tmp_path: Path) -> None:
    path = write_amplifiers(tmp_path / "a.fits", ("westA", "eastA", "eastB"))
    result = scan([path], amplifier_camera())
    assert [f.detector for f in result.frames] == [2]
    assert "amplifier B of detector west has no HDU 'westB'" in result.rejected[0].reason


def test_companions_follow_their_frame(tmp_path: Path) -> None:
    rule = {"science": "_im_", "weight": "_wt_", "mask": "_dq_"}
    good = write_frame(tmp_path / "a_im_1.fits")
    for kind in ("wt", "dq"):
        write_frame(tmp_path / f"a_{kind}_1.fits")
    write_frame(tmp_path / "b_im_1.fits", FILTER=None)
    write_frame(tmp_path / "b_wt_1.fits")
    write_frame(tmp_path / "c_wt_1.fits")
    result = scan(fits_files(tmp_path), camera(companions=rule))
    (frame,) = result.frames
    assert frame.path == str(good)
    assert frame.weight_path == str(tmp_path / "a_wt_1.fits")
    assert frame.mask_path == str(tmp_path / "a_dq_1.fits")
    assert result.companions == 2
    reasons = {Path(row.path).name: row.reason for row in result.rejected}
    assert set(reasons) == {"b_im_1.fits", "b_wt_1.fits", "c_wt_1.fits"}
    assert "belongs to b_im_1.fits, which was not accepted" in reasons["b_wt_1.fits"]
    assert "its name lacks '_im_'" in reasons["c_wt_1.fits"]


def test_unreadable_files_are_listed_with_their_fault(tmp_path: Path) -> None:
    good = write_frame(tmp_path / "good.fits")
    os.truncate(write_frame(tmp_path / "short.fits"), 3000)
    (tmp_path / "text.fits").write_text("no such object")
    (tmp_path / "void.fits").touch()
    fits.BinTableHDU.from_columns([fits.Column("x", "D")]).writeto(tmp_path / "table.fits")
    result = scan(fits_files(tmp_path), camera())
    assert [f.path for f in result.frames] == [str(good)]
    reasons = {Path(row.path).stem: row.reason for row in result.rejected}
    assert reasons["short"].startswith("truncated: HDU 0 reaches to byte")
    assert reasons["text"].startswith("not a FITS file")
    assert reasons["void"].startswith("the file is empty")
    assert "no two-dimensional image: HDU 0 (no data), HDU 1 (" in reasons["table"]
    assert result.categories == {"unreadable": 3, "not a frame": 1}


def test_damage_within_a_compressed_file_is_found_deeply(tmp_path: Path) -> None:
    plain = tmp_path / "plain.fits"
    pixels = np.random.default_rng(3).integers(0, 60000, (12, 26)).astype(np.uint16)
    fits.PrimaryHDU(pixels, fits.Header(cards())).writeto(plain)
    packed = bytearray(gzip.compress(plain.read_bytes()))
    packed[-12] ^= 0xFF
    path = tmp_path / "a.fits.gz"
    path.write_bytes(packed)
    assert scan([path], camera()).frames
    result = scan([path], camera(), deep=True)
    assert not result.frames
    assert result.categories == {"unreadable": 1}


def test_optional_values_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    for number in range(3):
        write_frame(tmp_path / f"{number}.fits", EXPNUM=number, TEMP="broken")
    result = scan(fits_files(tmp_path), camera())
    assert len(result.frames) == 3
    assert list(result.notes.values()) == [3]
    assert result.frames[0].visit.temperature_c is None
