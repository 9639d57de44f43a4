"""scripts/compress_image.py and rebuild_image.py: from files to files, and when they refuse."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from drpflow.data.background import Background, PolynomialLayer
from drpflow.tasks.compress_image import failed_exposure
from drpflow.workflow.task_runner import main
from tests.algorithms.isr.cameras import two_by_two
from tests.tasks.compressed_run import ID, NX, NY, VISIT, make_images, put_background, write_run

if TYPE_CHECKING:
    from types import ModuleType

SCRIPTS = Path(__file__).parents[2] / "scripts"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Run:
    """A folder in which the scripts run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = make_images()
        self.store = write_run(folder, self.images)

    def call(self, script: str, task: str, *inputs: str, output: str) -> dict[str, Any]:
        status = self.store.roots[0] / f"status/{task}/visit=12/detector=3.json"
        words = [
            "--camera", str(self.folder / "camera.yaml"), "--detector", "3",
            "--visit-info", str(self.store.path("visit_info", visit=12)),
            "--status", str(status), "--code", "abc",
        ]  # fmt: skip
        for name in (*inputs, output):
            data_id = {"visit": 12} if name == "visit_background" else ID
            words += [f"--{name.replace('_', '-')}", str(self.store.path(name, **data_id))]
        assert main(load(script).TASK, words) == 0
        return json.loads(status.read_text())

    def compress(self) -> dict[str, Any]:
        return self.call("compress_image", "compressImage", "pvi", output="compressed_pvi")

    def rebuild(self) -> dict[str, Any]:
        inputs = "post_isr_image", "visit_background", "compressed_pvi"
        return self.call("rebuild_image", "rebuildImage", *inputs, output="rebuilt_pvi")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_an_image_goes_into_the_archive_and_comes_back(run):
    assert run.compress()["outcome"] == "done"
    run.store.path("pvi", **ID).unlink()
    status = run.rebuild()
    assert status["outcome"] == "done"
    assert status["numbers"]["image_rms_steps"] == pytest.approx(12**-0.5, rel=0.05)
    rebuilt, pvi = run.store.get("rebuilt_pvi", **ID), run.images.pvi
    sigma = np.sqrt(pvi.variance)
    tolerance = np.maximum(1e-5 * sigma, 2 * np.spacing(np.abs(pvi.image)))
    difference = np.abs(rebuilt.image.astype(float) - pvi.image)
    assert (difference <= tolerance)[np.isfinite(pvi.image)].all()
    assert rebuilt.visit_info == VISIT


def test_a_background_that_has_changed_is_refused(run):
    run.compress()
    run.rebuild()
    layers = run.images.background.layers
    put_background(run.store, Background((*layers, ("late", PolynomialLayer.constant(2.0)))))
    status = run.rebuild()
    assert status["outcome"] == "failed"
    assert "visit_background has changed" in status["reason"]
    assert status["numbers"]["background_change"] == pytest.approx(2.0)
    left = run.store.get("rebuilt_pvi", **ID)
    assert np.isnan(left.image).all()
    assert "visit_background has changed" in left.missing["wcs"]


def test_a_detrended_image_that_has_changed_is_refused(run):
    run.compress()
    before = run.images.detrended
    run.store.put(before.replace(image=before.image + np.float32(5)), "post_isr_image", **ID)
    status = run.rebuild()
    assert status["outcome"] == "failed"
    assert "the detrended image is not the one" in status["reason"]


def test_an_image_that_failed_is_archived_as_that(run):
    run.store.put(failed_exposure(two_by_two(NX, NY), VISIT, "too few stars"), "pvi", **ID)
    status = run.compress()
    assert status["outcome"] == "failed"
    assert "too few stars" in status["reason"]
    kept = run.store.get("compressed_pvi", **ID)
    assert kept.mask.any("NO_DATA").all()
    assert "too few stars" in kept.missing["psf"]
    assert "there was no final image" in run.rebuild()["reason"]


def test_a_damaged_image_is_told(run):
    path = run.store.path("pvi", **ID)
    path.write_bytes(path.read_bytes()[:9000])
    status = run.compress()
    assert status["outcome"] == "failed"
    assert str(path) in status["reason"]
