"""planCoaddition: from summaries to a plan, by its function and by its script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drpflow.config.plan_coaddition import PlanCoadditionConfig
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.io.coadd_plan_files import read_coadd_plan
from drpflow.io.component_tables import write_component_table
from drpflow.io.store import Store
from drpflow.tasks.plan_coaddition import plan_coaddition
from drpflow.workflow.task_runner import main
from tests.algorithms.summary_rows import summary_rows
from tests.tasks.astrometric_run import camera
from tests.tasks.test_finalize_astrometry import script

CONFIG = PlanCoadditionConfig()
SKY_MAP = json.dumps(
    {"layout": "field", "pixel_scale_arcsec": 0.2,
     "field": {"ra_deg": 10, "dec_deg": -30, "width_deg": 0.1, "height_deg": 0.1}}
)  # fmt: skip


def test_one_weight_a_visit() -> None:
    """From its used detectors alone; 0 for what is not used."""
    rows = summary_rows(40, detectors=4)
    rows["skyNoise"][5] = 1e3
    made = plan_coaddition(rows, [""] * 40, 0.2, CONFIG)
    plan = made.plan
    assert plan.detectors(2) == (0, 2, 3)
    assert "noise" in plan.reason(2, 1)
    weight = plan.columns["weight"].reshape(-1, 4)
    assert weight[1, 1] == 0.0
    assert (weight[1, [0, 2, 3]] == plan.weight(2)).all()
    assert (np.ptp(np.delete(weight, 1, axis=0), axis=1) == 0).all()
    assert made.numbers["detectors_used"] == 39
    assert made.problem is None
    assert plan.weight(99) == 0.0
    assert plan.reason(99, 0) == "visit 99, detector 0 is not in the plan"


def test_weight_of_the_sky_is_the_inverse_variance_of_a_pixel_of_the_coadd() -> None:
    rows = summary_rows(3)
    config = PlanCoadditionConfig(weight="sky")
    plan = plan_coaddition(rows, [""] * 3, 0.3, config).plan
    njy = rows["skyNoise"] * 10 ** (0.4 * (31.4 - rows["zeroPoint"]))
    np.testing.assert_allclose(plan.columns["weight"], (njy * 0.3 / 0.2) ** -2.0)


def test_a_visit_too_wide_stays_in_the_coadd() -> None:
    """Where the target may not be as wide as it."""
    rows = summary_rows(8)
    for name, factor in (("psfSigma", 1.6), ("psfIxx", 2.56), ("psfIyy", 2.56)):
        rows[name][3] *= factor
    target = {"max_fwhm_pix": 6.5}
    config = PlanCoadditionConfig.model_validate({"target": target})
    made = plan_coaddition(rows, [""] * 8, 0.2, config)
    plan = made.plan
    assert plan.target_fwhm_pix == pytest.approx(6.5)
    assert plan.detectors(4) == (0,)
    assert plan.detectors(4, matched=True) == ()
    assert plan.reason(4, 0) == ""
    assert "is too wide for the target of 6.50; it stays in" in plan.reason(4, 0, matched=True)
    assert plan.detectors(5, matched=True) == (0,)
    assert made.numbers["detectors_too_wide"] == 1


def test_nothing_to_coadd() -> None:
    made = plan_coaddition(summary_rows(2), ["without wcs: no star", "without psf: x"], 0.2, CONFIG)
    assert made.plan.target_sigma_pix is None
    assert made.plan.visits == []
    assert made.problem is not None
    assert "no detector of the visits that touch the tract can be coadded" in str(made.problem)


def write_summary(folder: Path, visit: int, sigma_pix: float, lost: tuple[int, ...] = ()) -> None:
    """Write the summary of a visit of 4 detectors; those of `lost` have no WCS, 3 no background."""
    table = Store(folder).table
    n = 4
    plain: dict[str, Any] = summary_rows(n, seed=visit)
    schema = {c.name: c for c in _schema().columns}
    columns = {}
    for name, column in schema.items():
        value = plain.get(name)
        if value is None:
            value = np.zeros(n, np.dtype(column.type) if column.type != "str" else "U1")
        columns[name] = value
    columns["psfSigma"][:] = sigma_pix
    columns["visit"] = np.full(n, visit, np.int64)
    columns["has_background"] = np.arange(n) != 3
    del columns["detector"]
    wcs = SkyWcs.from_camera(camera(), 0, 10.0, -30.0)
    components = {"wcs": wcs, "psf": GaussianPsf(sigma_pix), "photo_calib": PhotoCalib(2.0)}
    rows = {}
    for k in range(n):
        held = {name: c for name, c in components.items() if name != "wcs" or k not in lost}
        rows[k] = ComponentRow(held, {"wcs": "it moves a corner"} if k in lost else {})
    holds = table.dataset("final_visit_summary").holds
    path = table.path(folder, "final_visit_summary", visit=visit)
    write_component_table(path, ComponentTable(rows, columns), holds, "detector",
                          dataset="final_visit_summary", data_id={"visit": visit})  # fmt: skip


def _schema() -> Any:
    from drpflow.io.schemas import load_schema

    return load_schema("final_visit_summary")


def words(folder: Path, visits: str) -> list[str]:
    table = Store(folder).table
    place = {"tract": 0, "band": "r"}
    return [
        "--tract", "0", "--band", "r", "--visits", visits, "--sky-map", SKY_MAP,
        "--final-visit-summary", str(folder / table.path_template("final_visit_summary")),
        "--coadd-plan", str(table.path(folder, "coadd_plan", **place)),
        "--status", str(table.status_path(folder, "planCoaddition", **place)),
    ]  # fmt: skip


def test_script(tmp_path: Path) -> None:
    """What the summaries say lacks is told; the plan can be read through the store."""
    write_summary(tmp_path, 1, 1.8)
    write_summary(tmp_path, 2, 2.2, lost=(0,))
    assert main(script("plan_coaddition").TASK, words(tmp_path, "1-2")) == 0
    table = Store(tmp_path).get("coadd_plan", tract=0, band="r")
    assert table.meta["target_fwhm_pix"] > 2.355 * 2.2
    assert table["tract"].tolist() == [0] * 8
    plan = read_coadd_plan(Store(tmp_path).path("coadd_plan", tract=0, band="r"))
    assert plan.detectors(1) == (0, 1, 2)
    assert plan.detectors(2) == (1, 2)
    assert plan.reason(2, 0) == "without wcs: it moves a corner"
    assert plan.reason(1, 3) == "without background"
    assert plan.weight(1) > plan.weight(2) > 0
    status = json.loads(next(tmp_path.rglob("band=r.json")).read_text())
    assert status["outcome"] == "done"
    assert status["data_id"] == {"tract": 0, "band": "r"}
    assert status["numbers"]["visits_used"] == 2


def test_script_where_nothing_can_be_coadded(tmp_path: Path) -> None:
    write_summary(tmp_path, 1, 1.8, lost=(0, 1, 2))
    assert main(script("plan_coaddition").TASK, words(tmp_path, "1")) == 0
    status = json.loads(next(tmp_path.rglob("band=r.json")).read_text())
    assert status["outcome"] == "partial"
    assert "limits are in the section planCoaddition" in status["hint"]
    assert not Store(tmp_path).get("coadd_plan", tract=0, band="r")["used"].any()


def test_script_without_its_inputs(tmp_path: Path) -> None:
    """A summary that cannot be read: a plan without rows, and the reason."""
    path = Store(tmp_path).table.path(tmp_path, "final_visit_summary", visit=1)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no table")
    assert main(script("plan_coaddition").TASK, words(tmp_path, "1")) == 0
    status = json.loads(next(tmp_path.rglob("band=r.json")).read_text())
    assert status["outcome"] == "failed"
    assert "final_visit_summary.parquet" in status["reason"]
    plan = read_coadd_plan(Store(tmp_path).path("coadd_plan", tract=0, band="r"))
    assert len(plan) == 0
    assert plan.visits == []
