"""A small simulated survey, of which each test breaks one thing."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from drpflow.cli import main
from drpflow.data.visit_info import VisitInfo
from drpflow.io.camera_yaml import load_camera
from drpflow.io.records import write_component_json
from drpflow.io.sheets import read_exposures, read_rejected, read_visits
from drpflow.paths import script
from drpflow.workflow.task_runner import main as run_task

VISIT, DETECTOR = 1, 0


@dataclass(frozen=True)
class Survey:
    """A run folder, and the one frame in it that is broken."""

    folder: Path

    @property
    def frame(self) -> Path:
        """Raw frame of visit 1, detector 0."""
        return next(self.folder.glob(f"raw/*/*_{VISIT:06d}_{DETECTOR:02d}.fits"))

    def calibration(self, kind: str) -> Path:
        """A calibration of detector 0, the flat in the filter of visit 1."""
        return self.folder / f"calib/simcam_{kind}_{DETECTOR:02d}.fits"

    def ingest(self) -> int:
        """Run the command and return its exit code."""
        options = ["--camera", "camera.yaml", "--calibrations", "calib", "--output", "sheets"]
        return main(["ingest", "raw", *options])

    def rejection(self) -> str:
        """Ingest and return the one sentence on the broken frame; the others are accepted."""
        assert self.ingest() == 0
        rejected = read_rejected(self.folder / "sheets/rejected.tsv")
        assert [Path(row.path).name for row in rejected] == [self.frame.name]
        visits = read_visits(self.folder / "sheets/visits.tsv")
        accepted = read_exposures(self.folder / "sheets/exposures.tsv", visits)
        assert len(accepted) == 5
        return rejected[0].reason

    def isr(self, config: dict[str, Any] | None = None, **files: Path) -> dict[str, Any]:
        """Run the script of isr on the broken frame and return its status."""
        kinds = ("bias", "dark", "defects", "ptc", "linearizer", "crosstalk", "brighter_fatter")
        given = {kind: self.calibration(kind) for kind in (*kinds, "flat_sim_r", "cti")}
        given["flat"] = given.pop("flat_sim_r")
        given |= files
        out = self.folder / "out"
        arguments = {
            "raw": self.frame, "camera": "camera.yaml", "detector": DETECTOR,
            "visit-info": self.visit_info(), "config": json.dumps(config or {}),
            "post-isr-image": out / "image.fits",
            "post-isr-thumbnail": out / "thumbnail.fits",
            "isr-statistics": out / "statistics.parquet", "status": out / "status.json",
            **{kind.replace("_", "-"): path for kind, path in given.items() if path is not None},
        }  # fmt: skip
        argv = [text for key, value in arguments.items() for text in (f"--{key}", str(value))]
        assert run_task(load_script("isr").TASK, argv) == 0
        return json.loads((out / "status.json").read_text())

    def failure(self, config: dict[str, Any] | None = None, **files: Path) -> str:
        """Run isr, which must fail in the declared way, and return the sentence.

        The outputs must be whole: an image without a value, marked so, that says why.
        """
        import numpy as np

        from drpflow.io.exposure_fits import open_exposure

        status = self.isr(config, **files)
        assert status["outcome"] == "failed"
        exposure = open_exposure(self.folder / "out/image.fits")
        assert np.isnan(exposure.image).all()
        assert exposure.mask.any("NO_DATA").all()
        assert not list((self.folder / "out").glob(".*"))
        return f"{status['reason']}. {status['hint']}"

    def visit_info(self) -> Path:
        """Metadata of visit 1, from the frames as they were simulated."""
        path = self.folder / "visit_info.json"
        options = ["--camera", "camera.yaml", "--output", "unbroken"]
        assert main(["ingest", "pristine", *options]) == 0
        with Path("unbroken/visits.tsv").open() as sheet:
            row = next(r for r in csv.DictReader(sheet, delimiter="\t") if r["visit"] == str(VISIT))
        info = VisitInfo.from_sheet_row(row, load_camera("camera.yaml"))
        write_component_json(path, info)
        return path


def load_script(name: str) -> Any:
    """Import a script as a module."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", script(name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def survey(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Survey:
    """A copy of its own for each test, which is the working folder."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_folder, folder, ignore=shutil.ignore_patterns("truth"))
    shutil.copytree(folder / "raw", folder / "pristine")
    config = {"camera": "camera.yaml", "sheets": "sheets", "output": "results"}
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(folder)
    return Survey(folder)
