"""makeWarp by its function and by its script, on a visit of which the light is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from drpflow.config.make_warp import MakeWarpConfig
from drpflow.config.plan_coaddition import PlanCoadditionConfig
from drpflow.data.coadd_plan import CoaddPlan
from drpflow.data.coadd_psf import CoaddPsf
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_map import sky_map_from_json
from drpflow.errors import AlgorithmError
from drpflow.io.coadd_plan_files import write_plan
from drpflow.io.component_tables import write_component_table
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from drpflow.tasks.make_warp import WarpOf, make_warp
from drpflow.workflow.task_runner import main
from tests.algorithms.warp.scenes import measure
from tests.tasks.astrometric_run import DEC_DEG, RA_DEG, SCALE_ARCSEC, SIZE_PIX
from tests.tasks.final_visit import (
    BAND,
    BOX,
    MEMBERS,
    SIGMA_PIX,
    TABLE,
    VISIT,
    FinalVisitScene,
    make_visit,
    true_background,
    true_calib,
)
from tests.tasks.test_finalize_astrometry import script

if TYPE_CHECKING:
    from drpflow.data.exposure import Exposure

TARGET_SIGMA_PIX = 3.0
PLACE = {"tract": 0, "patch": 0, "visit": VISIT}
HOLDS = TABLE.dataset("final_visit_summary").holds


def sky_map(ra_deg: float = RA_DEG) -> str:
    """One patch that holds the whole visit and more."""
    width = 2.3 * SIZE_PIX * SCALE_ARCSEC / 3600
    field = {"ra_deg": ra_deg, "dec_deg": DEC_DEG, "width_deg": width, "height_deg": width}
    return json.dumps({
        "layout": "field", "field": field, "pixel_scale_arcsec": SCALE_ARCSEC, "warp_margin_pix": 0,
    })  # fmt: skip


class Run:
    """A run folder that the script can be let loose on."""

    def __init__(self, root: Path, scene: FinalVisitScene) -> None:
        self.root, self.scene = root, scene.copied_to(root)
        self.rows = {
            d: ComponentRow({
                "wcs": wcs, "psf": GaussianPsf(SIGMA_PIX), "photo_calib": true_calib(),
                "valid_polygon": ValidPolygon.from_box(BOX),
            })
            for d, wcs in scene.wcs.items()
        }  # fmt: skip
        self.plan: dict[str, Any] = {
            "used": [True] * 4, "used_matched": [True] * 4, "reason": [""] * 4,
            "reason_matched": [""] * 4,
        }  # fmt: skip
        self.target: float | None = None

    def spoil(self, detector: int, name: str, reason: str) -> None:
        held = {n: c for n, c in self.rows[detector].components.items() if n != name}
        self.rows[detector] = ComponentRow(held, {**self.rows[detector].missing, name: reason})

    def run(self, sky: str | None = None, detectors: str = "0-3", **config: Any) -> dict[str, Any]:
        """Write the tables, run the script, return the status."""
        path = self.scene.path("final_visit_summary", visit=VISIT)
        write_component_table(
            path, ComponentTable(self.rows, {}), HOLDS, "detector",
            dataset="final_visit_summary", data_id={"visit": VISIT},
        )  # fmt: skip
        plan = self.scene.path("coadd_plan", tract=0, band=BAND)
        self._write_plan(plan)
        words = ["--tract", "0", "--patch", "0", "--sky-map", sky or sky_map()]
        words += ["--detectors", detectors, "--coadd-plan", str(plan)]
        for name in ("visit_info", "final_visit_summary", "visit_background"):
            words += [f"--{name.replace('_', '-')}", str(self.scene.path(name, visit=VISIT))]
        images = [self.scene.path("initial_pvi", visit=VISIT, detector=d) for d in range(4)]
        words += ["--initial-pvi", *map(str, images), "--config", json.dumps(config)]
        for name in ("direct_warp", "psf_matched_warp"):
            words += [f"--{name.replace('_', '-')}", str(self.scene.path(name, **PLACE))]
        status = TABLE.status_path(self.root, "makeWarp", **PLACE)
        assert main(script("make_warp").TASK, [*words, "--status", str(status)]) == 0
        return json.loads(Path(status).read_text())

    def _write_plan(self, path: Path) -> None:
        columns = {"visit": np.full(4, VISIT), "detector": np.arange(4, dtype=np.int32)}
        columns |= {name: np.array(values) for name, values in self.plan.items()}
        columns["weight"] = np.ones(4)
        for column in load_schema("coadd_plan").without({"tract", "band"}).columns:
            columns.setdefault(
                column.name, np.zeros(4, column.type if column.type != "str" else "U1")
            )
        options = {
            "coadd_plan": path, "tract": 0, "band": BAND, "config": PlanCoadditionConfig(),
            "final_visit_summary": str(path),
        }  # fmt: skip
        write_plan(CoaddPlan(columns, self.target, {}, 1.0), [VISIT], options)

    def warp(self, name: str = "direct_warp") -> Exposure:
        return Store(self.root).get(name, **PLACE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> FinalVisitScene:
    return make_visit(tmp_path_factory.mktemp("visit") / "run")


@pytest.fixture
def run(tmp_path: Path, scene: FinalVisitScene) -> Run:
    return Run(tmp_path / "run", scene)


def test_the_light_of_a_visit_comes_back_with_its_noise(run: Run) -> None:
    """Pixels are those of initial_pvi, calibrated anew: their first calibration was 3 % off."""
    status = run.run()
    assert status["outcome"] == "done"
    assert status["numbers"]["detectors"] == 4
    direct, matched = run.warp(), run.warp("psf_matched_warp")
    assert matched.missing["psf"] == "the plan has no target PSF"
    light = sum(image.sum() for image in run.scene.source_njy.values())
    np.testing.assert_array_equal(np.isfinite(direct.image), ~direct.mask.any("NO_DATA"))
    assert direct.unit == "nJy"
    assert direct.visit_info.visit == VISIT
    assert direct.coadd_inputs.values_of("detector") == [0, 1, 2, 3]
    assert direct.box == sky_map_from_json(sky_map()).tract(0).patch(0).warp
    assert np.nansum(direct.image) == pytest.approx(light, rel=2e-3)
    there = np.isfinite(direct.image)
    assert there.sum() == pytest.approx(4 * BOX.area, rel=0.02)
    empty = there & ~direct.mask.any("DETECTED")
    pull = direct.image[empty] ** 2 / direct.variance[empty]
    assert pull.mean() == pytest.approx(1, abs=0.03)
    assert direct.mask.any("BAD").sum() > 4 * 100
    assert isinstance(direct.psf, CoaddPsf)
    assert [i.detector for i in direct.psf.inputs] == [0, 1, 2, 3]


def test_the_matched_warp_has_the_target_psf(run: Run) -> None:
    """The brightest star of a detector, up to noise and neighbours."""
    run.target = TARGET_SIGMA_PIX
    status = run.run(detectors="0")
    assert status["numbers"]["matched"] == status["numbers"]["detectors"] == 1
    matched = run.warp("psf_matched_warp")
    assert matched.psf == DoubleGaussianPsf.from_sigma(TARGET_SIGMA_PIX)
    assert matched.coadd_inputs.values_of("detector") == [0]
    assert matched.noise_covariance.aperture_factor(6.0) > 3
    wcs, light = run.scene.wcs[0], run.scene.source_njy[0]
    tract = sky_map_from_json(sky_map()).tract(0).wcs
    row, column = np.unravel_index(light[60:-60, 60:-60].argmax(), (SIZE_PIX - 120,) * 2)
    at = tract.world_to_pixel_values(*wcs.pixel_to_world_values(column + 60.0, row + 60.0))
    start = (np.atleast_1d(v) for v in at)
    x, y = measure(matched.image, matched.box, *start, 8, TARGET_SIGMA_PIX)[:2, 0]
    model, box = matched.psf.compute_image(x, y)
    part = matched.cutout(box).image.astype(np.float64)
    inner = (slice(box.height // 2 - 5, box.height // 2 + 6),) * 2
    scale = (part * model)[inner].sum() / (model**2)[inner].sum()
    assert np.abs(part / scale - model)[inner].max() < 0.03 * model.max()


def test_a_detector_that_lacks_a_component_is_left_out(run: Run) -> None:
    run.spoil(2, "psf", "3 stars are too few")
    status = run.run()
    assert status["outcome"] == "partial"
    assert "1 of 4 detectors could not be resampled" in status["reason"]
    assert "2: psf: 3 stars are too few" in status["reason"]
    assert run.warp().coadd_inputs.values_of("detector") == [0, 1, 3]
    assert np.isfinite(run.warp().image).sum() == pytest.approx(3 * BOX.area, rel=0.02)


def test_a_detector_without_background_is_left_out(run: Run) -> None:
    rows = {d: ComponentRow({"background": true_background()}) for d in range(3)}
    rows[3] = ComponentRow({}, {"background": "no sky was left"})
    write_component_table(
        run.scene.path("visit_background", visit=VISIT), ComponentTable(rows, {}),
        MEMBERS["visit_background"], "detector", dataset="visit_background",
        data_id={"visit": VISIT},
    )  # fmt: skip
    status = run.run()
    assert status["outcome"] == "partial"
    assert "no sky was left" in status["reason"]
    assert run.warp().coadd_inputs.values_of("detector") == [0, 1, 2]


def test_where_all_detectors_fail_complete_files_say_so(run: Run) -> None:
    for detector in range(4):
        run.spoil(detector, "wcs", "it moves a corner")
    status = run.run()
    assert status["outcome"] == "failed"
    for name in ("direct_warp", "psf_matched_warp"):
        warp = run.warp(name)
        assert warp.mask.any("NO_DATA").all()
        assert np.isnan(warp.image).all()
        assert "it moves a corner" in warp.missing["psf"]
        assert warp.visit_info.visit == VISIT


def test_a_visit_that_lies_elsewhere_leaves_an_empty_warp(run: Run) -> None:
    status = run.run(sky_map(RA_DEG + 1.0))
    assert status["outcome"] == "done"
    assert status["numbers"]["empty"] == "no detector of the visit reaches the patch"
    assert status["numbers"]["filled"] == 0
    assert run.warp().mask.any("NO_DATA").all()
    assert run.warp().missing["coadd_inputs"] == status["numbers"]["empty"]


def test_what_the_plan_leaves_out_is_not_warped(run: Run) -> None:
    run.plan["used"] = [False] * 4
    run.plan["reason"] = ["the seeing is bad"] * 4
    status = run.run()
    assert status["outcome"] == "done"
    assert status["numbers"]["empty"] == "the seeing is bad"
    run.plan["used"] = [True, False, False, False]
    assert run.run()["numbers"]["detectors"] == 1


def test_a_visit_that_is_too_wide_stays_in_the_direct_warp(run: Run) -> None:
    """As the plan says, and as the matching itself finds."""
    run.target = TARGET_SIGMA_PIX
    run.plan["used_matched"] = [False] * 4
    run.plan["reason_matched"] = ["its PSF is wider than the target"] * 4
    status = run.run()
    assert status["outcome"] == "done"
    assert status["numbers"]["unmatched"] == "its PSF is wider than the target"
    assert run.warp("psf_matched_warp").missing["psf"] == "its PSF is wider than the target"
    assert run.warp().coadd_inputs.values_of("detector") == [0, 1, 2, 3]
    run.plan["used_matched"], run.plan["reason_matched"] = [True] * 4, [""] * 4
    run.target = 1.2
    status = run.run(detectors="0-1")
    assert status["outcome"] == "partial"
    assert "2 of 2 detectors could not be matched to the target PSF" in status["reason"]
    assert status["numbers"]["detectors"] == 2
    assert status["numbers"]["matched"] == 0


def test_equal_runs_give_equal_bytes(run: Run) -> None:
    run.run()
    path = run.scene.path("direct_warp", **PLACE)
    first = path.read_bytes()
    run.run()
    assert path.read_bytes() == first


def test_patches_agree_where_they_overlap(scene: FinalVisitScene) -> None:
    """Direct to the last bit; matched as well as a transform in single precision adds up."""
    tract = sky_map_from_json(sky_map()).tract(0)
    store = Store(scene.root)
    info = store.get("visit_info", visit=VISIT)

    def opened(detector: int) -> Exposure:
        base = store.get("initial_pvi", visit=VISIT, detector=detector)
        return base.replace(wcs=scene.wcs[detector])

    target = DoubleGaussianPsf.from_sigma(TARGET_SIGMA_PIX)
    made = [
        make_warp(WarpOf(info, tract.wcs, box, {0: ""}, {}, target), opened, MakeWarpConfig())
        for box in (Box(100, 300, 100, 400), Box(180, 480, 150, 450))
    ]
    common = Box(180, 300, 150, 400)
    for name, tolerance in (("direct", 0.0), ("matched", 1e-3)):
        one, two = (getattr(m, name).cutout(common) for m in made)
        assert np.isfinite(one.image).sum() > 10_000
        noise = np.sqrt(np.nanmedian(one.variance))
        np.testing.assert_allclose(one.image, two.image, rtol=0, atol=tolerance * noise)
        np.testing.assert_allclose(one.variance, two.variance, rtol=1e-5)
        np.testing.assert_array_equal(one.mask.array, two.mask.array)


def test_a_detector_that_cannot_be_read_is_left_out(scene: FinalVisitScene) -> None:
    tract = sky_map_from_json(sky_map()).tract(0)
    store = Store(scene.root)
    info = store.get("visit_info", visit=VISIT)

    def opened(detector: int) -> Exposure:
        base = store.get("initial_pvi", visit=VISIT, detector=detector if detector < 4 else 77)
        return base.replace(wcs=scene.wcs[detector])

    of = WarpOf(info, tract.wcs, Box(0, 300, 0, 300), {0: "no", 9: "no"}, {}, None)
    made = make_warp(of, opened, MakeWarpConfig())
    assert made.problem is not None
    assert "9: " in str(made.problem)
    with pytest.raises(AlgorithmError, match="1 of 1"):
        make_warp(WarpOf(info, tract.wcs, of.box, {9: "no"}, {}, None), opened, MakeWarpConfig())
