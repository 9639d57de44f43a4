"""Status files become tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drpflow import paths
from drpflow.io.atomic import write_json
from drpflow.io.datasets import DatasetTable
from drpflow.io.status_files import summarize_failures
from drpflow.workflow.plan import Plan
from drpflow.workflow.status import Cell, read_status
from drpflow.workflow.survey import load_survey

if TYPE_CHECKING:
    from drpflow.data.camera import Camera

TASKS = {"makeVisitInfo": "a", "isr": "b", "makeReport": "c"}


@pytest.fixture
def plan(sheets, camera: Camera) -> Plan:
    run = sheets.write()
    return Plan(run, DatasetTable.load(), load_survey(run, camera, lambda row: True), TASKS)


def end(plan: Plan, task: str, outcome: str = "done", reason: str = "", **data_id: int) -> Path:
    path = plan.table.status_path(plan.root, task, **data_id)
    record = {"task": task, "data_id": data_id, "outcome": outcome, "reason": reason}
    write_json(path, record | {"numbers": {}, "hint": "look"})
    return path


def test_nothing_done(plan: Plan) -> None:
    status = read_status(plan)
    assert status.visits == (1, 2, 3)
    assert status.total("isr") == Cell(6, 0, 0)
    assert status.total("makeVisitInfo") == Cell(3, 0, 0)
    assert status.total("makeReport") == Cell(1, 0, 0)
    assert status.cells["isr", 2].missing == 2
    assert not status.complete(1)


def test_a_task_on_demand_counts_once_it_ran(plan: Plan) -> None:
    tasks = {**TASKS, "rebuildImage": "d"}
    plan = Plan(plan.run, plan.table, plan.survey, tasks)
    assert "rebuildImage" not in read_status(plan).tasks
    end(plan, "rebuildImage", visit=1, detector=0)
    end(plan, "rebuildImage", "failed", "the background has changed", visit=1, detector=1)
    status = read_status(plan)
    assert status.tasks == (*TASKS, "rebuildImage")
    assert status.total("rebuildImage") == Cell(2, 1, 1)


def test_done_and_failed(plan: Plan) -> None:
    end(plan, "makeVisitInfo", visit=1)
    end(plan, "isr", visit=1, detector=0)
    path = end(plan, "isr", "failed", "12 stars", visit=1, detector=1)
    end(plan, "makeVisitInfo", visit=2)
    end(plan, "isr", visit=2, detector=0)
    end(plan, "isr", visit=2, detector=1)
    end(plan, "isr", visit=99, detector=0)  # a visit that the sheet no longer has
    status = read_status(plan)
    assert status.cells["isr", 1] == Cell(2, 1, 1)
    assert status.total("isr") == Cell(6, 3, 1)
    assert not status.complete(1)
    assert status.complete(2)
    (failed,) = status.failed
    assert failed.reason == "12 stars"
    assert failed.where == "visit=1, detector=1"
    assert str(failed.log).endswith("results/logs/isr/visit=1/detector=1.log")
    assert failed.path == path


def test_visits_far_from_their_places(plan: Plan) -> None:
    """Coadds are laid out for half the shorter side of the field: 48 pixels of 0.3 arcsec."""
    plan = Plan(plan.run, plan.table, plan.survey, {"consolidateVisit": "d"})
    for visit, offset in ((1, 7.0), (2, 7.4), (3, None)):
        path = end(plan, "consolidateVisit", visit=visit)
        record = json.loads(path.read_text())
        figures = {} if offset is None else {"pointing_offset_arcsec": offset}
        write_json(path, record | {"numbers": figures})
    status = read_status(plan)
    assert status.allowed_arcsec == pytest.approx(7.2, rel=1e-3)
    assert status.strayed_arcsec == {2: 7.4}


def test_some_components_missing(plan: Plan) -> None:
    for visit, detector, outcome in ((1, 0, "partial"), (1, 1, "done"), (2, 0, "failed")):
        end(plan, "isr", outcome, "no match", visit=visit, detector=detector)
    end(plan, "makeVisitInfo", visit=1)
    status = read_status(plan)
    assert status.cells["isr", 1] == Cell(2, 1, 0, 1)
    assert status.cells["isr", 1].missing == 0
    assert status.total("isr") == Cell(6, 1, 1, 1)
    assert not status.complete(1)
    (partial,) = status.partial
    assert partial.partial
    assert not partial.failed
    assert partial.where == "visit=1, detector=0"
    assert len(status.failed) == 1


def test_failures_are_grouped_by_reason(plan: Plan) -> None:
    for visit, reason in ((1, "only 3 stars"), (2, "only 12.5 stars"), (3, "all pixels are NaN")):
        end(plan, "isr", "failed", reason, visit=visit, detector=0)
    groups = summarize_failures(read_status(plan).failed)
    assert [(task, reason, len(members)) for task, reason, members in groups] == [
        ("isr", "only 3 stars", 2),
        ("isr", "all pixels are NaN", 1),
    ]


def test_half_written_files_are_not_seen(plan: Plan) -> None:
    path = plan.table.status_path(plan.root, "isr", visit=1, detector=0)
    path.parent.mkdir(parents=True)
    (path.parent / f".{path.name}.17.tmp.json").write_text(json.dumps({}))
    assert read_status(plan).total("isr") == Cell(6, 0, 0)


def test_the_default_target_asks_for_all_tasks() -> None:
    table = DatasetTable.load()
    lists = (Path(__file__).parents[2] / "Snakefile").read_text().partition("rule all:")[0]
    asked = set(re.findall(r'(?:kept|folder)\("(\w+)"\)', lists))
    made = {
        task: set()
        for task, entry in table.tasks.items()
        if paths.script(task).is_file() and not entry.on_demand
    }
    for name, dataset in table.datasets.items():
        if dataset.task in made:
            made[dataset.task].add(name)
    # What others need is asked for through them, and the report is a file of its own.
    through = {"makeVisitInfo", "makeReport"}
    assert {task for task in made if not made[task] & asked} == through


def test_the_report_waits_for_all_tasks() -> None:
    rule = (Path(__file__).parents[2] / "workflow/rules/8_report.smk").read_text()
    tasks = DatasetTable.load().tasks
    made = {t for t, entry in tasks.items() if paths.script(t).is_file() and not entry.on_demand}
    waits = set(re.findall(r'status\("(\w+)"\)', rule.partition("output:")[0]))
    assert made - waits == {"makeVisitInfo", "makeReport"}


def test_totals_and_what_is_not_of_a_visit(plan: Plan) -> None:
    for visit in (1, 2, 3):
        end(plan, "makeVisitInfo", visit=visit)
        for detector in (0, 1):
            end(plan, "isr", visit=visit, detector=detector)
    status = read_status(plan)
    assert status.total_of(2) == Cell(3, 3, 0)
    assert list(status.of_visit(2)) == ["makeVisitInfo", "isr"]
    assert all(status.complete(visit) for visit in (1, 2, 3))
    assert not status.finished  # the report is missing
    end(plan, "makeReport")
    assert read_status(plan).finished
