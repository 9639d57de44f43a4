"""One command line for many detectors, and back."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.errors import AlgorithmError
from drpflow.workflow import task_runner
from drpflow.workflow.batch import (
    command_words,
    fill,
    format_ids,
    jobs,
    parse_ids,
    pattern,
)
from drpflow.workflow.task_runner import Task, main

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


@given(st.sets(st.integers(0, 300)))
def test_ids_round_trip(ids: set[int]) -> None:
    assert parse_ids(format_ids(ids)) == sorted(ids)


@given(st.from_regex(r"[a-z0-9_/ {}]{0,40}", fullmatch=True), st.integers(0, 200))
def test_a_pattern_gives_back_its_text(text: str, detector: int) -> None:
    assert fill(pattern(text, detector), detector) == text


def expanded(words: dict[int, str]) -> dict[int, list[str]]:
    """Each detector's own words after the way through a shell and a script."""
    found = jobs(shlex.split("script.py " + command_words(words)))
    assert found is not None
    assert all(job.words[0] == "script.py" for job in found)
    return {job.detector: job.words[1:] for job in found}


@given(
    st.dictionaries(
        st.integers(0, 120), st.lists(st.from_regex(r"[a-z0-9 '\"{}]{1,12}", fullmatch=True))
    ).filter(bool)
)
def test_words_round_trip(words: dict[int, list[str]]) -> None:
    assert expanded({d: shlex.join(own) for d, own in words.items()}) == words


@pytest.mark.parametrize("name", ["raw/1_{d}.fits", "raw/n1/a_{d:02d}.fits -x {d}", "{d:03d}"])
def test_names_with_numbers_share_an_option(name: str) -> None:
    words = {d: name.format(d=d) for d in range(120)}
    text = command_words(words)
    assert text.count("--for-detectors") <= 2
    assert expanded(words) == {d: shlex.split(own) for d, own in words.items()}


def test_a_detector_that_differs_has_an_option_of_its_own() -> None:
    words = {d: f"--raw {d}.fits" for d in range(5)}
    words[3] = "--raw 3.fits --flat other.fits"
    assert command_words(words) == (
        "--for-detectors 0-2,4 '--raw {detector}.fits' "
        "--for-detectors 3 '--raw {detector}.fits --flat other.fits'"
    )


def test_a_single_job_is_no_batch() -> None:
    assert jobs(["--detector", "3", "--config", "{}"]) is None


def make_task(fails: dict[int, Exception]) -> Task:
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--detector", type=int)
        parser.add_argument("--product", type=task_runner.Path)

    def run(args: argparse.Namespace) -> dict[str, int]:
        task_runner.log.info("at %d", args.detector)
        if args.detector in fails:
            raise fails[args.detector]
        args.product.write_text(str(args.detector))
        return {"detector": args.detector}

    def write_stub(args: argparse.Namespace, failure: Exception) -> None:
        args.product.write_text(f"stub {failure}")

    return Task("isr", run, write_stub, add_arguments)


def call(task: Task, folder: Path) -> int:
    words: list[Any] = ["--detector", "{detector}", "--product", folder / "{detector:02d}"]
    words += ["--status", folder / "status/visit=7/detector={detector}.json"]
    words += ["--log", folder / "logs/visit=7/detector={detector}.log"]
    words += ["--for-detectors", "0-1", "", "--for-detectors", "5", "--threads 1"]
    return main(task, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in task_runner._THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    task_runner.log.setLevel("INFO")
    return tmp_path


def test_each_detector_has_its_products_status_and_log(folder: Path) -> None:
    failure = AlgorithmError("no stars", {"n": 0})
    assert call(make_task({1: failure}), folder) == 0
    assert [(folder / f"{d:02d}").read_text() for d in (0, 1, 5)] == ["0", "stub no stars", "5"]
    ends = {
        d: json.loads((folder / f"status/visit=7/detector={d}.json").read_text()) for d in (0, 1, 5)
    }
    assert [end["outcome"] for end in ends.values()] == ["done", "failed", "done"]
    assert ends[5]["data_id"] == {"visit": 7, "detector": 5}
    log = (folder / "logs/visit=7/detector=1.log").read_text()
    assert log == "INFO at 1\nWARNING isr failed: no stars\n"
    assert (folder / "logs/visit=7/detector=5.log").read_text() == "INFO at 5\n"


def test_a_defect_ends_the_job(folder: Path) -> None:
    assert call(make_task({1: ZeroDivisionError("boo")}), folder) == 1
    assert (folder / "00").exists()
    assert not (folder / "05").exists()
    assert "boo" in (folder / "logs/visit=7/detector=1.log").read_text()
