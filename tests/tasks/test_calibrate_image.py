"""The task calibrateImage on small scenes: all of it, and what is left when a part fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.measurement.classification import extendedness
from drpflow.config.calibrate_image import CalibrateImageConfig
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.recalibration import PixelCalibration
from drpflow.errors import AlgorithmError
from drpflow.io.schemas import load_schema
from drpflow.tasks.calibrate_image import CalibrateImageResult, calibrate_image, failed_images
from tests.tasks.star_scene import (
    MJD,
    NJY_PER_ELECTRON,
    SIDE,
    SKY_ELECTRON,
    Scene,
    make_detector,
    make_scene,
)

CONFIG = CalibrateImageConfig()


def run(scene: Scene, **changes: Any) -> CalibrateImageResult:
    known = {"exposure": scene.exposure, "reference": scene.reference} | changes
    return calibrate_image(
        known["exposure"], scene.visit_info, known["reference"], known.get("config", CONFIG)
    )


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene()


@pytest.fixture(scope="module")
def result(scene: Scene) -> CalibrateImageResult:
    return run(scene)


@pytest.fixture(scope="module")
def again(scene: Scene, result: CalibrateImageResult) -> CalibrateImageResult:
    """A second run."""
    return run(scene)


def sources_of(result: CalibrateImageResult) -> dict[str, np.ndarray]:
    columns = result.tables[0]
    assert columns is not None
    return columns


def test_everything_is_there(result: CalibrateImageResult) -> None:
    image = result.images[0]
    assert result.failure is None
    assert image.missing == {}
    assert image.unit == "nJy"
    for name in ("wcs", "psf", "photo_calib", "ap_corr", "background", "summary_stats"):
        assert image.components[name] is not None


def test_columns_are_those_of_the_schema(result: CalibrateImageResult) -> None:
    for name, columns in zip(
        ("initial_stars_detector", "initial_stars_footprints_detector"), result.tables, strict=True
    ):
        assert columns is not None
        wanted = {c.name for c in load_schema(name).columns} - {"visit", "detector"}
        assert set(columns) == wanted
        assert len({len(values) for values in columns.values()}) == 1


def test_wcs_is_that_of_the_scene(scene: Scene, result: CalibrateImageResult) -> None:
    grid = np.linspace(0, SIDE - 1, 9)
    x, y = (g.ravel() for g in np.meshgrid(grid, grid))
    found = result.images[0].wcs.world_to_pixel_values(*scene.wcs.pixel_to_world_values(x, y))
    rms = np.sqrt(np.mean((found[0] - x) ** 2 + (found[1] - y) ** 2))
    assert rms < 0.05


def test_zero_point_is_that_of_the_scene(result: CalibrateImageResult) -> None:
    calibration = result.images[0].photo_calib
    assert calibration.mean == pytest.approx(NJY_PER_ELECTRON, rel=0.012)
    assert (
        abs(calibration.mean / NJY_PER_ELECTRON - 1)
        < 5 * calibration.error / calibration.mean + 0.005
    )


def test_fluxes_of_bright_stars(scene: Scene, result: CalibrateImageResult) -> None:
    columns = sources_of(result)
    rows = np.flatnonzero(scene.isolated() & (scene.flux > 2e4) & inside(scene))
    ratio = []
    for k in rows:
        distance = np.hypot(columns["x"] - scene.x[k], columns["y"] - scene.y[k])
        near = int(np.nanargmin(distance))
        assert distance[near] < 0.3
        ratio.append(columns["psfFlux"][near] / (scene.flux[k] * NJY_PER_ELECTRON))
    assert len(ratio) > 10
    assert abs(np.median(ratio) - 1) < 0.01
    assert np.std(ratio) < 0.02


def inside(scene: Scene, margin: float = 20.0) -> np.ndarray:
    x, y = scene.x, scene.y
    return (x > margin) & (y > margin) & (x < SIDE - margin) & (y < SIDE - margin)


def test_calibration_can_be_undone(scene: Scene, result: CalibrateImageResult) -> None:
    image = result.images[0]
    applied = PixelCalibration(image.photo_calib, image.background)
    back = applied.undo(image.image, (0, 0))
    same = ~image.mask.any("CR")
    np.testing.assert_allclose(back[same], scene.exposure.image[same], rtol=1e-5, atol=1e-3)
    variance = applied.undo_on_variance(image.variance, (0, 0))
    np.testing.assert_allclose(variance[same], scene.exposure.variance[same], rtol=1e-5)


def test_given_exposure_is_left_alone(scene: Scene, again: CalibrateImageResult) -> None:
    before = make_scene().exposure
    np.testing.assert_array_equal(scene.exposure.image, before.image)
    assert scene.exposure.mask == before.mask


def test_two_runs_are_the_same(result: CalibrateImageResult, again: CalibrateImageResult) -> None:
    np.testing.assert_array_equal(again.images[0].image, result.images[0].image)
    for name, values in sources_of(result).items():
        np.testing.assert_array_equal(sources_of(again)[name], values, err_msg=name)


def test_cosmic_rays_are_masked_and_filled(scene: Scene, result: CalibrateImageResult) -> None:
    mask = result.images[0].mask
    found = mask.any("CR") & scene.cosmic
    assert found.sum() > 0.9 * scene.cosmic.sum()
    assert (mask.any("INTRP") & scene.cosmic).sum() > 0.9 * scene.cosmic.sum()
    assert (mask.any("CR") & ~scene.cosmic).sum() < 30


def test_sky_is_the_sky(result: CalibrateImageResult) -> None:
    stats = result.images[0].summary_stats
    assert stats["skyBg"] == pytest.approx(SKY_ELECTRON * 1.025, rel=0.01)
    assert stats["skyNoise"] == pytest.approx(np.sqrt(SKY_ELECTRON * 1.025 + 25), rel=0.02)
    columns = sources_of(result)
    sky = columns["sky_source"]
    assert sky.sum() > 20
    flux, error = columns["psfFlux_instFlux"][sky], columns["psfFlux_instFluxErr"][sky]
    assert abs(np.mean(flux / error)) < 4 / np.sqrt(sky.sum())
    assert 0.75 < np.std(flux / error) < 1.3
    assert not columns["detect_isPrimary"][sky].any()


def test_extendedness_is_from_corrected_fluxes(result: CalibrateImageResult) -> None:
    columns = sources_of(result)
    again = extendedness(columns, CONFIG.measurement.classification)
    np.testing.assert_array_equal(columns["extendedness"], again["extendedness"])
    raw = dict(columns)
    for name in ("psfFlux", "gaussianFlux"):
        for suffix in ("instFlux", "instFluxErr"):
            raw[f"{name}_{suffix}"] = columns[f"{name}_{suffix}"] / columns[f"{name}_apCorr"]
    bright = columns["calib_psf_candidate"]
    assert np.nanmean(columns["extendedness"][bright]) < 0.1
    ratio = raw["gaussianFlux_instFlux"][bright] / raw["psfFlux_instFlux"][bright]
    assert abs(np.median(ratio) - 1) > 0.005, "the two need different corrections in this scene"


def test_flags_name_the_stars_that_were_used(result: CalibrateImageResult) -> None:
    columns = sources_of(result)
    candidate = columns["calib_psf_candidate"]
    assert result.numbers["psf_candidates"] == candidate.sum()
    assert result.numbers["psf_stars"] == columns["calib_psf_used"].sum()
    assert not (columns["calib_psf_used"] & columns["calib_psf_reserved"]).any()
    for name in ("astrometry", "photometry"):
        used = columns[f"calib_{name}_used"]
        assert used.sum() > 10
        assert (columns["reference_id"][used] > 0).all()
    assert np.unique(columns["sourceId"]).size == len(columns["sourceId"])


def test_without_catalogue_everything_but_sky_and_zero_point(scene: Scene) -> None:
    result = run(scene, reference=None)
    image = result.images[0]
    assert set(image.missing) == {"wcs", "photo_calib"}
    assert "no reference catalogue" in image.missing["wcs"]
    assert image.unit == "electron"
    assert image.psf is not None
    columns = sources_of(result)
    assert np.isnan(columns["ra"]).all()
    assert np.isnan(columns["psfFlux"]).all()
    assert np.isfinite(columns["psfFlux_instFlux"]).sum() > 50
    assert result.failure is not None
    assert "reference" in result.failure.hint


def test_without_aperture_corrections_there_is_no_zero_point(scene: Scene) -> None:
    config = CONFIG.model_copy(
        update={"ap_corr": CONFIG.ap_corr.model_copy(update={"min_stars": 1000})}
    )
    result = run(scene, config=config)
    image = result.images[0]
    assert set(image.missing) == {"ap_corr", "photo_calib"}
    assert image.wcs is not None
    columns = sources_of(result)
    assert columns["psfFlux_flag"].all()
    assert columns["extendedness_flag"].all()
    assert np.isnan(columns["psfFlux"]).all()
    wanted = {c.name for c in load_schema("initial_stars_detector").columns}
    assert set(columns) == wanted - {"visit", "detector"}


def test_shuffled_catalogue_gives_no_wcs(scene: Scene) -> None:
    rng = np.random.default_rng(5)
    stars = scene.reference
    wrong = replace(stars, ra=rng.permutation(stars.ra), dec=rng.permutation(stars.dec))
    result = run(scene, reference=wrong)
    assert "wcs" in result.images[0].missing
    assert "photo_calib" in result.images[0].missing


def test_image_without_stars(scene: Scene) -> None:
    rng = np.random.default_rng(3)
    empty = rng.normal(SKY_ELECTRON, 15, (SIDE, SIDE)).astype(np.float32)
    exposure = Exposure(
        empty,
        Mask.zeros(empty.shape),
        np.full_like(empty, 225),
        unit="electron",
        components=dict(scene.exposure.components),
    )
    result = run(scene, exposure=exposure)
    image = result.images[0]
    assert set(image.missing) == {"psf", "ap_corr", "wcs", "photo_calib"}
    assert image.background is not None
    assert image.summary_stats["skyBg"] == pytest.approx(SKY_ELECTRON, rel=0.01)
    assert result.tables == (None, None)
    assert result.failure is not None


def test_saturated_frame_is_refused(scene: Scene) -> None:
    mask = Mask.zeros((SIDE, SIDE))
    mask.array[:] = mask.bit("SAT")
    exposure = Exposure(
        scene.exposure.image,
        mask,
        scene.exposure.variance,
        unit="electron",
        components=dict(scene.exposure.components),
    )
    with pytest.raises(AlgorithmError, match="100 % of the pixels are saturated"):
        run(scene, exposure=exposure)


def test_wrong_epoch_is_refused(scene: Scene) -> None:
    rng = np.random.default_rng(8)
    n = len(scene.reference)
    moving = replace(
        scene.reference,
        pm_ra=rng.normal(0, 60, n), pm_dec=rng.normal(0, 60, n),
        epoch=np.full(n, MJD - 365.25 * 30),
    )  # fmt: skip
    result = run(scene, reference=moving)
    assert "wcs" in result.images[0].missing


def test_failed_images_are_complete() -> None:
    images = failed_images(make_detector(), None, "the shutter stuck")
    assert images[0].shape == (SIDE, SIDE)
    assert images[0].mask.any("NO_DATA").all()
    assert images[0].missing["wcs"] == "the shutter stuck"
    assert images[1].shape == (256, 256)
