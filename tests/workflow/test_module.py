"""The workflow as a module of another one."""

from __future__ import annotations

import pytest
import yaml

from tests.workflow.small_survey import SmallSurvey
from tests.workflow.test_run import TASKS
from tests.workflow.test_staleness import planned, restored

pytestmark = pytest.mark.workflow

OUTER = """
configfile: "outer.yaml"


module drpflow:
    snakefile:
        "{snakefile}"
    config:
        config["drpflow"]


use rule * from drpflow as drpflow_*


rule brightest:
    input:
        "{output}/source/visit=11/source.parquet",
    output:
        "outer/brightest.txt",
    shell:
        "wc -c {{input}} > {{output}}"
"""


def write(survey: SmallSurvey, **values: object) -> None:
    config = survey.folder / "config/config.yaml"
    values = yaml.safe_load(config.read_text()) | values
    (survey.folder / "outer.yaml").write_text(yaml.safe_dump({"drpflow": values}))
    (survey.folder / "outer.smk").write_text(
        OUTER.format(snakefile=survey.code / "Snakefile", output=values.get("output", "results"))
    )


@pytest.fixture
def outer(finished: SmallSurvey):
    """The finished survey with a workflow that has drpflow as a module."""
    yield finished
    for name in ("outer.yaml", "outer.smk"):
        (finished.folder / name).unlink()


def jobs(survey: SmallSurvey, *targets: str) -> set[str]:
    return planned(survey, *targets, snakefile="outer.smk")


def test_a_finished_survey_stays_finished(outer: SmallSurvey) -> None:
    """Rules of another name, the same products."""
    write(outer)
    assert jobs(outer, "drpflow_all") == set()
    assert jobs(outer, "brightest") == {"brightest"}


def test_a_change_makes_the_same_jobs_stale(outer: SmallSurvey) -> None:
    write(outer, finalizeImage={"detection": {"threshold": 6.0}})
    config = outer.folder / "config/config.yaml"
    with restored(config):
        outer.write_config(finalizeImage={"detection": {"threshold": 6.0}})
        alone = planned(outer)
    assert alone
    assert jobs(outer, "drpflow_all") == {f"drpflow_{job}" for job in alone}


def test_with_an_output_of_its_own(outer: SmallSurvey) -> None:
    write(outer, output="outer/drpflow")
    counts: dict[str, int] = {}
    for job in jobs(outer, "drpflow_all"):
        name = job.split()[0].removeprefix("drpflow_")
        counts[name] = counts.get(name, 0) + 1
    assert counts == TASKS
