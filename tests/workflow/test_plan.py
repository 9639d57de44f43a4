"""What the rules look up beside the frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from drpflow.config.run import RunConfig
from drpflow.data.camera import Camera
from drpflow.errors import InputError
from drpflow.io.datasets import DatasetTable
from drpflow.workflow.plan import Plan, check_reference
from drpflow.workflow.survey import load_survey


@pytest.fixture
def plan(sheets, camera: Camera) -> Plan:
    run = sheets.write()
    survey = load_survey(run, camera, lambda row: False)
    return Plan(run, DatasetTable.load(), survey, {"isr": "a"})


def with_reference(plan: Plan, path: Path | None) -> Plan:
    run = plan.run.model_copy(update={"reference_stars": path})
    return Plan(run, plan.table, plan.survey, plan.code)


def test_without_a_reference_catalogue(plan: Plan) -> None:
    assert plan.run.reference_stars is None
    assert plan.reference_files == []
    assert plan.reference_options == ""
    assert plan.reference_digest == ""
    check_reference(plan.run)


def test_a_catalogue_in_one_file_is_an_input(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "my stars.parquet"
    path.write_text("x")
    plan = with_reference(plan, path)
    assert plan.reference_files == [str(path)]
    assert plan.reference_options == f"--reference-stars '{path}'"
    assert plan.reference_digest == ""


def test_a_catalogue_in_a_folder_counts_by_its_listing(plan: Plan, tmp_path: Path) -> None:
    folder = tmp_path / "stars"
    (folder / "order=5").mkdir(parents=True)
    (folder / "order=5/pixel=1.parquet").write_text("x")
    (folder / "README").write_text("x")
    plan = with_reference(plan, folder)
    assert plan.reference_files == []
    before = plan.reference_digest
    (folder / "README").write_text("longer")
    assert with_reference(plan, folder).reference_digest == before
    (folder / "order=5/pixel=2.parquet").write_text("x")
    assert with_reference(plan, folder).reference_digest != before


def test_a_catalogue_that_does_not_exist(plan: Plan, tmp_path: Path) -> None:
    run = with_reference(plan, tmp_path / "none.parquet").run
    with pytest.raises(InputError, match=r"none\.parquet: the reference catalogue does not exist"):
        check_reference(run)


def test_files_of_jobs(plan: Plan) -> None:
    log = plan.job_file("logs", "isr", ".log")
    assert log.endswith("results/logs/isr/visit={visit}/detector={detector}.log")
    log = plan.visit_file("logs", "isr", ".log")
    assert log.endswith("results/logs/isr/visit={visit}.log")


@pytest.mark.parametrize(("batch", "wanted"), [("detector", False), ("visit", True)])
def test_one_job_a_visit_where_the_config_says_so(plan: Plan, batch: str, wanted: bool) -> None:
    run = RunConfig(**{**plan.run.model_dump(), "batch": batch})
    assert Plan(run, plan.table, plan.survey, plan.code).by_visit is wanted


def test_a_single_detector_is_no_batch(sheets, camera: Camera) -> None:
    sheets.exposures = [row for row in sheets.exposures if row.detector == 0]
    run = sheets.write().model_copy(update={"batch": "visit"})
    survey = load_survey(run, camera, lambda row: False)
    assert not Plan(run, DatasetTable.load(), survey, {}).by_visit


def test_pieces_of_the_sky_that_are_not_of_this_run(plan: Plan) -> None:
    assert plan.warnings == list(plan.survey.warnings)
    pieces = list(plan.overlaps.visits)
    for piece in (pieces[0], "1", "22"):
        path = plan.table.path(plan.root, "isolated_stars", skypix=int(piece))
        path.parent.mkdir(parents=True)
        path.touch()
    (warning,) = plan.warnings
    assert "isolated_stars: 2 pieces of the sky, such as skypix=1, are not of this run" in warning
    for piece in (*plan.astrometry.visits, "5000"):
        path = plan.table.path(plan.root, "solved_astrometry_stars", skypix=int(piece))
        path.parent.mkdir(parents=True)
        path.touch()
    warning = plan.warnings[1]
    assert "solved_astrometry_stars: 1 pieces of the sky, such as skypix=5000" in warning
    assert "skypix.astrometry_order" in warning


def test_all_of_a_survey(plan: Plan) -> None:
    assert plan.all_visits == "1-3"
    pieces = list(plan.overlaps.visits)
    assert plan.expand(["a", "b/{skypix}"]) == ["a", *(f"b/{piece}" for piece in pieces)]
    assert plan.survey_memory_mb(10)(None, 2) == 2 * plan.survey_memory_mb(10)(None, 1)
