"""Four ends of a task: success, some components missing, declared failure, defect."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from drpflow.config.base import StrictModel, param
from drpflow.errors import AlgorithmError, InputError
from drpflow.io.atomic import write_text
from drpflow.workflow import task_runner
from drpflow.workflow.task_runner import Partial, Task, data_id_of, main

if TYPE_CHECKING:
    import argparse


class Section(StrictModel):
    """A config section."""

    limit: float = param(3.0, "a limit", gt=0)


def make_task(end: Any, seen: dict[str, Any] | None = None) -> Task:
    """A task that writes its output, or fails in a given way."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--product", type=Path)

    def run(args: argparse.Namespace) -> Any:
        if seen is not None:
            seen.update(vars(args))
        if isinstance(end, Exception):
            raise end
        write_text(args.product, "good")
        return end

    def write_stub(args: argparse.Namespace, failure: Exception) -> None:
        write_text(args.product, f"stub: {failure}")

    return Task("isr", run, write_stub, add_arguments, Section)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    for name in task_runner._THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return {
        "product": tmp_path / "product",
        "status": tmp_path / "status/isr/visit=12/detector=3.json",
    }


def call(task: Task, files: dict[str, Path], *more: str) -> int:
    return main(task, [w for k, p in files.items() for w in (f"--{k}", str(p))] + list(more))


def test_success(files: dict[str, Path]) -> None:
    numbers = {"bias_adu": np.float32(0.5), "n": np.int64(3), "noise": float("nan")}
    assert call(make_task(numbers), files) == 0
    status = json.loads(files["status"].read_text())
    assert re.fullmatch("[0-9a-f]{8}", status.pop("crc32"))
    assert status == {
        "task": "isr",
        "data_id": {"visit": 12, "detector": 3},
        "outcome": "done",
        "reason": "",
        "numbers": {"bias_adu": 0.5, "n": 3, "noise": None},
        "hint": "",
        "files": {"product": [4, f"{zlib.crc32(b'good'):08x}"]},
    }


def test_declared_failure(files: dict[str, Path]) -> None:
    error = AlgorithmError("only 2 stars", {"n_stars": 2, "limit": 5}, "lower isr.limit")
    assert call(make_task(error), files) == 0
    assert files["product"].read_text() == "stub: only 2 stars"
    status = json.loads(files["status"].read_text())
    assert status["outcome"] == "failed"
    assert status["reason"] == "only 2 stars"
    assert status["numbers"] == {"n_stars": 2, "limit": 5}
    assert status["hint"] == "lower isr.limit"


def test_some_components_missing(files: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    failure = AlgorithmError("no match", {"n_matched": np.int64(2)}, "look at the pointing")
    assert call(make_task(Partial({"n_stars": 40}, failure)), files) == 0
    assert files["product"].read_text() == "good"
    status = json.loads(files["status"].read_text())
    del status["crc32"]
    assert status == {
        "task": "isr",
        "data_id": {"visit": 12, "detector": 3},
        "outcome": "partial",
        "reason": "no match",
        "numbers": {"n_stars": 40, "n_matched": 2},
        "hint": "look at the pointing",
        "files": {"product": [4, f"{zlib.crc32(b'good'):08x}"]},
    }
    assert "isr is incomplete: no match" in caplog.text


def test_some_components_missing_for_bad_input(files: dict[str, Path]) -> None:
    failure = InputError("stars.parquet", "it does not cover the field", "give another")
    assert call(make_task(Partial({"n_stars": 40}, failure)), files) == 0
    status = json.loads(files["status"].read_text())
    assert status["reason"] == "stars.parquet: it does not cover the field"
    assert status["numbers"] == {"n_stars": 40}


def test_bad_input_is_a_declared_failure(files: dict[str, Path]) -> None:
    error = InputError("raw/a.fits", "the file is truncated", "copy it again")
    assert call(make_task(error), files) == 0
    status = json.loads(files["status"].read_text())
    assert status["reason"] == "raw/a.fits: the file is truncated"
    assert status["hint"] == "copy it again"


def test_defect_leaves_no_status(files: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    assert call(make_task(ZeroDivisionError("boo")), files) == 1
    assert not files["status"].exists()
    assert "Traceback" in caplog.text
    assert "boo" in caplog.text


def fault(number: int, path: Path | str) -> OSError:
    """What the system says of a file."""
    return OSError(number, os.strerror(number), str(path))


def unreadable(path: Path, number: int) -> InputError:
    """What a reader makes of that."""
    error = InputError(path, "it cannot be read", "make it again")
    error.__context__ = fault(number, path)
    return error


def test_a_full_disk_is_told_in_a_sentence(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert call(make_task(fault(errno.ENOSPC, "results/a.fits")), files) == 1
    assert not files["status"].exists()
    assert "results/a.fits: No space left on device. Free some space, and run" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_disk_that_is_full_when_the_status_is_written(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, obj: Any) -> None:
        raise fault(errno.ENOSPC, path)

    monkeypatch.setattr(task_runner, "write_outcome", full)
    assert call(make_task({}), files) == 1
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [
        (errno.EIO, "raw/a.fits", 1),
        (errno.ESTALE, "raw/a.fits", 1),
        (errno.EACCES, "raw/a.fits", 0),
        (errno.EACCES, "initial_pvi/a.fits", 1),
        (errno.ENOENT, "initial_pvi/a.fits", 0),
    ],
)
def test_a_file_that_the_machine_does_not_give_is_not_lost(
    files: dict[str, Path], number: int, name: str, code: int
) -> None:
    """But one that nobody may read is, until somebody may, unless the run itself has made it."""
    root = files["product"].parent
    path = root / name if code or number == errno.ENOENT else root.parent / name
    assert call(make_task(unreadable(path, number)), files) == code
    assert files["status"].exists() == (code == 0)


def test_a_stub_that_fails_is_a_defect(files: dict[str, Path]) -> None:
    task = make_task(AlgorithmError("no"))

    def broken(args: argparse.Namespace, failure: Exception) -> None:
        raise OSError("disk full")

    broken_task = Task(task.name, task.run, broken, task.add_arguments, Section)
    assert call(broken_task, files) == 1
    assert not files["status"].exists()


def test_two_runs_give_equal_status_bytes(files: dict[str, Path]) -> None:
    call(make_task({"x": 0.1}), files)
    first = files["status"].read_bytes()
    call(make_task({"x": 0.1}), files)
    assert files["status"].read_bytes() == first


def test_config_as_json_file_or_nothing(files: dict[str, Path], tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    call(make_task({}, seen), files)
    assert seen["config"].limit == 3.0
    call(make_task({}, seen), files, "--config", '{"limit": 4}')
    assert seen["config"].limit == 4.0
    path = tmp_path / "config.yaml"
    path.write_text("camera: x\nisr:\n  limit: 5\n")
    call(make_task({}, seen), files, "--config", str(path))
    assert seen["config"].limit == 5.0


def test_bad_config_is_the_users_fault(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert call(make_task({}), files, "--config", '{"limti": 4}') == 2
    assert "did you mean 'limit'" in caplog.text
    assert "Traceback" not in caplog.text
    assert not files["status"].exists()


@pytest.mark.parametrize(
    ("path", "data_id"),
    [
        ("results/status/isr/visit=12/detector=3.json", {"visit": 12, "detector": 3}),
        ("a/tract=9813/patch=4/band=r.json", {"tract": 9813, "patch": 4, "band": "r"}),
        ("status/fgcm/run.json", {}),
    ],
)
def test_data_id_of(path: str, data_id: dict[str, Any]) -> None:
    assert data_id_of(path) == data_id


def test_threads_and_caches_are_set_before_numpy_comes() -> None:
    code = (
        "import sys\n"
        "from drpflow.workflow.task_runner import start_process\n"
        "assert 'numpy' not in sys.modules\n"
        "start_process(3)\n"
        "import os\n"
        "print(os.environ['NUMBA_NUM_THREADS'], os.environ['OMP_NUM_THREADS'],"
        " os.environ['NUMBA_CACHE_DIR'])\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")}
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout.split()
    assert output[:2] == ["3", "3"]
    assert "numba" in output[2]
