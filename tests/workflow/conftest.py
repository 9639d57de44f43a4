"""Small cameras and sheets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from drpflow.config.run import RunConfig
from drpflow.data.camera import Camera
from drpflow.io.sheets import CalibrationRow, ExposureRow, VisitRow, write_sheet
from tests.workflow.small_survey import SmallSurvey, camera_values

# test_faults.py takes from there what makes faults happen.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


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


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SmallSurvey:
    """A small survey that has been run to its end; tests put back what they change."""
    survey = SmallSurvey.make(tmp_path_factory.mktemp("survey"))
    notes = survey.folder / "modules"
    notes.mkdir()
    survey.outcome.append(
        survey.drpflow("run", "--cores", "2", "--verbose", DRPFLOW_NOTE_MODULES=str(notes))
    )
    return survey
