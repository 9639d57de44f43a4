"""finalizeImage through its script: pixels, sources, flags and broken inputs, against the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.final_image.pixels import fill_cosmic_rays, final_pixels
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.background import PolynomialLayer
from drpflow.data.polynomial import Basis2D, Polynomial2D
from drpflow.data.recalibration import PixelCalibration
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from drpflow.io.tables import read_table, write_table
from drpflow.workflow.task_runner import main
from tests.tasks import final_image_scene
from tests.tasks.final_image_scene import (
    BOX,
    DETECTOR,
    DOMAIN,
    NEW_HIT,
    NJY_PER_ELECTRON,
    OFFSET_ERROR_MAG,
    OLD_HIT,
    PIECE,
    READ_NOISE2,
    SKY,
    VISIT,
    WCS_ERROR_ARCSEC,
    FinalScene,
    ap_corr,
    final_background,
    final_calib,
    make_final_scene,
    write_standards,
)
from tests.tasks.star_scene import SIDE
from tests.tasks.test_finalize_astrometry import script

FRAME = {"visit": VISIT, "detector": DETECTOR}
# Of a pixel of sky, and of the PSF flux of a faint star: √(4π) σ times as much.
SIGMA_NJY = NJY_PER_ELECTRON * np.sqrt(SKY + READ_NOISE2)
FLUX_ERROR_NJY = 7.1 * SIGMA_NJY


class Run:
    """Products of a run of the script."""

    def __init__(self, scene: FinalScene, output: Path, **config: Any) -> None:
        self.scene, self.output = scene, output
        assert main(script("finalize_image").TASK, scene.arguments(output, **config)) == 0
        name = f"status/finalizeImage/visit={VISIT}/detector={DETECTOR}.json"
        self.status = dict(json.loads((output / name).read_text()))
        self.numbers = self.status["numbers"]
        self.store = Store([output, scene.root])
        self.image = self.store.get("pvi", **FRAME)
        self.table = self.store.get("final_source_detector", **FRAME)

    def __getitem__(self, name: str) -> Any:
        return np.asarray(self.table[name])

    def of_stars(self) -> tuple[Any, Any]:
        """Return rows of sources, and of the stars that they are."""
        rows = np.flatnonzero(~self["sky_source"])
        apart = np.hypot(self["x"][rows, None] - self.scene.x, self["y"][rows, None] - self.scene.y)
        star = apart.argmin(axis=0)
        near = apart[star, np.arange(star.size)] < 1.0
        return rows[star[near]], np.flatnonzero(near)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> FinalScene:
    return make_final_scene(tmp_path_factory.mktemp("final_image") / "results")


@pytest.fixture(scope="module")
def run(scene: FinalScene, tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = Run(scene, tmp_path_factory.mktemp("made"))
    assert made.status["outcome"] == "done", made.status
    return made


def broken(scene: FinalScene, root: Path) -> FinalScene:
    """Return a copy of the run that may be spoiled."""
    import shutil

    shutil.copytree(scene.root, root)
    return replace(scene, root=root, components=dict(scene.components))


def test_pixels_have_the_final_calibration_and_background(run: Run) -> None:
    image = run.image
    plain = ~image.mask.any(("CR", "UNMASKEDNAN"))
    truth = run.scene.light_njy + run.scene.noise_njy
    assert np.abs(image.image - truth)[plain].max() < 1e-4 * SIGMA_NJY
    assert image.unit == "nJy"
    assert image.photo_calib == final_calib()
    assert image.background == final_background()
    assert image.psf.sigma_pix == run.scene.components["psf"].sigma_pix


def test_detrended_pixels_and_the_mask_give_the_same_image(run: Run) -> None:
    image, mask = run.image, run.image.mask.copy()
    wanted = PixelCalibration(image.photo_calib, image.background)
    pixels, variance = final_pixels(*run.scene.detrended, PixelCalibration(None, None), wanted)
    fill_cosmic_rays(pixels, variance, mask)
    assert mask == image.mask
    allowed = np.maximum(1e-5 * np.sqrt(variance), 2 * np.spacing(np.abs(pixels)))
    assert (np.abs(pixels - image.image) <= allowed).all()
    assert (np.abs(variance - image.variance) <= 2 * np.spacing(variance)).all()


def test_cosmic_rays_of_both_looks_are_filled(run: Run) -> None:
    truth = run.scene.light_njy
    for hit in (OLD_HIT, NEW_HIT):
        assert run.image.mask.any("CR")[hit].all()
        assert run.image.mask.any("INTRP")[hit].all()
        assert np.abs(run.image.image - truth)[hit].max() < 6 * SIGMA_NJY
    assert run.numbers["cosmic_ray_pixels_new"] >= 5


def test_old_planes_of_detection_are_gone(run: Run) -> None:
    planes = run.image.mask.any("DETECTED")
    assert not planes[50:60, 50:60].all()
    bright = run.scene.flux_njy > 10 * FLUX_ERROR_NJY
    x, y = (np.rint(v[bright]).astype(int) for v in (run.scene.x, run.scene.y))
    assert planes[y, x].all()


def test_columns_are_those_of_the_schema(run: Run) -> None:
    schema = load_schema("final_source_detector")
    assert run.table.columns == [c.name for c in schema.columns]
    assert set(run["band"]) == {"r"}
    assert (np.diff(run["sourceId"]) > 0).all()


def test_stars_are_found_with_their_fluxes(run: Run) -> None:
    rows, stars = run.of_stars()
    bright = run.scene.flux_njy > 10 * FLUX_ERROR_NJY
    assert np.isin(np.flatnonzero(bright), stars).all()
    truth = run.scene.flux_njy[stars]
    alone = ~run["pixelFlags_bad"][rows] & (run["deblend_nPeaks"][rows] < 2)
    names = (("psfFlux",) * 2, ("gaussianFlux",) * 2, ("calibFlux", "normCompTophatFlux"))
    for name, flagged in names:
        good = alone & ~run[f"{flagged}_flag"][rows]
        assert good.sum() > 40
        pull = ((run[name][rows] - truth) / run[f"{name}Err"][rows])[good]
        assert abs(np.mean(pull)) < 4.5 / np.sqrt(pull.size), name
        assert 0.75 < np.std(pull) < 1.3, name
    ratio = (run["psfFlux"][rows] / truth)[alone & (stars < 20)]
    assert abs(np.median(ratio) - 1) < 3e-3


def test_positions_on_the_sky_hold_the_error_of_the_wcs(run: Run) -> None:
    rows, stars = run.of_stars()
    ra, dec = run.scene.wcs.pixel_to_world_values(run.scene.x[stars], run.scene.y[stars])
    for mine, truth, scale in (("ra", ra, np.cos(np.radians(dec))), ("dec", dec, 1.0)):
        pull = (run[mine][rows] - truth) * scale / run[f"{mine}Err"][rows]
        assert 0.5 < np.std(pull) < 1.2
    wcs_error = WCS_ERROR_ARCSEC / 3600
    assert run["wcsErr"] == pytest.approx(wcs_error, rel=1e-6)
    found = np.isfinite(run["xErr"])
    assert (run["raErr"][found] >= 0.999999 * wcs_error).all()
    expected = np.hypot(run["xErr"] * 0.3 / 3600, wcs_error)[found]
    assert run["raErr"][found] == pytest.approx(expected, rel=0.02)


def test_calibration_at_the_source(run: Run) -> None:
    factor = final_calib().factor(run["x"], run["y"])
    assert run["localPhotoCalib"] == pytest.approx(factor)
    assert run["localPhotoCalibErr"] / factor == pytest.approx(0.004)
    offset = run["localPhotoCalibOffsetErr"] / factor
    assert offset == pytest.approx(OFFSET_ERROR_MAG * np.log(10) / 2.5)
    matrix = np.array([[run[f"localWcs_CDMatrix_{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    area_deg2 = np.abs(np.linalg.det(matrix.transpose(2, 0, 1)))
    assert np.sqrt(area_deg2) * 3600 == pytest.approx(0.3, rel=1e-3)


def test_artifacts_flag_the_sources_on_them(run: Run) -> None:
    rows, stars = run.of_stars()
    away = np.abs(run.scene.x[stars] - run.scene.streak_x)
    on, far = away < 5, away > 30
    assert on.any()
    assert run["pixelFlags_streak"][rows[on]].all()
    assert run["pixelFlags_streakCenter"][rows[on]].all()
    assert run["pixelFlags_artifact"][rows[on]].all()
    assert not run["pixelFlags_streak"][rows[far]].any()
    brightest = rows[np.argmin(stars)]
    assert run["pixelFlags_transientCenter"][brightest]
    assert run["pixelFlags_transient"][rows[stars > 0]].sum() == 0
    assert run.image.mask.any("STREAK").sum() == 10 * SIDE == run.numbers["streak_pixels"]


def test_flags_of_calibration_stars(run: Run) -> None:
    rows, stars = run.of_stars()
    ok = ~run["pixelFlags_bad"][rows] & (run.scene.flux_njy[stars] > 100 * SIGMA_NJY)
    rows, stars = rows[ok], stars[ok]
    reserved = stars % 4 == 0
    assert run["calib_psf_candidate"][rows].all()
    assert np.array_equal(run["calib_psf_used"][rows], ~reserved)
    assert np.array_equal(run["calib_psf_reserved"][rows], reserved)
    assert np.array_equal(run["calib_photometry_reserved"][rows], reserved)
    unusable = np.isin(stars, (1, 2))
    assert np.array_equal(run["calib_photometry_used"][rows], ~reserved & ~unusable)
    assert np.array_equal(run["calib_astrometry_used"][rows], ~reserved & (stars != 5))
    assert np.array_equal(np.isfinite(run["psf_color_value"][rows]), stars != 3)
    assert not run["calib_psf_used"][run["sky_source"]].any()


def test_places_of_sky_are_empty(run: Run) -> None:
    sky = run["sky_source"]
    assert sky.sum() > 30
    assert not run["detect_isPrimary"][sky].any()
    pull = run["psfFlux"][sky] / run["psfFluxErr"][sky]
    assert abs(pull.mean()) < 4 / np.sqrt(sky.sum())
    assert 0.75 < pull.std() < 1.3


def test_fluxes_are_on_the_scale_that_was_calibrated(
    scene: FinalScene, run: Run, tmp_path: Path
) -> None:
    other = broken(scene, tmp_path / "results")
    other.first_ap_corr = ap_corr(1.02)
    other.write_summaries()
    again = Run(other, tmp_path / "out")
    assert again.numbers["flux_scale"] == pytest.approx(1.02)
    for name in ("psfFlux", "calibFlux", "gaussianFlux", "kronFlux"):
        good = ~run["sky_source"] & np.isfinite(run[name])
        assert good.sum() > 40
        assert again[name][good] == pytest.approx(1.02 * run[name][good], rel=1e-4)
    assert np.array_equal(again["ap12Flux"], run["ap12Flux"], equal_nan=True)
    assert np.array_equal(again["extendedness"], run["extendedness"], equal_nan=True)
    assert again.image.ap_corr.evaluate("psfFlux", 3.0, 4.0) == pytest.approx(1.02)


def test_a_calibration_of_another_flux_is_followed(
    scene: FinalScene, run: Run, tmp_path: Path
) -> None:
    """The first PSF fluxes are 3 % larger than the final ones: zero points hold for them."""
    other = broken(scene, tmp_path / "results")
    standards = read_table(other.path("fgcm_standard_stars", skypix=PIECE)).to_dict()
    write_standards(other, standards, "psfFlux")
    again = Run(other, tmp_path / "out")
    assert again.numbers["calibrated_flux"] == "psfFlux"
    assert run.numbers["calibrated_flux"] == "normCompTophatFlux"
    assert again.status["outcome"] == "done"
    assert again.numbers["flux_scale"] == pytest.approx(1.03, abs=0.01)
    assert again.numbers["flux_scale_number"] > 30
    good = ~run["sky_source"] & np.isfinite(run["psfFlux"])
    ratio = again["psfFlux"][good] / run["psfFlux"][good]
    assert ratio == pytest.approx(again.numbers["flux_scale"], rel=0.01)


def test_fluxes_that_nothing_ties_to_the_calibrated_ones_are_said_to_be(
    scene: FinalScene, tmp_path: Path
) -> None:
    other = broken(scene, tmp_path / "results")
    other.first_ap_corr = ApCorrMap()
    other.write_summaries()
    again = Run(other, tmp_path / "out")
    assert again.status["outcome"] == "partial"
    assert "nothing ties the final fluxes" in again.status["reason"]
    assert (again.numbers["flux_scale"], again.numbers["flux_scale_number"]) == (1.0, 0)
    assert np.isfinite(again["psfFlux"]).sum() > 40


def test_the_reference_is_on_the_scale_that_other_visits_tell(
    scene: FinalScene, run: Run, tmp_path: Path
) -> None:
    """PSF fluxes are calibrated; the first aperture fluxes of this image are 6 % too large.

    Stars have up to 20 % more in the aperture than by the PSF, the same in all visits.
    """
    other = broken(scene, tmp_path / "results")
    standards = read_table(other.path("fgcm_standard_stars", skypix=PIECE)).to_dict()
    write_standards(other, standards, "psfFlux")
    path = other.path("isolated_stars_source", skypix=PIECE)
    rows = read_table(path).to_dict()
    rows["band"] = rows["band"].astype(str)
    excess = 1 + np.random.default_rng(8).uniform(0, 0.2, len(rows["x"]))
    parts = []
    for offset, visit in ((0.06, VISIT), (0.0, 901), (-0.02, 902), (0.0, 903)):
        part = dict(rows)
        part["visit"] = np.full(len(excess), visit)
        aperture = excess * (1 + offset) * rows["psfFlux_instFlux"]
        part["normCompTophatFlux_instFlux"] = aperture
        parts.append(part)
    write_table(path, {name: np.concatenate([p[name] for p in parts]) for name in rows})
    again = Run(other, tmp_path / "out")
    assert again.numbers["reference_scale_number"] > 20
    good = ~run["sky_source"] & np.isfinite(run["calibFlux"])
    ratio = again["calibFlux"][good] / run["calibFlux"][good]
    # 1.03 of the calibrated flux, and the median excess: 10 %; a third of it is the scatter of
    # twenty stars' median.
    assert np.ptp(ratio) < 1e-6
    assert ratio[0] == pytest.approx(1.03 * 1.10, rel=0.03)
    assert again.image.ap_corr.evaluate("normCompTophatFlux", 3.0, 4.0) == pytest.approx(
        ratio[0] * run.image.ap_corr.evaluate("normCompTophatFlux", 3.0, 4.0), rel=1e-6
    )


def test_a_correction_of_large_error_leaves_stars_that_tell_the_scale(
    scene: FinalScene, tmp_path: Path
) -> None:
    """In crowded fields the reference's neighbours scatter by 10 %, PSF fluxes do not."""
    other = broken(scene, tmp_path / "results")
    known = other.components["ap_corr"]
    uncertain = ApCorr(known["psfFlux"].correction, 0.12)
    other.components["ap_corr"] = ApCorrMap({**known, "psfFlux": uncertain})
    other.write_summaries()
    standards = read_table(other.path("fgcm_standard_stars", skypix=PIECE)).to_dict()
    write_standards(other, standards, "psfFlux")
    again = Run(other, tmp_path / "out")
    assert again.numbers["flux_scale_number"] > 30
    assert again.numbers["flux_scale"] == pytest.approx(1.03, abs=0.01)
    assert again.image.ap_corr.error("psfFlux") < 0.03


def test_sources_of_a_crowded_field_stand_on_its_glow_or_above_it(
    scene: FinalScene, tmp_path: Path
) -> None:
    """The first background followed a glow that the final one leaves in the image."""
    other = broken(scene, tmp_path / "results")
    bowl = Polynomial2D(Basis2D(2, DOMAIN), np.array([20.0, 8.0, 0.0, 0.0, 0.0, 0.0]))
    glow = PolynomialLayer(bowl)
    path = other.path("initial_pvi", **FRAME)
    image = Store(other.root).get("initial_pvi", **FRAME)
    # v/c₁ + b₁ is what the sky, the glow and the stars sent.
    sky = final_background().add_layer("glow", glow)
    level = (final_background().image(BOX) - image.background.image(BOX)).astype(np.float32)
    pixels = image.image - level * np.float32(1.05 * NJY_PER_ELECTRON)
    spoiled = image.replace(image=pixels, background=sky)
    path.unlink()
    Store(other.root).put(spoiled, "initial_pvi", **FRAME)
    plain = Run(other, tmp_path / "plain")
    above = Run(other, tmp_path / "above", above_first_background=True)
    assert np.array_equal(plain.image.image, above.image.image, equal_nan=True)
    assert above.numbers["glow_njy"] == pytest.approx(20 * NJY_PER_ELECTRON, rel=0.1)
    off = {}
    for made in (plain, above):
        rows, star = made.of_stars()
        good = ~made["psfFlux_flag"][rows]
        excess = made["psfFlux"][rows][good] - scene.flux_njy[star][good]
        off[made is above] = float(np.median(excess / FLUX_ERROR_NJY))
    # Of a level, the PSF flux takes in 4π σ² pixels.
    taken = 20 * NJY_PER_ELECTRON * 4 * np.pi * 2.0**2 / FLUX_ERROR_NJY
    assert off[False] > 0.5 * taken
    assert abs(off[True]) < 0.1 * taken


def test_equal_inputs_give_equal_bytes(scene: FinalScene, run: Run, tmp_path: Path) -> None:
    again = Run(scene, tmp_path / "out")
    for name in ("pvi", "final_source_detector"):
        files = [Store(r.output).path(name, **FRAME).read_bytes() for r in (run, again)]
        assert files[0] == files[1]


def test_a_flux_without_correction_is_nan_and_flagged(scene: FinalScene, tmp_path: Path) -> None:
    other = broken(scene, tmp_path / "results")
    other.components["ap_corr"] = ap_corr(without=("gaussianFlux",))
    other.write_summaries()
    made = Run(other, tmp_path / "out")
    assert np.isnan(made["gaussianFlux"]).all()
    assert made["gaussianFlux_flag"].all()
    assert made["gaussianFlux_flag_apCorr"].all()
    assert np.isnan(made["extendedness"]).all()
    assert np.isfinite(made["psfFlux"][~made["sky_source"]]).all()
    assert not made["psfFlux_flag_apCorr"].any()


def test_a_psf_that_no_star_of_the_detector_has_confirmed_is_flagged(
    scene: FinalScene, run: Run, tmp_path: Path
) -> None:
    assert not run["invalidPsfFlag"].any()
    other = broken(scene, tmp_path / "results")
    other.psf_source = "neighbors"
    other.write_summaries()
    made = Run(other, tmp_path / "out")
    assert made["invalidPsfFlag"].all()
    np.testing.assert_array_equal(made["psfFlux"], run["psfFlux"])


@pytest.mark.parametrize("name", ["psf", "wcs", "photo_calib", "ap_corr"])
def test_a_missing_component_leaves_complete_outputs(
    scene: FinalScene, tmp_path: Path, name: str
) -> None:
    other = broken(scene, tmp_path / "results")
    del other.components[name]
    other.missing = {name: "too few stars"}
    other.write_summaries()
    made = Run(other, tmp_path / "out")
    assert made.status["outcome"] == "failed"
    assert f"{name}: too few stars" in made.status["reason"]
    assert np.isnan(made.image.image).all()
    assert made.image.mask.any("NO_DATA").all()
    assert "too few stars" in made.image.missing[name]
    assert len(made.table) == 0
    assert "too few stars" in made.table.meta["lost"]
    assert made.table.columns == [c.name for c in load_schema("final_source_detector").columns]


def test_an_image_without_pixels(scene: FinalScene, tmp_path: Path) -> None:
    other = broken(scene, tmp_path / "results")
    store = Store(other.root)
    first = store.get("initial_pvi", **FRAME)
    mask = first.mask.copy()
    mask.set("NO_DATA", np.ones(mask.shape, bool))
    lost = np.full(mask.shape, np.nan, np.float32)
    empty = first.replace(image=lost, variance=lost, mask=mask)
    store.put(empty, "initial_pvi", **FRAME)
    made = Run(other, tmp_path / "out")
    assert made.status["outcome"] == "failed"
    assert "100 % of the pixels are unusable" in made.status["reason"]


def test_a_broken_file_is_named(scene: FinalScene, tmp_path: Path) -> None:
    other = broken(scene, tmp_path / "results")
    path = other.path("warp_mask", tract=0, patch=6, band="r", visit=VISIT)
    path.write_bytes(path.read_bytes()[:200])
    made = Run(other, tmp_path / "out")
    assert made.status["outcome"] == "failed"
    assert str(path) in made.status["reason"]
    assert len(made.table) == 0


def test_without_patches_nothing_is_an_artifact(scene: FinalScene, tmp_path: Path) -> None:
    words = scene.arguments(tmp_path)
    at = words.index("--warp-mask")
    assert main(script("finalize_image").TASK, words[:at] + words[at + 4 :]) == 0
    table = Store(tmp_path).get("final_source_detector", **FRAME)
    assert not np.asarray(table["pixelFlags_artifact"]).any()
    name = f"status/finalizeImage/visit={VISIT}/detector={DETECTOR}.json"
    assert json.loads((tmp_path / name).read_text())["numbers"]["patches"] == 0


def test_a_star_beyond_the_edge_is_flagged(tmp_path: Path, monkeypatch: Any) -> None:
    """Its light reaches the image; what the fit says of it is no measurement."""
    places = final_image_scene._places

    def one_outside(n: int, rng: np.random.Generator) -> tuple[Any, Any]:
        x, y = places(n, rng)
        x[5] = -0.9
        return x, y

    monkeypatch.setattr(final_image_scene, "_places", one_outside)
    made = Run(make_final_scene(tmp_path / "results"), tmp_path / "out")
    off = made["x"] < -0.5
    assert off.sum() == 1
    for name in (
        "pixelFlags_offimage", "pixelFlags_edge", "centroid_flag_edge", "psfFlux_flag",
        "psfFlux_flag_edge",
    ):  # fmt: skip
        assert made[name][off].all(), name
    assert not made["pixelFlags_offimage"][~off].any()


def test_a_crowded_field(tmp_path: Path) -> None:
    """As many sources a pixel as 30,000 on 4096²."""
    scene = make_final_scene(tmp_path / "results", n_stars=470)
    made = Run(scene, tmp_path / "out")
    assert made.status["outcome"] == "done"
    assert made.numbers["blends_skipped"] == 0
    apart = np.hypot(scene.x[:, None] - scene.x, scene.y[:, None] - scene.y)
    np.fill_diagonal(apart, np.inf)
    bright = (scene.flux_njy > 30 * FLUX_ERROR_NJY) & (apart.min(axis=1) > 8)
    rows, stars = made.of_stars()
    assert np.isin(np.flatnonzero(bright), stars).mean() > 0.97
    chosen = np.isin(stars, np.flatnonzero(bright)) & ~made["pixelFlags_bad"][rows]
    ratio = made["psfFlux"][rows[chosen]] / scene.flux_njy[stars[chosen]]
    assert abs(np.median(ratio) - 1) < 0.01
