"""A small two-CCD camera and its frames, for the tests of ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from drpflow.config.base import validate
from drpflow.data.camera import Camera

RAW_SHAPE = (12, 26)  # rows, columns: two amplifiers of 10 x 12 and their overscans of 3
CAMERA: dict[str, Any] = {
    "name": "duo",
    "observatory": {"name": "Hilltop", "longitude_deg": -70.8, "latitude_deg": -30.2},
    "optics": {"plate_scale_arcsec_per_mm": 13.3},
    "detectors": [
        {
            "id": number,
            "name": name,
            "size_pix": [20, 12],
            "center_mm": [25.0 * number, 0.0],
            "pixel_size_mm": 0.015,
            "amplifiers": [
                {
                    "name": "A",
                    "data_section": [0, 10, 0, 12],
                    "raw_data_section": [0, 10, 0, 12],
                    "raw_serial_overscan": [10, 13, 0, 12],
                    "gain": 1.5,
                    "read_noise": 4.0,
                    "saturation": 60000.0,
                },
                {
                    "name": "B",
                    "data_section": [10, 20, 0, 12],
                    "raw_data_section": [16, 26, 0, 12],
                    "raw_serial_overscan": [13, 16, 0, 12],
                    "gain": 1.6,
                    "read_noise": 4.0,
                    "saturation": 60000.0,
                },
            ],
        }
        for number, name in ((1, "west"), (2, "east"))
    ],
    "filters": [
        {"physical_filter": "r_duo", "band": "r"},
        {"physical_filter": "i_duo", "band": "i"},
    ],
    "header": {
        "instrument": {"key": "INSTRUME", "values": {"DUO": "duo"}},
        "observation_type": {"key": "OBSTYPE"},
        "visit": {"key": "EXPNUM"},
        "detector": {"key": "CCDNUM"},
        "physical_filter": {"key": "FILTER", "values": {"r": "r_duo", "i": "i_duo"}},
        "exposure_time_s": {"key": "EXPTIME"},
        "mjd": {"key": "DATE-OBS", "format": "isot"},
        "ra_deg": {"key": "RA", "format": "hms"},
        "dec_deg": {"key": "DEC", "format": "dms"},
        "rotation_deg": {"key": "ROTPA", "default": 0.0},
        "airmass": {"key": "AIRMASS"},
        "temperature_c": {"key": "TEMP"},
        "target": {"key": "OBJECT"},
    },
}
CARDS: dict[str, Any] = {
    "INSTRUME": "DUO", "OBSTYPE": "OBJECT", "EXPNUM": 7, "CCDNUM": 1, "FILTER": "r",
    "EXPTIME": 30.0, "DATE-OBS": "2025-03-01T04:00:00.0", "RA": "10:00:00.0",
    "DEC": "-30:12:00", "OBJECT": "field", "BUNIT": "adu",
}  # fmt: skip


def camera(**changes: Any) -> Camera:
    """Return the camera; `header` entries are merged, None removes one."""
    values = CAMERA | changes
    header = CAMERA["header"] | changes.get("header", {})
    values["header"] = {name: rule for name, rule in header.items() if rule is not None}
    return validate(Camera, values, "duo.yaml")


def cards(**changes: Any) -> dict[str, Any]:
    """Return header cards; underscores in names stand for hyphens, None removes one."""
    merged = CARDS | {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value is not None}


def image(shape: tuple[int, int] = RAW_SHAPE) -> np.ndarray:
    """Return raw pixels."""
    return np.full(shape, 1000, np.uint16)


def write_frame(path: Path, shape: tuple[int, int] = RAW_SHAPE, **changes: Any) -> Path:
    """Write a raw frame of the camera."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(image(shape), fits.Header(cards(**changes))).writeto(path)
    return path


def write_visit(folder: Path, visit: int, **changes: Any) -> None:
    """Write both detectors of a visit."""
    for ccd in (1, 2):
        write_frame(folder / f"duo_{visit:04d}_{ccd}.fits", EXPNUM=visit, CCDNUM=ccd, **changes)
