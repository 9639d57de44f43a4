"""Products that are made again with an equal content make nothing else stale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.workflow.small_survey import SmallSurvey
from tests.workflow.test_staleness import planned

pytestmark = pytest.mark.workflow

# A rule such as those that come after the global calibration: it takes a visit's part of it.
CONSUMER = """

rule consumer:
    input:
        data("fgcm_photo_calib"),
    output:
        f"{PLAN.root}/consumer/visit={{visit}}.txt",
    shell:
        "cksum < {input:q} > {output:q}"
"""
CALIBRATION = "results/fgcm_photo_calib/visit={}/fgcm_photo_calib.parquet"


@pytest.fixture
def survey(finished: SmallSurvey, tmp_path: Path) -> SmallSurvey:
    """A finished survey of its own, with a rule that takes global products."""
    copy = SmallSurvey(tmp_path / "run", tmp_path / "code")
    shutil.copytree(finished.folder, copy.folder)
    shutil.copytree(finished.code, copy.code)
    with (copy.code / "Snakefile").open("a") as snakefile:
        snakefile.write(CONSUMER)
    done = copy.snakemake(*consumers(11, 12), "--cores", "2")
    assert done.returncode == 0, done.stderr
    return copy


def consumers(*visits: int) -> list[str]:
    return [f"results/consumer/visit={visit}.txt" for visit in visits]


def content_and_time(survey: SmallSurvey, visit: int) -> tuple[bytes, int]:
    path = survey.folder / CALIBRATION.format(visit)
    return path.read_bytes(), path.stat().st_mtime_ns


def test_a_global_task_run_again(survey: SmallSurvey) -> None:
    """By its content, not by its time, which is new."""
    before = content_and_time(survey, 11)
    again = survey.snakemake("calibration", "--forcerun", "fgcm", "--cores", "2")
    assert again.returncode == 0, again.stderr
    after = content_and_time(survey, 11)
    assert after[0] == before[0]
    assert after[1] > before[1]
    assert planned(survey, *consumers(11, 12)) == set()


def test_a_visit_of_another_field(survey: SmallSurvey) -> None:
    """The calibrations first, then what follows: of the new visit alone."""
    survey.write_sheets((11, 12, 13), ra_deg=200.0)
    for detector in (0, 1):
        survey.write_raw(13, detector)
    before = content_and_time(survey, 11)
    done = survey.drpflow("run", "calibration", "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert content_and_time(survey, 11)[0] == before[0]
    assert planned(survey, *consumers(11, 12, 13)) == {"consumer visit=13"}


def test_in_one_plan_what_follows_a_job_is_run(survey: SmallSurvey) -> None:
    """Snakemake cannot know beforehand that a product will be the same."""
    jobs = planned(survey, *consumers(11), "--forcerun", "fgcm")
    assert jobs == {"fgcm", "consumer visit=11"}
