"""A drafted camera is valid, tells where each guess comes from, and ingest runs on it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits

from drpflow.cli import main
from drpflow.data.camera import Camera
from drpflow.errors import InputError
from drpflow.ingest.draft import draft_camera
from drpflow.ingest.draft_layout import parse_section
from drpflow.ingest.scan import Scan, scan
from drpflow.io.camera_yaml import load_camera

DATA = Path(__file__).parents[3] / "shared" / "data"
real_data = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real frames are not here"),
]
ORDINARY: dict[str, Any] = {
    "INSTRUME": "New Cam", "IMAGETYP": "object", "EXPNUM": 31, "FILTER": "r'", "EXPTIME": 20.0,
    "MJD-OBS": 60735.25, "TIMESYS": "UTC", "RA": "10:00:00", "DEC": "-30:00:00",
    "AIRMASS": 1.1, "HA": "01:00:00", "OBJECT": "M 1", "BUNIT": "ADU", "GAIN": 2.1,
    "RDNOISE": 4.5, "SATURATE": 55000, "PIXSCALE": 0.4, "XPIXSZ": 10.0,
    "OBS-LONG": "-70:48:00", "OBS-LAT": "-30:10:00", "OBS-ELEV": 2200.0,
}  # fmt: skip


def write(path: Path, shape: tuple[int, int] = (40, 50), **changes: Any) -> Path:
    cards = ORDINARY | {name.replace("_", "-"): v for name, v in changes.items()}
    header = fits.Header({name: v for name, v in cards.items() if v is not None})
    fits.PrimaryHDU(np.full(shape, 900, np.uint16), header).writeto(path)
    return path


def drafted(tmp_path: Path, *files: Path) -> tuple[Camera, str, Scan]:
    """Return the drafted camera, its text, and what ingest takes of the samples with it."""
    _, text = draft_camera(files)
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    camera = load_camera(path)
    return camera, text, scan(files, camera)


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("[1:1024,1:4096]", ((0, 1024, 0, 4096), False, False)),
        ("[ 17: 528,   1: 520]", ((16, 528, 0, 520), False, False)),
        ("[1024:1,4096:1]", ((0, 1024, 0, 4096), True, True)),
        ("[5:5,7:7]", ((4, 5, 6, 7), False, False)),
        ("[0:0,0:0]", None),
        ("1:10,1:10", None),
        (None, None),
    ],
)
def test_iraf_sections_become_half_open_boxes(text: object, section: object) -> None:
    assert parse_section(text) == section


def test_an_ordinary_header(tmp_path: Path) -> None:
    camera, text, found = drafted(tmp_path, write(tmp_path / "a.fits"))
    assert camera.name == "new_cam"
    assert camera.observatory.longitude_deg == pytest.approx(-70.8)
    assert camera.optics.plate_scale_arcsec_per_mm == pytest.approx(40.0)
    (amp,) = camera.detectors[0].amplifiers
    assert (amp.gain, amp.read_noise, amp.saturation) == (2.1, 4.5, 55000.0)
    assert camera.filters[0].band == "r"
    row = found.frames[0].visit
    assert (row.visit, row.physical_filter) == (31, "r'")
    assert row.ra_deg == pytest.approx(150.0)
    assert row.hour_angle_deg == pytest.approx(15.0)
    assert "# guessed from EXPNUM" in text
    assert "# guessed from PIXSCALE; pixels of 0.01 mm guessed from XPIXSZ" in text


def test_nothing_but_pixels(tmp_path: Path) -> None:
    path = tmp_path / "bare.fits"
    fits.PrimaryHDU(np.zeros((4, 4), np.uint16)).writeto(path)
    camera, text, found = drafted(tmp_path, path)
    assert camera.name == "camera"
    assert len(found.frames) == 1
    todo = {line.split(":")[0].strip(" -") for line in text.splitlines() if "TODO" in line}
    assert {"gain", "read_noise", "saturation", "mjd", "ra_deg", "exposure_time_s"} <= todo


@pytest.mark.parametrize("suffix", ["", "A"])
def test_overscan_is_cut_away(tmp_path: Path, suffix: str) -> None:
    cards = {f"DATASEC{suffix}": "[5:44,1:40]", f"BIASSEC{suffix}": "[45:50,1:40]"}
    camera, _, found = drafted(tmp_path, write(tmp_path / "a.fits", **cards))
    detector = camera.detectors[0]
    assert detector.size_pix == (40, 40)
    assert detector.raw_size_pix == (50, 40)
    (amp,) = detector.amplifiers
    assert amp.raw_data_section == (4, 44, 0, 40)
    assert amp.raw_serial_overscan == (44, 50, 0, 40)
    assert len(found.frames) == 1


def test_rows_behind_the_data_are_parallel_overscan(tmp_path: Path) -> None:
    cards = {"DATASEC": "[1:50,1:36]", "BIASSEC": "[1:50,37:40]"}
    camera, _, _ = drafted(tmp_path, write(tmp_path / "a.fits", **cards))
    assert camera.detectors[0].amplifiers[0].raw_parallel_overscan == (0, 50, 36, 40)
    assert camera.detectors[0].amplifiers[0].raw_serial_overscan is None


def test_four_amplifiers_in_one_image(tmp_path: Path) -> None:
    cards: dict[str, Any] = {}
    for number, (x, y) in enumerate(((1, 1), (27, 1), (1, 21), (27, 21)), 1):
        cards[f"DATASEC{number}"] = f"[{x}:{x + 19},{y}:{y + 19}]"
        x_over = x + 20 if x == 1 else x - 4
        cards[f"BIASSEC{number}"] = f"[{x_over}:{x_over + 3},{y}:{y + 19}]"
        cards[f"GAIN{number}"] = 1.0 + number
        cards[f"SATURAT{number}"] = 50000 + number
    camera, _, found = drafted(tmp_path, write(tmp_path / "a.fits", (40, 46), **cards))
    amps = camera.detectors[0].amplifiers
    assert camera.detectors[0].size_pix == (40, 40)
    assert [a.data_section for a in amps] == [
        (0, 20, 0, 20), (20, 40, 0, 20), (0, 20, 20, 40), (20, 40, 20, 40),
    ]  # fmt: skip
    assert amps[1].raw_serial_overscan == (22, 26, 0, 20)
    assert [a.gain for a in amps] == [2.0, 3.0, 4.0, 5.0]
    assert [a.saturation for a in amps] == [50001.0, 50002.0, 50003.0, 50004.0]
    assert len(found.frames) == 1


def test_amplifiers_that_say_where_they_go(tmp_path: Path) -> None:
    cards = {
        "AMPNAM1": "C00", "DATASEC1": "[1:20,1:40]", "BIASSEC1": "[21:25,1:40]",
        "DETSEC1": "[101:120,1:40]", "AMPNAM2": "C01", "DATASEC2": "[26:45,1:40]",
        "BIASSEC2": "[46:50,1:40]", "DETSEC2": "[140:121,1:40]",
    }  # fmt: skip
    camera, _, _ = drafted(tmp_path, write(tmp_path / "a.fits", **cards))
    first, second = camera.detectors[0].amplifiers
    assert (first.name, first.data_section, first.flip_x) == ("C00", (0, 20, 0, 40), False)
    assert (second.name, second.data_section, second.flip_x) == ("C01", (20, 40, 0, 40), True)
    assert second.raw_serial_overscan == (45, 50, 0, 40)


def test_a_trimmed_frame_whose_header_still_has_its_sections(tmp_path: Path) -> None:
    cards = {"TRIMSEC": "[17:66,1:40]", "BIASSEC": "[4:13,1:40]"}
    camera, text, _ = drafted(tmp_path, write(tmp_path / "a.fits", **cards))
    assert camera.detectors[0].size_pix == (50, 40)
    assert "reaches beyond the 50 x 40 image: it seems to be trimmed already" in text


def test_an_image_for_each_detector(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    hdus: list[Any] = [fits.PrimaryHDU(header=fits.Header(ORDINARY))]
    for ccd, x in ((3, 20.0), (8, 120.0)):
        cards = {
            "CCDNUM": ccd, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": -x, "CRPIX2": 20.5,
            "CRVAL1": 150.0, "CRVAL2": -30.0, "CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0,
            "CD2_2": 1e-4,
        }  # fmt: skip
        hdus.append(
            fits.CompImageHDU(np.zeros((40, 50), np.int16), fits.Header(cards), name=f"N{ccd}")
        )
    fits.HDUList(hdus).writeto(path)
    camera, _, found = drafted(tmp_path, path)
    assert [(d.id, d.name) for d in camera.detectors] == [(3, "N3"), (8, "N8")]
    # Centre of the image from the reference pixel, 10 um pixels: (25.5 - CRPIX1) · 0.01 mm.
    assert camera.detectors[0].center_mm == pytest.approx((0.455, 0.0))
    assert camera.detectors[1].center_mm == pytest.approx((1.455, 0.0))
    assert camera.wcs_from == "header"
    assert camera.optics.x_axis == "west"
    assert camera.optics.plate_scale_arcsec_per_mm == pytest.approx(36.0)
    assert [f.detector for f in found.frames] == [3, 8]


def test_an_image_for_each_amplifier(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    hdus: list[Any] = [fits.PrimaryHDU(header=fits.Header(ORDINARY))]
    for name, place in (("im1", "[1:20,1:40]"), ("im2", "[40:21,1:40]")):
        cards = {"CCDNAME": "east", "DATASEC": "[1:20,1:40]", "BIASSEC": "[21:24,1:40]",
                 "CCDSEC": place, "GAIN": 1.7}  # fmt: skip
        hdus.append(fits.ImageHDU(np.zeros((40, 24), np.int16), fits.Header(cards), name=name))
    fits.HDUList(hdus).writeto(path)
    camera, _, found = drafted(tmp_path, path)
    (detector,) = camera.detectors
    assert detector.name == "east"
    assert detector.size_pix == (40, 40)
    first, second = detector.amplifiers
    assert (first.raw_hdu, first.flip_x, first.data_section) == ("IM1", False, (0, 20, 0, 40))
    assert (second.raw_hdu, second.flip_x, second.data_section) == ("IM2", True, (20, 40, 0, 40))
    assert len(found.frames) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MJD_OBS": None, "DATE_OBS": "2025-03-01T04:00:00"}, "{key: DATE-OBS, format: isot}"),
        ({"MJD_OBS": None, "DATE_OBS": "2025-03-01", "UT": "04:00:00"},
         "{key: DATE-OBS, format: date, time_key: UT}"),
        ({"MJD_OBS": None, "JD": 2460735.5}, "{key: JD, format: jd}"),
        ({"MJD_OBS": None, "TAI": 4507683881.19}, "{key: TAI, format: seconds}"),
        ({"MJD_OBS": None, "MJD_AVG": 60735.3}, "{key: MJD-AVG, format: mjd}"),
        ({"RA": 150.0}, "ra_deg: {key: RA, format: deg}"),
        ({"EXPNUM": None}, "visit numbers will be made from the time"),
    ],
)  # fmt: skip
def test_header_maps(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    _, text, found = drafted(tmp_path, write(tmp_path / "a.fits", **changes))
    assert words in text
    assert len(found.frames) == 1


def test_every_filter_of_the_samples(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{n}.fits", FILTER=name, EXPNUM=n)
        for n, name in enumerate(("g SDSS", "58", "Halpha", "sim_z"))
    ]
    camera, _, found = drafted(tmp_path, *files)
    bands = {f.physical_filter: f.band for f in camera.filters}
    assert bands == {"g SDSS": "g", "58": "58", "Halpha": "halpha", "sim_z": "z"}
    assert len(found.frames) == 4


def test_a_visit_of_several_files(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{visit}_{ccd}.fits", EXPNUM=visit, CCDNUM=ccd, CCDNAME=f"S{ccd:02d}")
        for visit in (7, 8)
        for ccd in (1, 2)
    ]
    camera, _, found = drafted(tmp_path, *files)
    assert [(d.id, d.name) for d in camera.detectors] == [(1, "S01"), (2, "S02")]
    assert [(f.visit.visit, f.detector) for f in found.frames] == [(7, 1), (7, 2), (8, 1), (8, 2)]


def test_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    fits.BinTableHDU.from_columns([fits.Column("x", "D")]).writeto(path)
    with pytest.raises(InputError, match="no two-dimensional image"):
        draft_camera([path])


def test_the_command_writes_checks_and_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a.fits"))
    assert main(["camera", "init", "a.fits", "--name", "mine"]) == 0
    path = Path("config/cameras/mine.yaml")
    assert yaml.safe_load(path.read_text())["name"] == "mine"
    assert f"Written: {path}" in capsys.readouterr().out
    assert main(["camera", "init", "a.fits", "--name", "mine"]) == 2
    assert "the file exists already" in capsys.readouterr().err
    assert main(["camera", "init", "a.fits", "--name", "mine", "--force"]) == 0
    assert main(["camera", "check", "mine"]) == 0
    assert "No faults." in capsys.readouterr().out
    Path("config/cameras/broken.yaml").write_text("name: broken")
    assert main(["camera", "list"]) == 0
    listed = capsys.readouterr().out
    assert "mine" in listed
    assert "broken" in listed
    assert "decam" in listed


@pytest.mark.parametrize(
    ("pattern", "detectors", "frames"),
    [
        pytest.param("saao_kb131475/*.fits.gz", 1, 66, marks=real_data),
        pytest.param("sdss_m2/frame-*.bz2", 5, 5, marks=real_data),
        pytest.param("sdss_m2/fpC-*", 1, 1, marks=real_data),
        pytest.param("raw_darks/tres1-[012]??.fit.gz", 1, 12, marks=real_data),
        pytest.param("decam_cutouts/testcase*/images/**/*_ooi_*", 10, 20, marks=real_data),
        pytest.param("decam_cutouts/mzls*/images/90prime/**/*_ooi_*", 3, 8, marks=real_data),
        pytest.param("decam_cutouts/mzls*/images/mosaic/**/*_ooi_*", 1, 3, marks=real_data),
    ],
)
def test_real_cameras(tmp_path: Path, pattern: str, detectors: int, frames: int) -> None:
    files = sorted(DATA.glob(pattern))
    camera, text, found = drafted(tmp_path, *files)
    assert len(camera.detectors) == detectors
    assert [row.reason for row in found.rejected] == []
    assert len(found.frames) == frames
    assert "guessed from" in text
