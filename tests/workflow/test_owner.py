"""One run a folder, and what a killed one leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from drpflow.errors import InputError
from drpflow.workflow import owner

NOTE = Path(".snakemake/drpflow-owner.json")


def write_note(folder: Path, note: owner.Owner) -> None:
    (folder / NOTE).parent.mkdir(parents=True, exist_ok=True)
    (folder / NOTE).write_text(json.dumps(vars(note)))


def sleeper(marker: str | None, command: str = "import time; time.sleep(60)") -> subprocess.Popen:
    environment = os.environ | ({owner.MARKER: marker} if marker else {})
    return subprocess.Popen([sys.executable, "-c", command], env=environment)


def killed(folder: Path) -> None:
    """Take from this process the lock that one which is killed loses."""
    owner._held.pop(folder).close()


def write_programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Shell scripts that are found before all other programs."""
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_claim_and_release(tmp_path: Path) -> None:
    mine, dead = owner.claim(tmp_path)
    assert dead is None
    assert mine.alive()
    assert json.loads((tmp_path / NOTE).read_text())["pid"] == os.getpid()
    owner.release(tmp_path, mine)
    assert not (tmp_path / NOTE).exists()


def test_a_live_owner_is_respected(tmp_path: Path) -> None:
    owner.claim(tmp_path)
    with pytest.raises(InputError, match=f"process {os.getpid()} runs this workflow already"):
        owner.claim(tmp_path)


def test_a_live_owner_is_respected_whatever_the_clock_says(tmp_path: Path) -> None:
    mine, _ = owner.claim(tmp_path)
    write_note(tmp_path, replace(mine, started=1000.0))
    for refused in (owner.claim, owner.refuse_while_running):
        with pytest.raises(InputError, match=f"process {os.getpid()} runs this workflow already"):
            refused(tmp_path)
    owner.release(tmp_path, mine)
    owner.refuse_while_running(tmp_path)


def test_a_process_id_used_again_is_no_owner(tmp_path: Path) -> None:
    write_note(tmp_path, replace(owner.Owner.here(), started=1000.0))
    _, dead = owner.claim(tmp_path)
    assert dead is not None


def test_another_machine_cannot_be_asked(tmp_path: Path) -> None:
    write_note(tmp_path, owner.Owner("elsewhere", 1, 1.0, "x"))
    with pytest.raises(InputError, match="only elsewhere can tell"):
        owner.claim(tmp_path)
    _, dead = owner.claim(tmp_path, take_over=True)
    assert dead is not None


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}'])
def test_a_torn_note_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / NOTE).parent.mkdir()
    (tmp_path / NOTE).write_text(text)
    assert owner.claim(tmp_path)[1] is None


def test_only_marked_processes_are_ended() -> None:
    dead = owner.Owner("here", 1, time.time() - 1, "run-17")
    marked, foreign, unmarked = sleeper("run-17"), sleeper("run-18"), sleeper(None)
    try:
        time.sleep(0.3)
        assert owner.end_orphans(dead) == 1
        assert marked.poll() is not None
        assert foreign.poll() is None
        assert unmarked.poll() is None
    finally:
        for process in (marked, foreign, unmarked):
            process.kill()
            process.wait()


def test_a_stubborn_orphan_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_GRACE_S", 0.5)
    dead = owner.Owner("here", 1, time.time() - 1, "run-19")
    deaf = sleeper(
        "run-19", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    )
    time.sleep(0.3)
    assert owner.end_orphans(dead) == 1
    assert deaf.poll() is not None


def test_orphans_outlive_a_run_that_is_killed_before_it_has_ended_them(tmp_path: Path) -> None:
    first = replace(owner.Owner.here(), marker="run-21", started=time.time() - 1)
    write_note(tmp_path, replace(first, pid=2**22))
    second, dead = owner.claim(tmp_path)
    assert dead is not None
    killed(tmp_path)
    write_note(tmp_path, replace(second, pid=2**22, before=vars(dead)))
    mine, dead = owner.claim(tmp_path)
    assert dead is not None
    owner.release(tmp_path, mine)  # an error, or an interrupt, before it has ended them
    mine, dead = owner.claim(tmp_path)
    assert dead is not None
    marked = sleeper("run-21")
    try:
        time.sleep(0.3)
        assert owner.end_orphans(dead) == 1
    finally:
        marked.kill()
        marked.wait()
    owner.settle(tmp_path, mine)
    assert json.loads((tmp_path / NOTE).read_text())["before"] is None


def test_who_leaves_jobs_behind_leaves_the_note(tmp_path: Path) -> None:
    """Interrupted twice, say."""
    mine, _ = owner.claim(tmp_path)
    left = sleeper(mine.marker)
    try:
        time.sleep(0.3)
        owner.release(tmp_path, mine)
        write_note(tmp_path, owner.Owner(**json.loads((tmp_path / NOTE).read_text()) | {"pid": 1}))
        _, dead = owner.claim(tmp_path)
        assert dead is not None
        assert owner.end_orphans(dead) == 1
    finally:
        left.kill()
        left.wait()


def test_jobs_in_a_queue_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    dead = owner.Owner("here", 1, time.time(), "run-22", slurm_run="a-name")
    with pytest.raises(InputError, match=r"scancel: it is not here; .* named a-name\. Run where"):
        owner.end_orphans(dead)


def test_jobs_in_a_queue_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are gone when the queue says so, which here is the third time that it is asked."""
    asked = tmp_path / "asked"
    write_programs(
        tmp_path,
        monkeypatch,
        scancel=f'echo "$@" > {tmp_path}/cancelled',
        squeue=f"echo >> {asked}; [ $(wc -l < {asked}) -gt 2 ] || echo 17",
    )
    monkeypatch.setattr(owner, "_POLL_QUEUE_S", 0.01)
    owner.end_orphans(owner.Owner("here", 1, time.time(), "run-23", slurm_run="a-name"))
    assert (tmp_path / "cancelled").read_text().split() == ["--name", "a-name"]
    assert asked.read_text().count("\n") == 3


def test_a_queue_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes that for a queue without jobs."""
    write_programs(tmp_path, monkeypatch, scancel="exit 1", squeue="echo no answer >&2; exit 1")
    dead = replace(owner.Owner.here(), pid=2**22, marker="run-24", slurm_run="a-name")
    with pytest.raises(InputError, match=r"squeue: it fails \(no answer\); .* named a-name"):
        owner.end_orphans(dead)
    write_note(tmp_path, dead)
    with pytest.raises(InputError, match=r"jobs of process \d+, which was killed, still run"):
        owner.refuse_while_running(tmp_path)


def test_jobs_in_a_queue_are_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_programs(tmp_path, monkeypatch, squeue="echo 17")
    dead = replace(owner.Owner.here(), pid=2**22, marker="run-25", slurm_run="a-name")
    write_note(tmp_path, dead)
    with pytest.raises(InputError, match="still run"):
        owner.refuse_while_running(tmp_path)


def test_a_clock_that_was_set_back_hides_no_orphan() -> None:
    marked = sleeper("run-20")
    try:
        time.sleep(0.3)
        later = psutil.Process(marked.pid).create_time() + 100
        assert owner.end_orphans(owner.Owner("here", 1, later, "run-20")) == 1
        assert marked.poll() is not None
    finally:
        marked.kill()
        marked.wait()


def test_the_snakemake_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it works is not to be seen; whose the lock is, is."""
    cwd = psutil.Process.cwd
    locks = tmp_path / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("")
    (tmp_path / "snakemake").write_text("import time; time.sleep(60)")
    process = subprocess.Popen([sys.executable, "snakemake"], cwd=tmp_path)
    try:
        time.sleep(0.3)

        def shown(asked: psutil.Process) -> str:
            if asked.pid == process.pid:
                raise psutil.AccessDenied(asked.pid)
            return cwd(asked)

        monkeypatch.setattr(psutil.Process, "cwd", shown)
        with pytest.raises(InputError, match="works in this folder"):
            owner.has_stale_lock(tmp_path)
    finally:
        process.kill()
        process.wait()
    assert owner.has_stale_lock(tmp_path)


def test_a_plain_snakemake_at_work_is_respected(tmp_path: Path) -> None:
    locks = tmp_path / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("")
    script = tmp_path / "snakemake"
    script.write_text("import time; time.sleep(60)")
    process = subprocess.Popen([sys.executable, "snakemake"], cwd=tmp_path)
    try:
        time.sleep(0.3)
        with pytest.raises(InputError, match=f"process {process.pid} .*works in this folder"):
            owner.has_stale_lock(tmp_path)
    finally:
        process.kill()
        process.wait()
    assert owner.has_stale_lock(tmp_path)
    (locks / "0.input.lock").unlink()
    assert not owner.has_stale_lock(tmp_path)
