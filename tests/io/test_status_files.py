"""Status files are read back, all of them, in order."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from drpflow.errors import InputError
from drpflow.io.atomic import write_json
from drpflow.io.status_files import read_all_outcomes, read_outcome, read_outcomes, write_outcome

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
    """Alone; among others they count as if they were not there, since a run sees to them."""
    path = tmp_path / "status/isr/visit=1.json"
    write(tmp_path, "isr", 2, 1)
    path.write_text(text)
    with pytest.raises(InputError, match=r"visit=1\.json: it is no status file"):
        read_outcome(tmp_path, path)
    assert [outcome.where for outcome in read_all_outcomes(tmp_path)] == ["visit=2, detector=1"]


def test_a_single_bit_does_not_change_unseen(tmp_path: Path) -> None:
    path = tmp_path / "status/isr/visit=1.json"
    values = {"task": "isr", "data_id": {"visit": 1}, "files": {"a.fits": [4, "00000000"]}}
    write_outcome(path, values | RECORD | {"hint": "größer"})
    whole = path.read_bytes()
    assert read_outcome(tmp_path, path).hint == "größer"
    for place in range(len(whole)):
        for bit in (1, 32):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            with pytest.raises(InputError, match="`drpflow run` does its job again"):
                read_outcome(tmp_path, path)


def test_a_file_that_cannot_be_read_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "isr", 2, 1)

    def refuse(path: str, mode: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError, match=r"detector=1\.json: Permission denied\. Give yourself"):
        read_all_outcomes(tmp_path)
