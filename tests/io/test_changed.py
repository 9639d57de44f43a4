from pathlib import Path

import pytest

from drpflow.io.atomic import content_of, noted_files, write_text
from drpflow.io.changed import unless_equal


def test_equal_bytes_leave_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with unless_equal(path) as fresh:
        fresh.write_text("one")
    before = path.stat()
    with unless_equal(path) as fresh:
        fresh.write_text("one")
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_other_bytes_replace_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("one", "two"):
        with unless_equal(path) as fresh:
            assert fresh.suffix == ".txt"
            fresh.write_text(text)
    assert path.read_text() == "two"


def fail_half_way(path: Path) -> None:
    with unless_equal(path) as fresh:
        fresh.write_text("half")
        raise RuntimeError


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    with pytest.raises(RuntimeError):
        fail_half_way(path)
    assert path.read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_it_is_noted_under_its_own_name(tmp_path: Path) -> None:
    """New, and with the bytes that were there."""
    path = tmp_path / "a.txt"
    for _ in range(2):
        with noted_files() as files, unless_equal(path) as fresh:
            write_text(fresh, "same")
        assert files == {path: content_of(path)}
