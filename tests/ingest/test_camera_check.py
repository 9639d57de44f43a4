"""Faults of a camera that its schema cannot see are found; the shipped cameras have none."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits

from drpflow.cli import main
from drpflow.data.camera import Camera
from drpflow.data.sky_wcs import SkyWcs
from drpflow.ingest.camera_check import camera_faults, camera_gaps, field_of_view
from drpflow.io.camera_yaml import load_camera
from tests.ingest.frames import CAMERA, camera

SHIPPED = sorted(p.stem for p in (Path(__file__).parents[2] / "config/cameras").glob("*.yaml"))
CUTOUTS = Path(__file__).parents[3] / "shared/data/decam_cutouts"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_cameras_have_no_faults(name: str) -> None:
    assert camera_faults(load_camera(name)) == []


def altered(detector: int, **changes: Any) -> Camera:
    detectors = copy.deepcopy(CAMERA["detectors"])
    detectors[detector] |= changes
    return camera(detectors=detectors)


def test_faults() -> None:
    amps = copy.deepcopy(CAMERA["detectors"][0]["amplifiers"])
    amps[1]["data_section"] = [5, 15, 0, 12]
    assert camera_faults(altered(0, amplifiers=amps)) == [
        "detector west: amplifiers A and B share pixels"
    ]
    amps = copy.deepcopy(CAMERA["detectors"][0]["amplifiers"])
    amps[0]["raw_serial_overscan"] = [9, 13, 0, 12]
    (fault,) = camera_faults(altered(0, amplifiers=amps))
    assert "raw_serial_overscan of amplifier A shares pixels" in fault
    (fault,) = camera_faults(altered(1, center_mm=[25.1, 0.0]))
    assert fault.startswith("detectors west and east overlap in the focal plane")
    optics = {"plate_scale_arcsec_per_mm": 13.3, "radius_mm": 50.0, "radial": [-0.5]}
    (fault,) = camera_faults(camera(optics=optics))
    assert "the distortion folds the field within 50.2 mm" in fault
    (fault,) = camera_faults(camera(header={"mjd": None}))
    assert "mjd" in fault


def test_a_faulty_throughput_is_a_fault(tmp_path: Path) -> None:
    filters = copy.deepcopy(CAMERA["filters"])
    filters[0]["throughput"] = str(tmp_path / "absent.csv")
    (fault,) = camera_faults(camera(filters=filters))
    assert fault.startswith(f"filter r_duo: {tmp_path / 'absent.csv'}: the throughput cannot be")


def test_gaps() -> None:
    gaps = " ".join(camera_gaps(camera(observatory={}, header={"visit": None})))
    for words in (
        "the observatory's place is unknown",
        "filter r_duo has neither",
        "header: visit:",
    ):
        assert words in gaps


def test_field_of_view_of_two_detectors() -> None:
    view = field_of_view(camera())
    # 20 pixels of 15 um and a pitch of 25 mm at 13.3 arcsec a mm.
    assert view.width_deg == pytest.approx((25.0 + 0.3) * 13.3 / 3600, rel=1e-9)
    assert view.height_deg == pytest.approx(0.18 * 13.3 / 3600, rel=1e-9)
    assert view.area_deg2 == pytest.approx(2 * 0.3 * 0.18 * (13.3 / 3600) ** 2, rel=1e-9)


def test_decam_sees_three_square_degrees() -> None:
    view = field_of_view(load_camera("decam"))
    # Flaugher et al. 2015: a field of 2.2 degrees across, 62 CCDs of 2048 x 4096 x 0.263 arcsec.
    assert view.height_deg == pytest.approx(2.2, abs=0.1)
    assert view.area_deg2 == pytest.approx(62 * 2048 * 4096 * (0.263 / 3600) ** 2, rel=0.01)


def test_the_command_shows_faults_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = copy.deepcopy(CAMERA)
    values["detectors"][1]["center_mm"] = [25.1, 0.0]
    path = tmp_path / "duo.yaml"
    path.write_text(yaml.safe_dump(values))
    assert main(["camera", "check", str(path)]) == 1
    shown = capsys.readouterr().out
    assert "Fault: detectors west and east overlap" in shown
    assert "r_duo" in shown


@pytest.mark.real_data
@pytest.mark.skipif(not CUTOUTS.is_dir(), reason="the real frames are not here")
@pytest.mark.parametrize(
    ("name", "pattern"),
    [("decam", "testcase*/**/c4d*_ooi_*.fits"), ("90prime", "mzls*/images/**/ksb*_ooi_*.fits"),
     ("mosaic3", "mzls*/images/**/k4m*_ooi_*.fits")],
)  # fmt: skip
def test_geometry_agrees_with_the_frames_own_wcs(name: str, pattern: str) -> None:
    """Scale, parity and orientation of the camera file against the TPV solution of each frame.

    The places of the cut-outs within their detectors are not known, so derivatives are compared.
    """
    cam = load_camera(name)
    seen = 0
    for path in sorted(CUTOUTS.glob(pattern)):
        with fits.open(path) as file:
            if len(file) < 2 or file[1].header.get("CTYPE1") != "RA---TPV":
                continue
            header, number = file[1].header, file[1].header["CCDNUM"]
            shape = file[1].shape
        seen += 1
        own = SkyWcs.from_fits_header(header)
        rotation = cam.header["rotation_deg"].constant
        ours = SkyWcs.from_camera(
            cam, cam.detector(number), header["CRVAL1"], header["CRVAL2"], rotation
        )
        theirs = own.linearize(shape[1] / 2, shape[0] / 2)
        nx, ny = cam.detector(number).size_pix
        matrix = np.linalg.solve(theirs, ours.linearize(nx / 2, ny / 2))
        # Identity but for the distortion across the detector and the pointing's turn.
        np.testing.assert_allclose(matrix, np.eye(2), atol=0.02)
    assert seen >= 3
