"""Status files are read back, all of them, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drpflow.errors import InputError
from drpflow.io.atomic import write_json
from drpflow.io.status_files import read_all_outcomes, read_outcomes

if TYPE_CHECKING:
    from pathlib import Path

RECORD = {"outcome": "done", "reason": "", "hint": "", "numbers": {"n": 3}}


def write(root: Path, task: str, visit: int, detector: int, **values: object) -> None:
    data_id = {"visit": visit, "detector": detector}
    path = root / f"status/{task}/visit={visit}/detector={detector}.json"
    write_json(path, {"task": task, "data_id": data_id} | RECORD | values)


def test_read(tmp_path: Path) -> None:
    write(tmp_path, "isr", 2, 1)
    write(tmp_path, "isr", 1, 3, outcome="failed", reason="all pixels are NaN", hint="look")
    write(tmp_path, "calibrateImage", 1, 3)
    first, second = read_outcomes(tmp_path, "isr")
    assert first.failed
    assert first.where == "visit=1, detector=3"
    assert (first.reason, first.hint) == ("all pixels are NaN", "look")
    assert first.path == tmp_path / "status/isr/visit=1/detector=3.json"
    assert first.log == tmp_path / "logs/isr/visit=1/detector=3.log"
    assert not second.failed
    assert second.numbers == {"n": 3}
    assert [o.task for o in read_all_outcomes(tmp_path)] == ["calibrateImage", "isr", "isr"]


def test_nothing_there(tmp_path: Path) -> None:
    assert not read_all_outcomes(tmp_path)
    assert not list(read_outcomes(tmp_path, "isr"))


@pytest.mark.parametrize("text", ["", "[]", '{"task": "isr"}'])
def test_other_files_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "status/isr/visit=1.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InputError, match=r"visit=1\.json: it is no status file"):
        read_all_outcomes(tmp_path)
