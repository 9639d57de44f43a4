"""What is known of visits: a visit that cannot be read harms no other."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from drpflow.data.visit_info import VisitInfo
from drpflow.errors import DrpflowError, InputError, MissingDatasetError
from drpflow.io.records import write_component_json
from drpflow.io.visit_info_files import path_of, read_visit_info, read_visits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for visit in (3, 5, 12):
        write_component_json(tmp_path / f"info/{visit}.json", VisitInfo(visit))
        (tmp_path / f"{visit}.txt").write_text(f"summary {visit}")
    return tmp_path


def read(folder: Path) -> tuple[list[tuple[int, str]], dict[int, str]]:
    def part(path: Path) -> str:
        if not path.exists():
            raise MissingDatasetError(f"{path} does not exist")
        return path.read_text()

    patterns = str(folder / "info/{visit}.json"), str(folder / "{visit}.txt")
    found, faults = read_visits([12, 3, 5], *patterns, part)
    return [(info.visit, text) for info, text in found], faults


def test_visits_come_by_number(folder: Path) -> None:
    assert read(folder) == ([(3, "summary 3"), (5, "summary 5"), (12, "summary 12")], {})


def test_what_cannot_be_read_is_told(folder: Path) -> None:
    (folder / "5.txt").unlink()
    (folder / "info/3.json").write_text("{")
    found, faults = read(folder)
    assert found == [(12, "summary 12")]
    assert sorted(faults) == [3, 5]
    assert "the visit's summary cannot be read" in faults[5]
    assert "5.txt does not exist" in faults[5]
    assert "3.json" in faults[3]


def test_defects_are_not_swallowed(folder: Path) -> None:
    def broken(path: Path) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_visits([3], str(folder / "info/{visit}.json"), str(folder / "{visit}.txt"), broken)


def test_metadata_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(DrpflowError):
        read_visit_info(tmp_path / "x.json")
    with pytest.raises(InputError):
        read_visit_info(tmp_path / "none.json")


def test_paths() -> None:
    path = path_of("a/visit={visit}/skypix={skypix}.fits", visit=3, skypix=71)
    assert path == Path("a/visit=3/skypix=71.fits")


def test_a_visit_that_the_machine_hides_is_not_lost(folder: Path) -> None:
    def shut(path: Path) -> str:
        try:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        except OSError as error:
            raise InputError(path, "it cannot be read", "Make it again") from error

    with pytest.raises(InputError, match="it cannot be read"):
        read_visits([3], str(folder / "info/{visit}.json"), str(folder / "{visit}.txt"), shut)
