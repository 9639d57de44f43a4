"""drpflow why: what would run, and which input, key or function is behind it."""

from __future__ import annotations

import os

import pytest

from tests.workflow.small_survey import SmallSurvey
from tests.workflow.test_staleness import restored

pytestmark = pytest.mark.workflow


def told(survey: SmallSurvey, *words: str) -> list[str]:
    result = survey.drpflow("why", *words)
    assert result.returncode == 0, result.stderr
    return [line.strip() for line in result.stdout.splitlines()]


def test_up_to_date(finished: SmallSurvey) -> None:
    line, answer = told(finished)
    assert line.startswith("$ snakemake --snakefile ")
    assert line.endswith(" --dry-run")
    assert answer == "up to date: nothing would run"


def test_a_damaged_product(finished: SmallSurvey) -> None:
    """Of which Snakemake knows nothing."""
    (path,) = finished.folder.glob("results/isr_statistics/visit=11/detector=0/*")
    with restored(path):
        times, size = path.stat(), path.stat().st_size
        path.write_bytes(path.read_bytes()[:-1])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        _, first, *others = told(finished)
    why = f"has {size - 1} bytes instead of {size}: a run makes it again"
    assert first == "1 files of the run are damaged"
    assert others == [f"{path.relative_to(finished.folder)} {why}"]


def test_a_frame_and_a_key(finished: SmallSurvey) -> None:
    """Each cause stands at the job that it makes run; the others are counted."""
    raw, config = finished.raw_path(11, 1), finished.folder / "config/config.yaml"
    with restored(raw, config):
        finished.write_raw(11, 1, extra_adu=50)
        finished.write_config(calibrateImage={"seed": 7})
        lines = told(finished, "sky_samples", "visit=11")
    assert lines[0].startswith("$ snakemake results/sky_samples/visit=11/sky_samples.parquet ")
    assert lines[1:] == [
        "4 jobs would run",
        "isr visit=11, detector=1",
        "raw/11_1.fits has changed",
        "calibrateImage visit=11, detector=0",
        "config: calibrateImage.seed is 7, was 1",
        "since their inputs are made again: calibrateImage 1, measureSky 1",
    ]


def test_a_function_by_its_name(finished: SmallSurvey) -> None:
    name = "src/drpflow/tasks/make_visit_info.py"
    with restored(finished.code / name):
        finished.edit(name, "round(difference, 4)", "round(difference, 5)")
        lines = told(finished, "makeVisitInfo", "visit=12")
    assert lines[1] == "1 jobs would run"
    assert lines[2] == "makeVisitInfo visit=12"
    assert lines[3].startswith("its code has changed (drpflow.tasks.make_visit_info: ")
    assert "constants" not in lines[3]


def test_a_visit_less(finished: SmallSurvey) -> None:
    with restored(*sorted((finished.folder / "sheets").iterdir())):
        finished.write_sheets((11,))
        text = "\n".join(told(finished, "isolated_stars"))
    assert "3 jobs would run\nassociateIsolatedStars skypix=65" in text
    assert "it has 3 inputs less (results/initial_stars/visit=12/" in text


def test_faults(finished: SmallSurvey) -> None:
    faults = {
        ("initial_pvi", "visit=99"): "the run has none of visit=99",
        ("initial_pvi", "vist=11"): "did you mean 'visit'",
        ("raw/11_1.fits",): "the run does not make it",
        ("coads",): "did you mean 'coadds'",
    }
    for words, message in faults.items():
        result = finished.drpflow("why", *words)
        assert result.returncode == 2, result.stdout
        assert message in result.stderr
