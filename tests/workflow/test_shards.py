"""Runs in pieces: what they hold, and that together they are the whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drpflow.config.run import RunConfig
from drpflow.data.camera import Camera
from drpflow.errors import InputError
from drpflow.io.datasets import DatasetTable
from drpflow.io.sheets import ExposureRow, VisitRow
from drpflow.workflow.plan import Plan
from drpflow.workflow.presence import Presence
from drpflow.workflow.runtime import COSTS
from drpflow.workflow.shards import STAGES, TARGET, Shard, parse, shards, snakemake_words, targets
from drpflow.workflow.survey import Frame, Survey
from tests.workflow.small_survey import SmallSurvey, camera_values
from tests.workflow.test_names import RULES

N_VISITS, N_DETECTORS = 1000, 62


def large_plan(batch: str) -> Plan:
    """A survey of 1000 visits of 62 detectors, on 100 fields in two filters."""
    values = camera_values(N_DETECTORS)
    for number, detector in enumerate(values["detectors"]):
        detector |= {"size_pix": [2048, 4096], "amplifiers": [whole_chip()]}
        detector["center_mm"] = [(number % 8 - 3.5) * 33.0, (number // 8 - 3.5) * 64.0]
    camera = Camera.model_validate(values)
    visits = [
        VisitRow(
            v, f"n{v // 100}", f"{'gr'[v % 2]}1", "gr"[v % 2], 30.0, 61000.0 + v / 1000,
            150.0 + v // 2 % 10 * 1.2, -5.0 + v // 20 % 10 * 1.2, 0.0,
        )
        for v in range(1, N_VISITS + 1)
    ]  # fmt: skip
    frames = [Frame(ExposureRow(v.visit, d, "raw"), {}) for v in visits for d in range(N_DETECTORS)]
    survey = Survey(visits, frames, camera, Presence(lambda row: False))
    run = RunConfig(camera="camera.yaml", sheets=Path("sheets"), batch=batch)
    table = DatasetTable.load()
    return Plan(run, table, survey, dict.fromkeys(RULES, "code"))


def whole_chip() -> dict:
    section = [0, 2048, 0, 4096]
    gain = {"gain": 1.5, "read_noise": 5.0, "saturation": 50000.0}
    return {"name": "A", "data_section": section, "raw_data_section": section, **gain}


@pytest.fixture(scope="module")
def by_detector() -> Plan:
    return large_plan("detector")


def all_jobs(plan: Plan) -> set[str]:
    """Return the status file of every job of a run, where each detector is a job."""
    tasks = set(plan.code) - {"rebuildImage"}
    return set(plan.expand([plan.job_file("status", task, ".json") for task in sorted(tasks)]))


def test_stages_hold_every_task_once_in_the_order_of_the_flow() -> None:
    tasks = [task for stage in STAGES for task in stage.tasks]
    assert sorted(tasks) == sorted(set(RULES) - {"rebuildImage"})
    table = DatasetTable.load()
    made: set[str] = set()
    for stage in STAGES:
        made |= {name for name, entry in table.datasets.items() if entry.task in stage.tasks}
        for task in stage.tasks:
            read = set(re.findall(r'(?:data|folder|of_survey|status)\("(\w+)"\)', RULES[task]))
            assert {name for name in read if name in table.datasets} <= made, task


def test_temporary_products_do_not_outlive_a_stage() -> None:
    table = DatasetTable.load()
    for stage in STAGES:
        mine = {n for n, e in table.datasets.items() if e.task in stage.tasks}
        temporary = {name for name in mine if table.is_temporary(name)}
        for other in STAGES:
            if other is not stage:
                read = "".join(RULES[task].partition("output:")[0] for task in other.tasks)
                assert not [name for name in temporary if f'data("{name}")' in read]


def test_every_task_has_a_cost() -> None:
    assert set(COSTS) == set(RULES)


def test_a_survey_of_62000_images(by_detector: Plan) -> None:
    """Each job once, in the order of the stages, in shards that are neither too large nor tiny."""
    found = shards(by_detector)
    assert all(shard.n_jobs <= 20_000 for shard in found)
    total = sum(shard.n_jobs for shard in found)
    assert total == len(all_jobs(by_detector))
    assert len(found) < 1.4 * total / 20_000 + len(STAGES)
    order = [STAGES.index(stage) for shard in found for stage in shard.stages]
    assert order == sorted(order)
    for stage in STAGES:
        parts = [part for s in found if stage in s.stages for part in s.parts]
        assert len(parts) == len(set(parts))
    wanted = {p for stage in STAGES for p in targets(by_detector, stage.name)}
    assert {p for shard in found for p in targets(by_detector, str(shard))} == wanted


def test_one_job_a_visit_makes_fewer_shards(by_detector: Plan) -> None:
    """But not by as much as there are fewer jobs: such a job has the files of all detectors.

    A plan takes 150 MB and 3 MB a visit of 62 detectors (`bench_dag.py`): 1 GB for 280 visits.
    """
    batched = shards(large_plan("visit"))
    assert len(batched) < 0.8 * len(shards(by_detector))
    assert str(batched[0]).startswith("first-look")
    by_visit = [shard for shard in batched if shard.stages[0].cut == "visit" and shard.parts]
    assert max(len(shard.parts) for shard in by_visit) <= 280
    assert sum(shard.n_jobs for shard in batched) < len(all_jobs(by_detector)) / 2


def test_names_are_read_back(by_detector: Plan) -> None:
    for shard in shards(by_detector, 3000):
        again = parse(str(shard))
        assert again.stages == shard.stages
        assert set(again.parts) == set(shard.parts)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("frist-look", "there is no stage 'frist-look'; did you mean 'first-look'?"),
        ("first-look one", "'one' is no list such as 1-8,12"),
        ("photometry 1-3", "'photometry 1-3' has parts"),
        ("association+photometry 1", "has parts"),
        ("first-look 1-2000", "the run has no visit 1001"),
        ("coadds 3:999", "the run has no tract 3 with a patch 999"),
        ("objects 7", "the run has no piece 7 of the sky"),
    ],
)
def test_names_that_are_none(by_detector: Plan, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        targets(by_detector, name)


def test_words_for_snakemake(by_detector: Plan) -> None:
    words = snakemake_words(by_detector, parse("coadds 0:3-4"))
    rules = (TARGET, "makeWarp", "compareWarpAssembleCoadd")
    assert words == ("--allowed-rules", *rules, "--config", "shard=coadds 0:3-4")
    assert targets(by_detector, None) == []
    assert str(Shard(())) == ""


# What every job does instead of its task: empty folders, and files that serve as status files.
FAKE_TASK = r"""
task=$1
shift
for path; do
    case $path in
    *.json)
        key='\([a-z_]*\)'
        id=$(echo "${path#*/status/*/}" | sed -e 's/\.json$//' -e 's/^run$//' \
            -e "s,$key=\([0-9]*\)\(/\|$\),\"\1\": \2\3,g" \
            -e "s,$key=\([^/]*\),\"\1\": \"\2\",g" -e 's,/,\, ,g')
        echo "{\"task\": \"$task\", \"data_id\": {$id}, \"outcome\": \"done\"," \
            '"reason": "", "hint": "", "numbers": {}}' > "$path" ;;
    *.*) echo done > "$path" ;;
    *) mkdir -p "$path" ;;
    esac
done
"""
FAKE = """\
    shell:
        "sh {workflow.basedir}/fake_task.sh {rule} {output:q}"
"""


@pytest.fixture
def fake(tmp_path: Path) -> SmallSurvey:
    """A small survey whose tasks do nothing and take no time."""
    survey = SmallSurvey.make(tmp_path)
    (survey.code / "fake_task.sh").write_text(FAKE_TASK)
    for path in (survey.code / "workflow/rules").glob("*.smk"):
        body = re.sub(r"(?m)^    shell:\n(?:        .*\n)+", lambda _: FAKE, path.read_text())
        path.write_text(body)
    survey.write_config(keep=[])
    return survey


@pytest.mark.workflow
def test_shards_together_are_the_run(fake: SmallSurvey) -> None:
    """Interrupted by a failure, taken up, and then nothing is left for a run of the whole."""
    script = fake.folder / "survey.sh"
    listed = fake.drpflow("shards", "--largest", "13", "--script", "survey.sh")
    assert listed.returncode == 0, listed.stderr
    names = re.findall(r"drpflow run --shard '?([^'\n]*?)'? \"\$@\"", script.read_text())
    assert names[:2] == ["first-look 11", "first-look 12"]
    blocked = fake.folder / "results/status/consolidateVisit"
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    words = ("shards", "--largest", "13", "--run", "--cores", "2")
    failed = fake.drpflow(*words)
    assert failed.returncode == 1
    assert "shard 2 of" in failed.stdout
    assert "shard 3 of" not in failed.stdout
    blocked.unlink()
    done = fake.drpflow(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"shard {len(names)} of {len(names)}: " in done.stdout
    rest = fake.snakemake("--cores", "1", "--dry-run")
    assert "Nothing to be done" in rest.stdout + rest.stderr, rest.stdout
