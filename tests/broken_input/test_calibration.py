"""Input that calibrateImage cannot use: the reason, and whole outputs without what failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from drpflow.data.mask import Mask
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.exposure_write import write_exposure
from drpflow.io.records import write_component_json
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.tables import read_table
from drpflow.workflow.task_runner import main as run_task
from tests.broken_input.conftest import load_script
from tests.tasks.star_scene import MJD, SIDE, SKY_ELECTRON, Scene, make_camera, make_scene

OUTPUTS = {
    "initial-pvi": "pvi.fits",
    "initial-thumbnail": "thumbnail.fits",
    "initial-background": "background.fits",
    "initial-stars-detector": "stars.parquet",
    "initial-stars-footprints-detector": "footprints.parquet",
}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(n_stars=80)


def calibrate(folder: Path, scene: Scene, camera: Any = None) -> dict[str, Any]:
    """Run the script on a scene and return its status; all outputs must be there and open."""
    camera = camera or make_camera()
    (folder / "camera.yaml").write_text(yaml.safe_dump(camera.model_dump(mode="json")))
    write_component_json(folder / "visit_info.json", scene.visit_info)
    write_exposure(folder / "image.fits", scene.exposure)
    write_reference_stars(folder / "stars_reference.parquet", scene.reference)
    arguments = {
        "post-isr-image": folder / "image.fits",
        "visit-info": folder / "visit_info.json",
        "camera": folder / "camera.yaml",
        "detector": 3,
        "reference-stars": folder / "stars_reference.parquet",
        "status": folder / "status" / "visit=12" / "detector=3.json",
        **{name: folder / file for name, file in OUTPUTS.items()},
    }
    argv = [text for key, value in arguments.items() for text in (f"--{key}", str(value))]
    assert run_task(load_script("calibrate_image").TASK, argv) == 0
    for name in ("pvi.fits", "thumbnail.fits"):
        assert open_exposure(folder / name).image.ndim == 2
    for name in ("stars.parquet", "footprints.parquet"):
        assert "sourceId" in read_table(folder / name).columns
    status: dict[str, Any] = json.loads(arguments["status"].read_text())
    return status


def without_wcs(folder: Path, status: dict[str, Any]) -> str:
    """Return the sentence of a run that had to end without a WCS, and with everything else."""
    assert status["outcome"] == "partial"
    exposure = open_exposure(folder / "pvi.fits")
    assert exposure.wcs is None
    assert exposure.photo_calib is None
    assert exposure.psf is not None
    assert exposure.ap_corr is not None
    assert exposure.unit == "electron"
    table = read_table(folder / "stars.parquet")
    assert len(table) > 30
    assert np.isnan(table["ra"]).all()
    return f"{status['reason']}. {status['hint']}"


def with_pixels(scene: Scene, image: np.ndarray, mask: Mask) -> Scene:
    exposure = scene.exposure.replace(image=image.astype(np.float32), mask=mask)
    return replace(scene, exposure=exposure)


def test_all_is_well_with_the_scene_itself(tmp_path: Path, scene: Scene) -> None:
    assert calibrate(tmp_path, scene)["outcome"] == "done"


def test_saturated_frame(tmp_path: Path, scene: Scene) -> None:
    mask = Mask.zeros((SIDE, SIDE))
    mask.array[:] = mask.bit("SAT")
    status = calibrate(tmp_path, with_pixels(scene, scene.exposure.image, mask))
    assert status["outcome"] == "failed"
    assert "100 % of the pixels are saturated" in status["reason"]
    exposure = open_exposure(tmp_path / "pvi.fits")
    assert "saturated" in exposure.missing["wcs"]
    assert len(read_table(tmp_path / "stars.parquet")) == 0


def test_frame_without_stars(tmp_path: Path, scene: Scene) -> None:
    noise = np.random.default_rng(2).normal(SKY_ELECTRON, 15, (SIDE, SIDE))
    status = calibrate(tmp_path, with_pixels(scene, noise, Mask.zeros(noise.shape)))
    assert status["outcome"] == "partial"
    assert "star" in status["reason"]
    exposure = open_exposure(tmp_path / "pvi.fits")
    assert exposure.psf is None
    assert exposure.wcs is None
    assert exposure.background is not None
    assert exposure.summary_stats["skyBg"] == pytest.approx(SKY_ELECTRON, rel=0.02)


def test_empty_reference_catalogue(tmp_path: Path, scene: Scene) -> None:
    none = scene.reference.select(np.zeros(len(scene.reference), bool))
    text = without_wcs(tmp_path, calibrate(tmp_path, replace(scene, reference=none)))
    assert "the reference catalogue is empty around this detector" in text
    assert "check the pointing" in text


def test_reference_catalogue_of_another_field(tmp_path: Path, scene: Scene) -> None:
    elsewhere = replace(scene.reference, ra=scene.reference.ra + 3.0)
    text = without_wcs(tmp_path, calibrate(tmp_path, replace(scene, reference=elsewhere)))
    assert "reference catalogue" in text


def test_reference_catalogue_of_a_wrong_epoch(tmp_path: Path, scene: Scene) -> None:
    rng = np.random.default_rng(8)
    n = len(scene.reference)
    moving = replace(
        scene.reference,
        pm_ra=rng.normal(0, 60, n),
        pm_dec=rng.normal(0, 60, n),
        epoch=np.full(n, MJD - 365.25 * 30),
    )
    text = without_wcs(tmp_path, calibrate(tmp_path, replace(scene, reference=moving)))
    assert "no match" in text
    assert "epoch" in text


def test_shuffled_reference_catalogue(tmp_path: Path, scene: Scene) -> None:
    rng = np.random.default_rng(5)
    stars = scene.reference
    shuffled = replace(stars, ra=rng.permutation(stars.ra), dec=rng.permutation(stars.dec))
    assert "match" in without_wcs(tmp_path, calibrate(tmp_path, replace(scene, reference=shuffled)))


def test_wrong_pixel_scale(tmp_path: Path, scene: Scene) -> None:
    camera = make_camera()
    optics = camera.optics.model_copy(update={"plate_scale_arcsec_per_mm": 20.4})
    wrong = camera.model_copy(update={"optics": optics})
    detector = wrong.detectors[0]
    guess = scene.exposure.wcs.from_camera(wrong, detector, 150.0, -20.0, 0.0)
    changed = replace(scene, exposure=scene.exposure.replace(wcs=guess))
    text = without_wcs(tmp_path, calibrate(tmp_path, changed, wrong))
    assert "scale" in text
    assert "camera file" in text
