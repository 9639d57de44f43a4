"""Minutes that jobs ask for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from drpflow.config.run import RunConfig
from drpflow.data.camera import Camera
from drpflow.io.datasets import DatasetTable
from drpflow.workflow.plan import Plan
from drpflow.workflow.runtime import COSTS, runtime_min
from drpflow.workflow.survey import load_survey
from tests.workflow.small_survey import SKY_MAP


@pytest.fixture
def plan(sheets, camera: Camera) -> Plan:
    run = RunConfig(**(sheets.write().model_dump() | {"skyMap": SKY_MAP}))
    survey = load_survey(run, camera, lambda row: False)
    return Plan(run, DatasetTable.load(), survey, {"isr": "a"})


def wildcards(plan: Plan, task: str) -> SimpleNamespace:
    (tract, patch, band), _ = next(iter(plan.tracts.visits_of_patch.items()))
    pieces = plan.overlaps.visits if COSTS[task].each == "piece" else plan.astrometry.visits
    return SimpleNamespace(tract=tract, patch=patch, band=band, skypix=next(iter(pieces)))


@pytest.mark.parametrize("task", COSTS)
def test_every_task_asks_for_time_and_for_more_the_second_time(plan: Plan, task: str) -> None:
    minutes = runtime_min(plan, task)
    first = minutes(wildcards(plan, task), 1)
    # Tiny frames: ten minutes, and what rounding and a few visits add.
    assert 10 <= first <= 12
    assert minutes(wildcards(plan, task), 2) == 2 * first


def test_time_grows_with_pixels_and_detectors(plan: Plan) -> None:
    plan.survey.__dict__["megapixels"] = 16.8
    one, visit = (runtime_min(plan, "calibrateImage", of_visit=v)(None, 1) for v in (False, True))
    # 1.5 s a megapixel, four times that: 1.7 min for one detector, 3.4 for both.
    assert (one, visit) == (12, 14)
    assert runtime_min(plan, "measureSky")(None, 1) == 11
