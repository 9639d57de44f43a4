"""Whole runs: products, summary, failures, recovery."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from drpflow import cli
from drpflow.commands import run as run_command
from drpflow.commands.run import is_dry_run
from drpflow.io.datasets import DatasetTable
from drpflow.io.status_files import write_outcome
from drpflow.io.store import Store
from drpflow.workflow.fingerprint import SourceTree
from drpflow.workflow.runner import Request, Result
from drpflow.workflow.snakemake_log import Failed, Finished, Parser, Planned
from tests.workflow.small_survey import SmallSurvey

pytestmark = pytest.mark.workflow


PROMPT = {"makeVisitInfo": 2, "isr": 4, "calibrateImage": 4, "consolidateVisit": 2}
TASKS = PROMPT | {"associateIsolatedStars": 3, "fgcmMakeLookUpTable": 1, "fgcm": 1}
TASKS |= {"solveAstrometry": 1, "measureSky": 2, "makeSkyFrame": 1, "modelVisitBackground": 2}
TASKS |= {"finalizeCharacterization": 2, "finalizeAstrometry": 1, "updateVisitSummary": 2}
TASKS |= {"planCoaddition": 1, "makeWarp": 4, "compareWarpAssembleCoadd": 2}
TASKS |= {"finalizeImage": 4, "consolidateSourceTable": 2, "matchSource": 3, "fitStellarMotions": 3}
TASKS |= {"compressImage": 4, "makeReport": 1}
"""Number of jobs by task."""


def clone(survey: SmallSurvey, folder: Path) -> SmallSurvey:
    """A second run folder of the same survey and code, not yet run."""
    ignored = shutil.ignore_patterns("results", ".snakemake", "modules")
    shutil.copytree(survey.folder, folder, ignore=ignored)
    return SmallSurvey(folder, survey.code)


def task_of(product: str) -> str:
    """Return the task that writes a file below the output root."""
    folder, name = product.split("/")[:2]
    return name if folder == "status" else DatasetTable.load().dataset(folder).task


def test_everything_is_made(finished: SmallSurvey) -> None:
    (result,) = finished.outcome
    assert result.returncode == 0, result.stdout + result.stderr
    for task, count in TASKS.items():
        assert re.search(rf"(?m)^{task}: \d of {count} done", result.stdout)
    assert "isr: 4 of 4 done\n" in result.stdout
    assert "$ snakemake --cores 2 --snakefile " in result.stderr
    assert f"{sum(TASKS.values())} jobs: " in result.stderr
    exposure = Store(finished.folder / "results").get("post_isr_image", visit=11, detector=0)
    assert exposure.unit == "electron"
    assert exposure.visit_info.visit == 11
    assert not list(finished.folder.rglob(".*.tmp"))
    assert not (finished.folder / ".snakemake/drpflow-owner.json").exists()


def test_snakemake_says_what_the_parser_expects(finished: SmallSurvey) -> None:
    parser = Parser()
    lines = finished.outcome[0].stderr.splitlines()
    events = [event for line in lines for event in parser.feed(line)]
    (plan,) = [event for event in events if isinstance(event, Planned)]
    assert plan.jobs == {**TASKS, "all": 1}
    ended = [event.rule for event in events if isinstance(event, Finished)]
    assert sorted(ended) == sorted(rule for rule, n in plan.jobs.items() for _ in range(n))
    assert not [event for event in events if isinstance(event, Failed)]


def test_fingerprints_cover_what_has_been_loaded(finished: SmallSurvey) -> None:
    tree = SourceTree()
    notes = list((finished.folder / "modules").iterdir())
    assert {note.stem for note in notes} == set(TASKS)
    for note in notes:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", note.stem).lower()
        listed = tree.modules(finished.code / "scripts" / f"{words}.py")
        # Schemas are files beside no code; those that a task uses are named in the plan.
        unlisted = set(note.read_text().split()) - listed - {"drpflow.schemas"}
        assert not unlisted, note.stem


def test_a_rerun_does_nothing(finished: SmallSurvey) -> None:
    before = {p: p.stat().st_mtime_ns for p in (finished.folder / "results").rglob("*")}
    result = finished.drpflow("run", "--cores", "2")
    assert result.returncode == 0
    assert "Nothing to do: every product is up to date." in result.stdout
    assert {p: p.stat().st_mtime_ns for p in (finished.folder / "results").rglob("*")} == before


def test_status_of_a_finished_run(finished: SmallSurvey) -> None:
    """Frames of empty sky: everything is made, and calibrateImage finds no star in them."""
    result = finished.drpflow("status", "--all")
    assert result.returncode == 1
    assert "0 of 2 visits are complete" in result.stdout
    assert re.search(r"(?m)^calibrateImage +\S+ +0/4  4 (partial|failed)$", result.stdout)
    assert re.search(r"(?m)^12 +\S+ +\d+/\d+  calibrateImage 2 (partial|failed)", result.stdout)
    assert re.search(r"(?m)^(Lost|Some components missing) \(\d+\):\n  \w+ ", result.stdout)
    assert "\n  calibrateImage visit=11, detector=0; " in result.stdout


def test_temporary_products_go_and_kept_ones_stay(finished: SmallSurvey, tmp_path: Path) -> None:
    """And a run that is the same but for `keep` makes the same products."""
    survey = clone(finished, tmp_path / "run")
    survey.write_config(keep=[])
    result = survey.drpflow("run", "prompt", "--cores", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    wanted = {
        name: digest
        for name, digest in finished.products().items()
        if task_of(name) in PROMPT and not name.startswith("post_isr_image/")
    }
    assert survey.products() == wanted


def test_declared_failures_and_errors(finished: SmallSurvey, tmp_path: Path) -> None:
    """Frames that are broken or absent are lost alone; an error is shown; the rest goes on."""
    survey = clone(finished, tmp_path / "run")
    broken, absent = survey.raw_path(11, 0), survey.raw_path(12, 0)
    broken.write_bytes(broken.read_bytes()[:4000])
    absent.unlink()
    # A folder where the table shall be written is no fault of the data.
    blocked = survey.folder / "results/isr_statistics/visit=12/detector=1/isr_statistics.parquet"
    (blocked / "in the way").mkdir(parents=True)
    result = survey.drpflow("run", "--cores", "2")
    text = result.stdout + result.stderr
    assert result.returncode == 1, text
    assert "raw/12_0.fits does not exist. Cannot process 1 of the frames" in result.stderr
    assert "isr: 1 of 4 done, 2 failed" in result.stdout
    assert re.search(r"isr visit=11, detector=0: raw/11_0.fits: \w.*\n +\w.*\n +log: ", text)
    assert "isr visit=12, detector=0: raw/12_0.fits: " in result.stdout
    assert "isr visit=12, detector=1 ended with an error; log: results/logs/isr/" in result.stderr
    assert re.search(r"  \| \w*Error: ", result.stderr)
    status = survey.drpflow("status")
    assert status.returncode == 1
    assert re.search(r"(?m)^isr +\S+ +1/4  2 failed", status.stdout)
    lost = Store(survey.folder / "results").get("post_isr_image", visit=12, detector=0)
    assert np.isnan(lost.image).all() or lost.missing

    shutil.rmtree(blocked)
    for path in (broken, absent):
        shutil.copy(finished.folder / path.relative_to(survey.folder), path)
    mended = survey.drpflow("run", "--cores", "2")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert survey.products() == finished.products()


def test_failures_are_tried_again_when_asked(finished: SmallSurvey) -> None:
    """A recorded failure whose input, code and config are as they were."""
    path = finished.folder / "results/status/isr/visit=12/detector=1.json"
    text, times = path.read_text(), path.stat()
    values = json.loads(text)
    del values["crc32"]
    write_outcome(path, values | {"outcome": "failed"})
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    plain = finished.drpflow("run", "--cores", "1", "--", "--dry-run", "--quiet", "rules")
    assert "Nothing to be done" in plain.stderr
    again = finished.drpflow(
        "run", "--cores", "1", "--retry-failed", "--", "--dry-run", "--quiet", "rules"
    )
    assert re.search(r"(?m)^isr +1$", again.stderr), again.stderr
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_all_detectors_of_a_visit_in_one_job(finished: SmallSurvey, tmp_path: Path) -> None:
    """Other jobs, the same products; a visit that lacks a detector goes its own way."""
    survey = clone(finished, tmp_path / "run")
    survey.write_config(batch="visit")
    result = survey.drpflow("run", "--cores", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "isrOfVisit 2, calibrateImageOfVisit 2, consolidateVisit 2" in result.stderr
    assert survey.products() == finished.products()
    for task in ("isr", "calibrateImage", "finalizeImage", "compressImage"):
        for name in ("visit=11.log", "visit=11/detector=1.log"):
            assert (survey.folder / "results/logs" / task / name).is_file()

    survey.write_raw(13, 1)
    visits, exposures = (survey.folder / "sheets" / f"{n}.tsv" for n in ("visits", "exposures"))
    survey.write_sheets((11, 12, 13))
    lines = [line for line in exposures.read_text().splitlines() if "13_0" not in line]
    exposures.write_text("\n".join([*lines, ""]))
    assert "13" in visits.read_text()
    result = survey.drpflow("run", "prompt", "--cores", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"makeVisitInfo 1, isr 1, calibrateImage 1, consolidateVisit 1", result.stderr)


def test_prompt_makes_no_report(finished: SmallSurvey, tmp_path: Path) -> None:
    survey = clone(finished, tmp_path / "run")
    result = survey.drpflow("run", "prompt", "--", "--dry-run")
    assert result.returncode == 0, result.stderr
    listed = dict(re.findall(r"(?m)^(\w+) +(\d+)$", result.stderr))
    assert listed == {t: str(n) for t, n in {**PROMPT, "prompt": 1, "total": 13}.items()}


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that have not ended."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_for(condition, process: subprocess.Popen[str], what: str) -> None:
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, f"the run ended before {what}"
        time.sleep(0.05)
    raise AssertionError(f"no {what}")


def unlocking(run: subprocess.Popen[str]) -> bool:
    """Return whether Snakemake takes away the lock of a killed run."""
    with suppress(psutil.Error):
        children = psutil.Process(run.pid).children()
        return any("--unlock" in child.cmdline() for child in children)
    return False


def test_kill_9_and_the_same_command_again(finished: SmallSurvey, tmp_path: Path) -> None:
    """Killed in the middle, first drpflow alone, then Snakemake as well; then while it unlocks."""
    survey = clone(finished, tmp_path / "run")
    images = survey.folder / "results/post_isr_image"

    def count() -> int:
        return len(list(images.rglob("*.fits")))

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            survey.command("run", "--cores", "1"),
            cwd=survey.folder,
            env=survey.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    first = start()
    wait_for(lambda: count() >= 1, first, "first image")
    refused = survey.drpflow("run", "--cores", "1")
    assert refused.returncode == 2
    assert f"process {first.pid} runs this workflow already" in refused.stderr
    left = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert running(left)
    done = count()

    second = start()
    wait_for(lambda: count() > done, second, "another image")
    assert not running(left)
    left = psutil.Process(second.pid).children(recursive=True)
    for process in [psutil.Process(second.pid), *left[:1]]:
        process.kill()
    second.wait()
    assert list((survey.folder / ".snakemake/locks").iterdir())

    third = start()
    wait_for(lambda: unlocking(third), third, "unlocking")
    third.kill()
    third.wait()

    last = survey.drpflow("run", "--cores", "2")
    assert last.returncode == 0, last.stdout + last.stderr
    assert f"process {third.pid} was killed in this folder; ended 1" in last.stderr
    assert survey.products() == finished.products()


def test_interruption_leaves_nothing_running(finished: SmallSurvey, tmp_path: Path) -> None:
    survey = clone(finished, tmp_path / "run")
    process = subprocess.Popen(
        survey.command("run", "--cores", "1"),
        cwd=survey.folder,
        env=survey.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    status = survey.folder / "results/status/makeVisitInfo"
    wait_for(lambda: list(status.rglob("*.json")), process, "first status file")
    left = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in text
    assert not running(left)
    assert not (survey.folder / ".snakemake/drpflow-owner.json").exists()
    assert not list(survey.folder.glob(".snakemake/locks/*"))


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"kep": []}, "config/config.yaml: unknown key 'kep'; did you mean 'keep'?"),
        ({"keep": ["post_isr"]}, "did you mean 'post_isr_image'?"),
        ({"camera": "none.yaml"}, "none.yaml: the camera file does not exist."),
        ({"sheets": "nowhere"}, "nowhere/visits.tsv: the sheet cannot be read"),
        ({"reference_stars": "no.parquet"}, "no.parquet: the reference catalogue does not exist"),
        (
            {"skyMap": {"layout": "field"}},
            "skyMap (config): the layout field has no centre. Add field: {ra_deg: 10.0, dec_deg:",
        ),
        (
            {"compareWarpAssembleCoadd": {"bright_objects": "no.reg"}},
            "no.reg: the region file of bright objects does not exist",
        ),
        ({"skyMap": {"layout": "cells"}}, "key 'skyMap.layout' has the value 'cells'"),
        ({"skyMap": {"patch_inner_pix": 150}}, "key 'skyMap.patch_inner_pix' has the value 150"),
    ],
)
def test_faults_of_the_user_are_one_sentence(
    finished: SmallSurvey, tmp_path: Path, sections: dict, sentence: str
) -> None:
    """By Snakemake as by drpflow, without a traceback, before anything runs."""
    survey = clone(finished, tmp_path / "run")
    survey.write_config(**sections)
    for result in (survey.drpflow("run"), survey.snakemake("--cores", "1")):
        assert result.returncode in {1, 2}
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr
        assert 'File "' not in result.stderr
    assert not (survey.folder / "results").exists()


def test_a_key_that_stands_twice(finished: SmallSurvey, tmp_path: Path) -> None:
    survey = clone(finished, tmp_path / "run")
    path = survey.folder / "config/config.yaml"
    number = path.read_text().count("\n") + 1
    with path.open("a") as stream:
        stream.write("keep: []\n")
    result = survey.snakemake("--cores", "1")
    assert result.returncode == 1
    message = f"config/config.yaml: line {number}: no YAML: the key 'keep' stands twice"
    assert message in result.stderr


def test_a_config_file_of_another_name_is_the_only_one_read(
    finished: SmallSurvey, tmp_path: Path
) -> None:
    survey = clone(finished, tmp_path / "run")
    survey.write_config(isr={"seed": 99})
    other = {"camera": "camera.yaml", "sheets": "sheets", "output": "other"}
    (survey.folder / "other.yaml").write_text(yaml.safe_dump(other))
    result = survey.drpflow("run", "--config", "other.yaml", "--", "--dry-run", "--printshellcmds")
    assert result.returncode == 0, result.stderr
    assert "--config '{}'" in result.stderr
    assert "other/post_isr_image" in result.stderr
    assert "results/" not in result.stderr


@pytest.mark.parametrize("word", ["-n", "-np", "-pn", "-nq", "--dry-run", "--dryrun", "--dry-r"])
def test_a_dry_run_by_any_name(word: str) -> None:
    assert is_dry_run(["--quiet", "rules", word])


@pytest.mark.parametrize("word", ["-p", "-k", "--notemp", "-jn", "--drop-metadata", "--", "n"])
def test_no_dry_run(word: str) -> None:
    assert not is_dry_run([word])


@pytest.mark.parametrize("words", [["run", "--shard", "report"], ["shards", "--run"]])
def test_a_shard_that_fails_before_its_first_job_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    def fail(request: Request, prepare: Callable[[], Iterable[str]]) -> Result:
        list(prepare())
        return Result(1, lines=deque(["MissingInputException in rule makeReport"]))

    survey = SmallSurvey.make(tmp_path)
    monkeypatch.chdir(survey.folder)
    monkeypatch.setattr(run_command, "run_snakemake", fail)
    assert cli.main(words) == 1
    assert "MissingInputException in rule makeReport" in capsys.readouterr().err
