"""What camera and header tell of a frame."""

from __future__ import annotations

from typing import Any

import pytest

from drpflow.algorithms.isr.context import frame_context
from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError
from drpflow.io.camera_yaml import load_camera


def test_the_unit_of_one_adu_stands_in_the_header_of_calibrated_frames() -> None:
    camera = load_camera("sdss")
    of = camera, camera.detectors[0], VisitInfo(visit=1)
    assert frame_context(*of, {"NMGY": 0.0054}, "x.fits").unit_per_adu == 0.0054
    plain = camera.model_copy(update={"unit_per_adu_card": None})
    assert frame_context(plain, *of[1:], {"NMGY": 0.0054}, "x.fits").unit_per_adu is None
    faults: tuple[dict[str, Any], ...] = ({}, {"NMGY": 0.0}, {"NMGY": "some"})
    for header in faults:
        with pytest.raises(InputError, match=r"x.fits: NMGY is .*unit_per_adu_card"):
            frame_context(*of, header, "x.fits")


def test_a_wcs_of_the_header_knows_how_large_its_frame_is() -> None:
    camera = load_camera("sdss")
    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0}
    header |= {"CRPIX1": 1025.0, "CRPIX2": 745.0, "CD1_1": -1.1e-4, "CD2_2": 1.1e-4}
    header |= {"CD1_2": 0.0, "CD2_1": 0.0, "NMGY": 0.005}
    detector = camera.detectors[0]
    wcs = frame_context(camera, detector, VisitInfo(visit=1), header, "x.fits").wcs
    assert wcs is not None
    assert wcs.pixel_shape == detector.size_pix == (2048, 1489)
