"""measureSky, makeSkyFrame and modelVisitBackground by their scripts: files in, files out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.exposure_write import write_exposure, write_part
from drpflow.io.sky_files import read_samples
from drpflow.io.tables import read_table
from tests.tasks.sky_run import FLUX, NJY, SIDE, STARS, VISITS, SkyRun, sky, wings

BOX = Box(0, SIDE, 0, SIDE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SkyRun:
    run = SkyRun(tmp_path_factory.mktemp("sky"))
    for visit in VISITS:
        status = run.measure(visit)
        assert status["outcome"] == "done", status
    assert run.frame()["outcome"] == "done"
    for visit in VISITS:
        assert run.model(visit)["outcome"] == "done"
    return run


def backgrounds(run: SkyRun, visit: int) -> ComponentRows:
    path = Path(run.path("visit_background", visit))
    return ComponentRows(path, "detector", ComponentCache())


def test_the_sky_is_found_on_both_detectors(finished):
    y, x = np.mgrid[:SIDE, :SIDE]
    far = np.ones((SIDE, SIDE), bool)
    for u, v in STARS:
        far &= np.hypot(x - u, y - v) > 60
    found = [backgrounds(finished, 2).component("background", k) for k in (0, 1)]
    assert {b.unit for b in found} == {"electron"}
    error = found[0].image(BOX) - sky(0) - wings()
    assert np.abs(error[far]).mean() < 0.4
    bare = found[1].without(*{"wings"} & set(found[1].names))
    assert np.abs(bare.image(BOX) - sky(1)).mean() < 0.6


def test_wings_are_a_layer_that_is_not_on_the_other_detector_alone(finished):
    background = backgrounds(finished, 1).component("background", 0)
    assert background.names[-1] == "wings"
    y, x = np.mgrid[:SIDE, :SIDE]
    r = np.hypot(x - STARS[0, 0], y - STARS[0, 1])
    ring = (r > 45) & (r < 80)
    left = sky(0) + wings() - background.image(BOX)
    assert abs(left[ring].mean()) < 0.25 * wings()[ring].mean()
    assert FLUX[0] * 1e-3 / 50**2 > 1  # there was something to find


def test_columns(finished):
    table = read_table(Path(finished.path("visit_background", 3))).to_dict()
    assert table["detector"].tolist() == [0, 1]
    assert np.allclose(table["level"], [sky(k).mean() for k in (0, 1)], rtol=0.01)
    assert (table["n_stars"] == 2).all()


def test_two_runs_give_equal_bytes(finished):
    paths = [Path(finished.path("visit_background", 1)), finished.folder / "sky_frame.parquet"]
    before = [path.read_bytes() for path in paths]
    finished.frame()
    finished.model(1)
    assert [path.read_bytes() for path in paths] == before


def test_a_star_beyond_the_edge_that_other_visits_have_seen_has_wings(tmp_path):
    # It lies 50 pixels off detector 0 of all visits; the light of three times the brightest star.
    run, place = SkyRun(tmp_path), (-50.0, 128.0)
    y, x = np.mgrid[:SIDE, :SIDE]
    light = 3 * FLUX[0] * 1e-3 / np.hypot(x - place[0], y - place[1]) ** 2
    for visit in VISITS:
        run.add_light(visit, {0: light})
        assert run.measure(visit)["outcome"] == "done"

    def dark() -> float:
        assert run.frame()["outcome"] == "done"
        assert run.model(2)["outcome"] == "done"
        found = backgrounds(run, 2).component("background", 0).image(BOX)
        near = (np.hypot(x - place[0], y - place[1]) < 100) & (y > 120)
        return float((found - sky(0) - wings() - light)[near].mean())

    without = dark()
    assert len(read_table(tmp_path / "sky_frame_stars.parquet", ["ra"]).arrow) == 0
    for visit in (1, 3):
        run.see(visit, place, 3 * FLUX[0])
    seen = dark()
    table = read_table(tmp_path / "sky_frame_stars.parquet").to_dict()
    assert table["n_visits"].tolist() == [2]
    assert table["flux_njy"] == pytest.approx([3 * FLUX[0] * NJY])
    assert abs(without) > 0.3
    assert abs(seen) < 0.4 * abs(without)


def test_superpixels(finished):
    status = finished.model(3, '{"method": "superpixels", "superpixels": {"side_mm": 1.0}}')
    assert status["outcome"] == "done"
    background = backgrounds(finished, 3).component("background", 1)
    assert background.names == ("superpixels",)
    assert np.abs(background.image(BOX) - sky(1)).mean() < 1.0


def spoil(run: SkyRun, visit: int, detector: int) -> None:
    """Leave a detector without a single pixel."""
    path = Path(run.images(visit)[detector])
    exposure = open_exposure(path)
    mask = Mask.zeros(exposure.shape)
    mask.set("NO_DATA", np.ones(exposure.shape, bool))
    write_exposure(path, exposure.replace(mask=mask), dataset="initial_pvi",
                   data_id={"visit": visit, "detector": detector})  # fmt: skip


def test_a_lost_detector_and_a_missing_frame_are_declared(tmp_path):
    run = SkyRun(tmp_path)
    spoil(run, 1, 0)
    status = run.measure(1)
    assert status["outcome"] == "partial"
    assert "detector 0" in status["reason"]
    status = run.frame("1")
    assert status["outcome"] == "failed"
    assert "needs 3" in status["reason"]
    assert len(read_table(tmp_path / "sky_frame.parquet", ["detector"]).arrow) == 0
    status = run.model(1)
    assert status["outcome"] == "partial"
    assert "detector 0" in status["reason"]
    rows = backgrounds(run, 1)
    assert "no sky" in str(rows.missing("background", 0))
    error = rows.component("background", 1).image(BOX) - sky(1)
    assert np.abs(error).mean() < 0.4


def test_a_visit_without_any_sky_is_a_declared_failure(tmp_path):
    run = SkyRun(tmp_path)
    for detector in (0, 1):
        spoil(run, 2, detector)
    assert run.measure(2)["outcome"] == "partial"
    for visit in (1, 3):
        run.measure(visit)
    run.frame()
    status = run.model(2)
    assert status["outcome"] == "failed"
    assert "no detector" in status["reason"]
    assert len(read_table(Path(run.path("visit_background", 2)), ["detector"]).arrow) == 0


def test_footprints_of_a_coadd_are_honoured(tmp_path):
    run = SkyRun(tmp_path)
    known = np.zeros((SIDE, SIDE), bool)
    known[100:150, 30:90] = True
    paths = [str(tmp_path / f"footprints_{k}.fits") for k in (0, 1)]
    for k, path in enumerate(paths):
        mask = Mask.zeros((SIDE, SIDE))
        mask.set("DETECTED", known if k == 1 else np.zeros_like(known))
        write_part(Path(path), "mask", mask, "footprints")
    before = run.measure(2)["numbers"]["sky_fraction"]
    status = run.measure(2, "--footprints", *paths)
    assert status["outcome"] == "done"
    samples = read_samples(Path(run.path("sky_samples", 2)))
    inside = np.s_[7:9, 2:5]  # cells of 16 pixels that lie within
    assert not samples[1].count[inside].any()
    assert samples[0].count[inside].any()
    assert status["numbers"]["sky_fraction"] < before
