"""scripts/isr.py: from files to files, and what it leaves behind when it fails."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits

from drpflow.data.camera import Camera, Filter, Optics
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.visit_info import VisitInfo
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.records import write_component_json
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table
from drpflow.workflow.task_runner import main
from tests.algorithms.isr.cameras import two_by_two

SCRIPT = Path(__file__).parents[2] / "scripts/isr.py"
NX, NY, SKY = 60, 40, 500.0


class Files:
    """A frame with its calibrations on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.detector = two_by_two(NX, NY, overscan=16)
        camera = Camera(
            name="test",
            optics=Optics(plate_scale_arcsec_per_mm=20.0),
            detectors=(self.detector,),
            filters=(Filter(physical_filter="r", band="r"),),
        )
        (folder / "camera.yaml").write_text(yaml.safe_dump(camera.model_dump(mode="json")))
        visit = VisitInfo(
            visit=12, instrument="test", physical_filter="r", exposure_time_s=10.0, ra_deg=1.0,
            dec_deg=2.0,
        )  # fmt: skip
        write_component_json(folder / "visit_info.json", visit)
        self.write_raw()
        for kind, value in (("bias", 2.0), ("flat", 1.0)):
            pixels = np.full((NY, NX), value, np.float32)
            hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, name=kind)]
            fits.HDUList(hdus).writeto(folder / f"{kind}.fits")

    def write_raw(self, **changes: Any) -> None:
        rng = np.random.default_rng(1)
        right = max(a.raw_serial_overscan[1] for a in self.detector.amplifiers)
        raw = rng.normal(1000, changes.get("noise_adu", 3.0), (NY, right))
        for amp in self.detector.amplifiers:
            u0, u1, v0, v1 = amp.raw_data_section
            raw[v0:v1, u0:u1] += 2 + rng.poisson(SKY, (v1 - v0, u1 - u0)) / amp.gain
        hdu = fits.PrimaryHDU(np.rint(raw).clip(0, 65535).astype(np.uint16))
        hdu.header["BUNIT"] = changes.get("unit", "adu")
        hdu.writeto(self.folder / "raw.fits", overwrite=True)

    def arguments(self, *more: str, **changes: str) -> list[str]:
        options = {
            "raw": self.folder / "raw.fits",
            "camera": self.folder / "camera.yaml",
            "detector": 3,
            "visit-info": self.folder / "visit_info.json",
            "bias": self.folder / "bias.fits",
            "flat": self.folder / "flat.fits",
            "post-isr-image": self.image,
            "post-isr-thumbnail": self.image.with_name("thumbnail.fits"),
            "isr-statistics": self.table,
            "status": self.status,
            "code": "abc",
        } | changes
        words = [word for k, v in options.items() if v for word in (f"--{k}", str(v))]
        return [*words, *more]

    @property
    def image(self) -> Path:
        return self.folder / "post_isr_image/visit=12/post_isr_image_12_3.fits"

    @property
    def table(self) -> Path:
        return self.folder / "isr_statistics/visit=12/detector=3/isr_statistics.parquet"

    @property
    def status(self) -> Path:
        return self.folder / "status/isr/visit=12/detector=3.json"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("isr_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_by_hand_in_a_process_of_its_own(files: Files) -> None:
    subprocess.run([sys.executable, str(SCRIPT), *files.arguments()], check=True)
    status = json.loads(files.status.read_text())
    assert (status["task"], status["outcome"]) == ("isr", "done")
    assert status["data_id"] == {"visit": 12, "detector": 3}
    exposure = open_exposure(files.image)
    assert exposure.unit == "electron"
    assert exposure.image.mean() == pytest.approx(SKY, rel=0.01)
    assert exposure.variance.mean() == pytest.approx(exposure.image.var(), rel=0.1)
    assert exposure.wcs is not None
    assert exposure.wcs.pixel_to_world_values((NX - 1) / 2, (NY - 1) / 2) == pytest.approx((1, 2))
    assert exposure.provenance.task == "isr"
    assert exposure.provenance.code == "abc"
    assert {item["name"] for item in exposure.provenance.inputs} == {"raw", "bias", "flat"}
    table = read_table(files.table, schema=load_schema("isr_statistics"))
    assert table.meta["data_id"] == {"visit": 12, "detector": 3}
    assert list(table["amplifier"]) == ["LL", "LR", "UL", "UR"]


def test_visit_wide_metadata_are_linked_not_stored(files: Files, script: ModuleType) -> None:
    assert main(script.TASK, files.arguments()) == 0
    with fits.open(files.image) as hdus:
        assert "VISIT_INFO" not in hdus
        rows = {str(row["COMPONENT"]).strip(): row for row in hdus["COMPONENTS"].data}
        assert str(rows["visit_info"]["DATASET"]).strip() == DatasetRef("visit_info").name


def test_two_runs_give_equal_bytes(files: Files, script: ModuleType) -> None:
    contents = []
    for _ in range(2):
        assert main(script.TASK, files.arguments("--config", '{"dequantize": true}')) == 0
        paths = (files.image, files.table, files.status)
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("fault", "reason", "hint"),
    [
        ("no flat", "there is no flat for detector 3 in filter r", "isr.required"),
        ("noise", "no amplifier is usable", "max_read_noise_electron"),
        ("no raw", "raw.fits", ""),
        ("unit", "the unit is 'electron'", "Convert"),
        ("truncated", "raw.fits", "again"),
    ],
)
def test_failures_are_complete(
    fault: str, reason: str, hint: str, files: Files, script: ModuleType
) -> None:
    arguments = files.arguments()
    if fault == "no flat":
        arguments = files.arguments(flat="")
    elif fault == "noise":
        files.write_raw(noise_adu=100.0)
    elif fault == "no raw":
        (files.folder / "raw.fits").unlink()
    elif fault == "unit":
        files.write_raw(unit="electron")
    elif fault == "truncated":
        raw = files.folder / "raw.fits"
        raw.write_bytes(raw.read_bytes()[:4000])
    assert main(script.TASK, arguments) == 0
    status = json.loads(files.status.read_text())
    assert status["outcome"] == "failed"
    assert reason in status["reason"]
    assert hint in status["hint"]
    exposure = open_exposure(files.image)
    assert exposure.shape == (NY, NX)
    assert np.isnan(exposure.image).all()
    assert exposure.mask.any("NO_DATA").all()
    assert exposure.wcs is None
    assert reason in exposure.missing["wcs"]
    assert len(read_table(files.table, schema=load_schema("isr_statistics"))) == 0


def test_a_detrended_frame_with_weight_and_mask(files: Files, script: ModuleType) -> None:
    image = np.full((NY, NX), 100, np.float32)
    weight = np.full((NY, NX), 0.01, np.float32)
    flags = np.zeros((NY, NX), np.int16)
    flags[4, 6] = 1
    for name, pixels in (("raw", image), ("weight", weight), ("mask", flags)):
        fits.PrimaryHDU(pixels).writeto(files.folder / f"{name}.fits", overwrite=True)
    companions = [w for k in ("weight", "mask") for w in (f"--{k}", f"{files.folder}/{k}.fits")]
    settings = '{"input": "detrended", "detrended": {"electron_per_unit": 2.0}}'
    assert main(script.TASK, files.arguments(*companions, "--config", settings)) == 0
    exposure = open_exposure(files.image)
    assert exposure.image[10, 10] == 200
    assert exposure.variance[10, 10] == pytest.approx(400)
    np.testing.assert_array_equal(np.argwhere(exposure.mask.any("BAD")), [[4, 6]])
    fits.PrimaryHDU(weight[:5]).writeto(files.folder / "weight.fits", overwrite=True)
    assert main(script.TASK, files.arguments(*companions, "--config", settings)) == 0
    assert "weight.fits: it is 60 x 5 pixels" in json.loads(files.status.read_text())["reason"]


def test_an_unknown_detector(files: Files, script: ModuleType) -> None:
    assert main(script.TASK, files.arguments(detector="99")) == 1
    assert not files.image.exists()
    assert not files.status.exists()


def test_only_what_is_needed_is_imported(files: Files) -> None:
    """The imports that cost most stay out, but for what astropy and pyarrow load themselves."""
    code = (
        "import sys, runpy; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: print(' '.join(sys.modules))"
    )
    arguments = [sys.executable, "-c", code, str(SCRIPT), *files.arguments()]
    found = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()
    heavy = {"scipy.stats", "scipy.interpolate", "healpy", "matplotlib", "galsim", "drpflow.sim",
             "astropy.coordinates"}  # fmt: skip
    assert not heavy & set(found)
