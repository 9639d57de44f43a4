"""Which visits are done in one job, and what these jobs are given."""

from __future__ import annotations

import re
import shlex
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from drpflow.workflow import visit_batch
from drpflow.workflow.batch import jobs
from drpflow.workflow.survey import load_survey
from drpflow.workflow.visit_batch import VisitBatch

if TYPE_CHECKING:
    from drpflow.data.camera import Camera


def wildcards(visit: int, detector: int = 0) -> SimpleNamespace:
    return SimpleNamespace(visit=str(visit), detector=str(detector))


def make(sheets, camera: Camera) -> VisitBatch:
    return VisitBatch(load_survey(sheets.write(), camera, lambda row: False))


def matched(pattern: str, visits: range) -> set[int]:
    return {v for v in visits if re.fullmatch(pattern, str(v))}


def test_all_visits_alike(sheets, camera: Camera) -> None:
    batch = make(sheets, camera)
    assert batch.detectors == ("0", "1")
    assert batch.visits == {"1", "2", "3"}
    assert matched(batch.visit_pattern, range(1, 4)) == {1, 2, 3}
    assert not matched(batch.other_pattern, range(1, 4))
    assert batch.of_detectors("a/{visit}/{detector}") == ["a/{visit}/0", "a/{visit}/1"]
    assert batch.of_visit("a/{visit}/{detector}")(wildcards(3)) == "a/3/{detector}"


@pytest.mark.parametrize("lacking", [(2,), (1, 2)])
def test_visits_that_lack_a_detector(sheets, camera: Camera, lacking: tuple[int, ...]) -> None:
    """The set that most visits have counts; where there are two, the larger one."""
    sheets.visits.append(sheets.visit(12, "r1"))
    rows = [row._replace(visit=12) for row in sheets.exposures if row.visit == 1]
    sheets.exposures += rows
    sheets.exposures = [
        row for row in sheets.exposures if not (row.visit in lacking and row.detector == 1)
    ]
    batch = make(sheets, camera)
    assert batch.detectors == ("0", "1")
    assert batch.visits == {"1", "2", "3", "12"} - {str(v) for v in lacking}
    assert matched(batch.visit_pattern, range(1, 4)) == {1, 2, 3} - set(lacking)
    assert matched(batch.other_pattern, range(1, 4)) == set(lacking)
    assert re.fullmatch(batch.visit_pattern, "12")
    assert not re.fullmatch(batch.other_pattern, "12")
    assert not re.fullmatch(batch.visit_pattern, "x")


def test_inputs_and_options_are_those_of_the_frames(sheets, camera: Camera) -> None:
    (sheets.folder / "raw/2_1.fits").unlink()
    survey = load_survey(sheets.write(), camera, lambda row: False)
    batch = VisitBatch(survey)
    files = batch.frame_files(wildcards(2))
    assert [path.rpartition("/")[2] for path in files["raw"]] == ["2_0.fits"]
    assert [path.rpartition("/")[2] for path in files["bias"]] == ["bias_0.fits", "bias_1.fits"]
    found = jobs(shlex.split(batch.frame_options(wildcards(2))))
    assert found is not None
    for job in found:
        alone = survey.frame_options(wildcards(2, job.detector))
        assert job.words == shlex.split(alone)


def test_files_that_detectors_share_are_named_once(sheets, camera: Camera) -> None:
    path = sheets.calibrations[0].path
    sheets.calibrations = [
        row._replace(path=path) if row.kind == "bias" else row for row in sheets.calibrations
    ]
    assert make(sheets, camera).frame_files(wildcards(1))["bias"] == [path]


def test_a_command_too_long_for_linux(sheets, camera: Camera, monkeypatch) -> None:
    monkeypatch.setattr(visit_batch, "_LONGEST", 10)
    batch = make(sheets, camera)
    assert not batch.visits
    assert not matched(batch.visit_pattern, range(30))
    assert matched(batch.other_pattern, range(1, 4)) == {1, 2, 3}


def test_the_digest_tells_of_each_detector(sheets, camera: Camera) -> None:
    before = make(sheets, camera).camera_digest(wildcards(1))
    first, second = camera.detectors
    second = second.model_copy(update={"name": "another"})
    camera = camera.model_copy(update={"detectors": (first, second)})
    assert make(sheets, camera).camera_digest(wildcards(1)) != before
    assert make(sheets, camera).camera_digest(wildcards(1)) == make(sheets, camera).camera_digest(
        wildcards(2)
    )


def test_a_camera_of_one_detector(sheets, camera: Camera) -> None:
    sheets.exposures = [row for row in sheets.exposures if row.detector == 1]
    assert make(sheets, camera).detectors == ("1",)
