"""A survey of a few tiny frames, made with astropy alone, and a folder to run it in."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from astropy.io import fits

from drpflow.io.sheets import CalibrationRow, ExposureRow, VisitRow, write_sheet
from tests.workflow import warm_snakemake

ROOT = Path(__file__).parents[2]
WITHOUT_NUMBA = Path(__file__).parent / "without_numba"
NX, NY, N_OVERSCAN = 64, 48, 20
GAIN, READ_NOISE, BIAS_ADU, SKY_ADU = 1.5, 5.0, 1000.0, 400.0
DETECTORS = (0, 1)
VISITS = (11, 12)
# Two patches side by side.
SKY_MAP = {
    "layout": "field",
    "field": {"ra_deg": 10.0, "dec_deg": -30.0, "width_deg": 0.012, "height_deg": 0.006},
    "patch_inner_pix": 100,
    "patch_border_pix": 10,
    "warp_margin_pix": 8,
}
# What a run needs of a checkout.
PARTS = ("Snakefile", "workflow", "profiles", "scripts", "config", "envs", "src")


def camera_values(detectors: int = len(DETECTORS)) -> dict:
    """A camera of small detectors with one amplifier each, as a camera file holds it."""
    amplifier = {
        "name": "A",
        "data_section": [0, NX, 0, NY],
        "raw_data_section": [0, NX, 0, NY],
        "raw_serial_overscan": [NX, NX + N_OVERSCAN, 0, NY],
        "gain": GAIN,
        "read_noise": READ_NOISE,
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


def visit_row(visit: int) -> VisitRow:
    """A row of the visit sheet; visits after those of the first night are of the next."""
    later = visit > VISITS[-1]
    mjd = 61041.2 + visit / 100 + later
    return VisitRow(visit, f"n{1 + later}", "g1", "g", 30.0, mjd, 10.0, -30.0)


@dataclass
class SmallSurvey:
    """A run folder and a copy of the code that runs in it, both free to be changed."""

    folder: Path
    code: Path
    outcome: list[subprocess.CompletedProcess[str]] = field(default_factory=list)

    @classmethod
    def make(cls, parent: Path) -> SmallSurvey:
        """Make raw frames, calibrations, sheets, config, and a copy of this checkout."""
        survey = cls(parent / "run", parent / "code")
        survey.code.mkdir(parents=True)
        for part in PARTS:
            source, target = ROOT / part, survey.code / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(source, target, ignore=ignored)
            else:
                shutil.copy(source, target)
        (survey.folder / "config").mkdir(parents=True)
        survey.write_camera(camera_values())
        for detector in DETECTORS:
            survey.write_calibrations(detector)
            for visit in VISITS:
                survey.write_raw(visit, detector)
        survey.write_sheets(VISITS)
        survey.write_config()
        return survey

    def write_camera(self, values: dict) -> None:
        (self.folder / "camera.yaml").write_text(yaml.safe_dump(values))

    def write_config(self, **sections: object) -> None:
        values = {"camera": "camera.yaml", "sheets": "sheets", "keep": ["post_isr_image"]}
        values["skyMap"] = SKY_MAP
        path = self.folder / "config" / "config.yaml"
        path.write_text(yaml.safe_dump(values | sections, sort_keys=False))

    def raw_path(self, visit: int, detector: int) -> Path:
        return self.folder / "raw" / f"{visit}_{detector}.fits"

    def write_raw(self, visit: int, detector: int, extra_adu: float = 0.0) -> None:
        """Write a frame of sky, read noise and overscan."""
        rng = np.random.default_rng([visit, detector])
        frame = BIAS_ADU + rng.normal(0, READ_NOISE / GAIN, (NY, NX + N_OVERSCAN))
        frame[:, :NX] += rng.poisson((SKY_ADU + extra_adu) * GAIN, (NY, NX)) / GAIN
        header = fits.Header({"BUNIT": "adu", "EXPNUM": visit, "CCDNUM": detector})
        path = self.raw_path(visit, detector)
        path.parent.mkdir(exist_ok=True)
        fits.PrimaryHDU(np.round(frame).astype(np.uint16), header).writeto(path, overwrite=True)

    def write_calibrations(self, detector: int) -> None:
        (self.folder / "calib").mkdir(exist_ok=True)
        values = {"bias": np.zeros((NY, NX)), "flat": np.ones((NY, NX))}
        for kind, image in values.items():
            header = fits.Header({"CALTYPE": kind, "CCDNUM": detector})
            hdu = fits.ImageHDU(image.astype(np.float32), header, name=kind.upper())
            hdus = fits.HDUList([fits.PrimaryHDU(), hdu])
            hdus.writeto(self.folder / f"calib/{kind}_{detector}.fits", overwrite=True)

    def write_sheets(self, visits: tuple[int, ...], **changes: object) -> None:
        """Write the sheets of `visits`; `changes` are made to the row of the last one."""
        rows = [visit_row(v) for v in visits]
        rows[-1] = rows[-1]._replace(**changes)
        frames = [ExposureRow(v, d, f"raw/{v}_{d}.fits") for v in visits for d in DETECTORS]
        calibrations = [
            CalibrationRow(kind, d, "", None, None, f"calib/{kind}_{d}.fits")
            for kind in ("bias", "flat")
            for d in DETECTORS
        ]
        sheets = self.folder / "sheets"
        write_sheet(sheets / "visits.tsv", VisitRow, rows)
        write_sheet(sheets / "exposures.tsv", ExposureRow, frames)
        write_sheet(sheets / "calibrations.tsv", CalibrationRow, calibrations)

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment in which the copied code runs."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "DRPFLOW"))}
        return kept | {"PYTHONPATH": f"{self.code / 'src'}:{WITHOUT_NUMBA}"} | more

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "drpflow.cli", *words]

    def drpflow(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a drpflow command in the run folder."""
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def snakemake(self, *words: str, snakefile: str = "") -> subprocess.CompletedProcess[str]:
        """Run bare Snakemake in the run folder."""
        words = ("--snakefile", snakefile or str(self.code / "Snakefile"), *words)
        if "--dry-run" in words:
            return warm_snakemake.plan([*words], self.folder, self.environment())
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *words],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def products(self) -> dict[str, str]:
        """Return the digest of every product, by path."""
        return digests(self.folder / "results")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text in a file of the code."""
        path = self.code / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1))


_OF_A_RUN = {"logs", "benchmarks", "report"}


def digests(root: Path) -> dict[str, str]:
    """Return the digest of every product of an output root, by path.

    Logs and timings are none, nor is the report, which shows how long jobs have taken.
    """
    names = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
    return {
        str(name): hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in names
        if name.parts[0] not in _OF_A_RUN and name.parts[:2] != ("status", "makeReport")
    }
