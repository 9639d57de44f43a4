"""Small cameras and sheets."""

from __future__ import annotations

from pathlib import Path

import pytest

from drpflow.config.run import RunConfig
from drpflow.data.camera import Camera
from drpflow.io.sheets import CalibrationRow, ExposureRow, VisitRow, write_sheet

NX, NY = 32, 24


def camera_values(detectors: int = 2) -> dict:
    """A camera of small detectors with one amplifier each, as a camera file holds it."""
    amplifier = {
        "name": "A",
        "data_section": [0, NX, 0, NY],
        "raw_data_section": [0, NX, 0, NY],
        "raw_serial_overscan": [NX, NX + 16, 0, NY],
        "gain": 1.5,
        "read_noise": 5.0,
        "saturation": 50000.0,
    }
    return {
        "name": "tinycam",
        "observatory": {"name": "nowhere", "longitude_deg": -70.0, "latitude_deg": -30.0},
        "optics": {"plate_scale_arcsec_per_mm": 20.0},
        "detectors": [
            {
                "id": d,
                "name": f"ccd{d}",
                "size_pix": [NX, NY],
                "center_mm": [d * 1.0, 0.0],
                "pixel_size_mm": 0.015,
                "amplifiers": [amplifier],
            }
            for d in range(detectors)
        ],
        "filters": [{"physical_filter": f"{band}1", "band": band} for band in "gr"],
    }


@pytest.fixture
def camera() -> Camera:
    return Camera.model_validate(camera_values())


class Sheets:
    """Sheets of three visits and two detectors, with empty files for all that they name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.visits = [self.visit(v, "g1" if v < 3 else "r1") for v in (1, 2, 3)]
        self.exposures = [
            ExposureRow(v, d, str(folder / f"raw/{v}_{d}.fits")) for v in (1, 2, 3) for d in (0, 1)
        ]
        self.calibrations = [
            CalibrationRow(kind, d, "", None, None, str(folder / f"calib/{kind}_{d}.fits"), 0)
            for kind in ("bias", "brighter_fatter")
            for d in (0, 1)
        ]
        for row in [*self.exposures, *self.calibrations]:
            Path(row.path).parent.mkdir(exist_ok=True)
            Path(row.path).touch()

    @staticmethod
    def visit(visit: int, physical_filter: str) -> VisitRow:
        mjd, ra_deg, dec_deg = 61041.2 + visit, 10.0, -30.0
        band = physical_filter[0]
        return VisitRow(visit, "20260101", physical_filter, band, 30.0, mjd, ra_deg, dec_deg)

    def write(self) -> RunConfig:
        """Write the sheets and return a configuration that names them."""
        write_sheet(self.folder / "visits.tsv", VisitRow, self.visits)
        write_sheet(self.folder / "exposures.tsv", ExposureRow, self.exposures)
        write_sheet(self.folder / "calibrations.tsv", CalibrationRow, self.calibrations)
        return RunConfig(camera="camera.yaml", sheets=self.folder, output=self.folder / "results")


@pytest.fixture
def sheets(tmp_path: Path) -> Sheets:
    return Sheets(tmp_path)
