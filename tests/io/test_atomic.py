"""Files appear whole or not at all, whatever happens to the writer."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits

from drpflow.errors import machine_fault
from drpflow.io.atomic import (
    Content,
    atomic_path,
    noted_files,
    remove_strays,
    write_bytes,
    write_json,
    write_text,
)


def test_file_appears_with_its_folder(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "électron\n")
    assert path.read_text(encoding="utf-8") == "électron\n"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_a_write_that_falls_short_says_why(tmp_path):
    path = tmp_path / "image.fits"
    path.write_text("old")
    image = fits.PrimaryHDU(np.zeros((1000, 1000)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as told, atomic_path(path) as temporary:
            image.writeto(temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert machine_fault(told.value) == (
        f"{path}: File too large. Raise the limit of file sizes (ulimit -f), and run again."
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_without_a_number_that_is_not_of_the_disk_stays(tmp_path):
    def write_half() -> None:
        with atomic_path(tmp_path / "a.fits") as temporary:
            temporary.write_bytes(b"half")
            raise OSError("no FITS file")

    with pytest.raises(OSError, match="no FITS file"):
        write_half()
    assert not list(tmp_path.iterdir())


def test_nothing_is_there_before_the_end(tmp_path):
    path = tmp_path / "b.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.name == f".b.txt.{os.getpid()}.tmp"
    assert path.read_text() == "half"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_no_stray(tmp_path, error):
    path = tmp_path / "b.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writer_that_writes_nothing_is_told(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "b.txt"):
        pass


def test_json_keeps_order_and_floats_and_refuses_nan(tmp_path):
    path = tmp_path / "b.json"
    write_json(path, {"z": 0.1 + 0.2, "a": [1, None]})
    assert json.loads(path.read_text()) == {"z": 0.1 + 0.2, "a": [1, None]}
    assert path.read_text().index('"z"') < path.read_text().index('"a"')
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text())["z"] == 0.1 + 0.2


WRITER = """
import sys, time
from drpflow.io.atomic import atomic_path
with atomic_path(sys.argv[1]) as path, path.open("wb") as file:
    for _ in range(100):
        file.write(b"new" * 1000)
        file.flush()
        print("writing", flush=True)
        time.sleep(0.05)
"""


def test_kill_in_mid_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "data.bin"
    write_bytes(path, b"old")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert path.read_bytes() == b"old"
    (stray,) = (p for p in tmp_path.iterdir() if p != path)
    assert remove_strays(tmp_path) == [stray]
    assert list(tmp_path.iterdir()) == [path]


def test_next_writer_takes_away_what_a_killed_one_left(tmp_path):
    path = tmp_path / "a[1].txt"
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    for name in (path.name, "other.txt"):
        (tmp_path / f".{name}.{dead.pid}.tmp").write_text("half")
    write_text(path, "whole")
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [f".other.txt.{dead.pid}.tmp", path.name]


def test_strays_of_living_writers_stay(tmp_path):
    mine = tmp_path / f".a.{os.getpid()}.tmp"
    mine.write_text("x")
    other = tmp_path / ".notes.tmp"
    other.write_text("no process id")
    assert remove_strays(tmp_path) == []
    assert mine.exists()
    assert other.exists()


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """The name holds the process id, so that the last to finish wins and neither is torn."""
    path = tmp_path / "data.bin"
    code = (
        "import sys; from drpflow.io.atomic import write_bytes\n"
        "for _ in range(50): write_bytes(sys.argv[1], sys.argv[2].encode() * 10000)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), x]) for x in "ab"]
    while any(w.poll() is None for w in writers):
        if path.exists():
            assert len(set(path.read_bytes())) == 1
        time.sleep(0.005)
    assert [w.wait() for w in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_written_is_noted(tmp_path):
    path = tmp_path / "b.txt"
    write_text(path, "before")
    with noted_files() as files:
        assert not files
        write_text(path, "first")
        write_text(path, "123456789")
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "c.json", {"x": float("nan")})
    write_text(tmp_path / "d.txt", "after")
    # The check value of CRC-32, from its definition.
    assert files == {path: Content(9, "cbf43926")}
