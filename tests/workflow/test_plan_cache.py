"""Look-ups that other processes of a run find, and those that they must not take."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from drpflow.config.run import RunConfig
from drpflow.workflow import plan as plan_module
from drpflow.workflow import plan_cache
from drpflow.workflow.plan import load_plan
from drpflow.workflow.plan_cache import PlanCache
from tests.workflow.small_survey import SKY_MAP, camera_values


@pytest.fixture
def run(sheets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan_cache, "_LEAST_BYTES", 0)
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump(camera_values()))
    values = sheets.write().model_dump() | {"skyMap": SKY_MAP}
    return RunConfig(**values)


def kept() -> list[Path]:
    return list(Path(".snakemake").glob("drpflow-plan-*.pickle"))


def test_other_processes_find_the_look_ups(run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_plan(run)
    (path,) = kept()

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("made again")

    for name in ("TractOverlaps", "Overlaps", "load_survey", "DetectorPatches"):
        monkeypatch.setattr(plan_module, name, fail)
    again = load_plan(run.model_copy(update={"shard": "report"}), warn=False)
    assert again.tracts.detectors == first.tracts.detectors
    assert again.overlaps.visits == first.overlaps.visits
    assert again.survey.frames == first.survey.frames
    assert again.survey.visits == first.survey.visits
    pattern = "{visit}/{tract}/{patch}/{band}"
    wildcards = type("Wildcards", (), {"visit": "1", "detector": "0"})
    assert again.patches.of_detector(pattern)(wildcards) == first.patches.of_detector(pattern)(
        wildcards
    )
    assert kept() == [path]


@pytest.mark.parametrize("change", ["visits.tsv", "calibrations.tsv", "camera.yaml", "config"])
def test_what_they_follow_from_makes_them_anew(run, change: str) -> None:
    load_plan(run)
    before = kept()
    if change == "config":
        run = run.model_copy(update={"visits": (1, 2)})
    else:
        with Path(change).open("a") as stream:
            stream.write("\n")
    assert PlanCache(run).read() is None
    load_plan(run)
    assert len(kept()) == 1
    assert kept() != before


def test_a_broken_file_is_made_again(run) -> None:
    load_plan(run)
    (path,) = kept()
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert PlanCache(run).read() is None
    load_plan(run, warn=False)
    assert path.read_bytes() == whole[:100]
    load_plan(run)
    assert path.read_bytes() == whole


def test_small_surveys_are_not_kept(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_cache, "_LEAST_BYTES", 100_000)
    load_plan(run)
    assert kept() == []
