"""Who runs the workflow in a folder, and what a run that was killed has left behind.

``drpflow run`` writes a note with its process id, the start time of that process and a marker
into ``.snakemake/drpflow-owner.json``; the marker is also an environment variable of all that
it starts. As long as it lives it holds a lock on the file beside the note. After a ``kill -9``
the note stays, the lock is gone, and whatever still carries the marker is an orphan. On file
systems without locks the note alone tells: the process that it names is gone, or its id belongs
to a process of another start time.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from drpflow.errors import InputError
from drpflow.io.atomic import write_json

if TYPE_CHECKING:
    import psutil

MARKER: Final = "DRPFLOW_RUN"
_NOTE: Final = Path(".snakemake") / "drpflow-owner.json"
# Locked as long as its owner lives, whatever clocks, process ids and their namespaces do.
_LOCK: Final = Path(".snakemake") / "drpflow-owner.lock"
_held: dict[Path, TextIO] = {}
"""Locks of this process, by folder."""
# Process start times come from the clock tick count since boot; two readings of one start
# differ by less than this.
_START_TOLERANCE_S: Final = 1.0
_WAIT: Final = "Wait for it to end, or end it, and run again"
_GRACE_S: Final = 10.0
_POLL_S: Final = 0.05
_GRACE_QUEUE_S: Final = 60.0
_POLL_QUEUE_S: Final = 1.0


@dataclass(frozen=True)
class Owner:
    """A running ``drpflow run``.

    Parameters
    ----------
    host
        The machine it runs on.
    pid
        Its process id.
    started
        Start time of that process, seconds since 1970.
    marker
        Value of the environment variable :data:`MARKER` of everything it starts.
    slurm_run
        Name of its jobs in SLURM's queue, if it has sent any there.
    before
        A run that was killed before it, whose orphans nobody has ended yet.
    """

    host: str
    pid: int
    started: float
    marker: str
    slurm_run: str = ""
    before: Owner | None = None

    @classmethod
    def here(cls) -> Owner:
        """Return the owner that this process would be."""
        import psutil

        host, pid, started = socket.gethostname(), os.getpid(), psutil.Process().create_time()
        return cls(host, pid, started, f"{host}:{pid}:{started:.2f}")

    def line(self) -> list[Owner]:
        """Return this run and those before it."""
        return [self, *(self.before.line() if self.before else [])]

    def alive(self) -> bool:
        """Return whether the process runs, which only its own machine can tell."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < _START_TOLERANCE_S and _runs(process)
        except psutil.Error:
            return False


def claim(folder: Path, *, take_over: bool = False) -> tuple[Owner, Owner | None]:
    """Make this process the owner of a folder.

    Parameters
    ----------
    folder
        Working directory of the workflow.
    take_over
        Believe that an owner on another machine is dead.

    Returns
    -------
    owner
        This process.
    dead
        The owner before, if that one was killed; see :func:`end_orphans`. The note names it until
        :func:`settle` is called, for whoever comes if this process is killed as well.

    Raises
    ------
    InputError
        If another run owns the folder.
    """
    note = folder / _NOTE
    held = _hold(folder)
    try:
        dead = _read(note)
        if dead is not None:
            _refuse_if_alive(folder, dead, take_over=take_over)
        owner = replace(Owner.here(), before=dead)
        write_json(note, asdict(owner))
    except BaseException:
        held.close()
        raise
    _held[folder.resolve()] = held
    return owner, dead


def _hold(folder: Path) -> TextIO:
    """Lock a folder until the file that is returned is closed, or this process ends.

    Raises
    ------
    InputError
        If another process holds it.
    """
    path = folder / _LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        found = _read(folder / _NOTE)
        who = f"process {found.pid}" if found else "another process"
        place = f" on {found.host}" if found and found.host != socket.gethostname() else ""
        raise InputError(folder, f"{who}{place} runs this workflow already", _WAIT) from None
    except OSError:
        pass  # a file system without locks
    return stream


def refuse_while_running(folder: Path) -> None:
    """Raise if a run is alive in a folder, or was killed and its jobs still are.

    Raises
    ------
    InputError
        Then.
    """
    if (folder / _LOCK).exists():
        _hold(folder).close()
    found = _read(folder / _NOTE)
    if found is not None:
        _refuse_if_alive(folder, found, take_over=False)
        if _has_left(found):
            problem = f"jobs of process {found.pid}, which was killed, still run"
            raise InputError(folder, problem, "`drpflow run` ends them, or wait for them to end")
    has_stale_lock(folder)


def settle(folder: Path, owner: Owner) -> Owner:
    """Forget those before `owner`, whose orphans have ended; return it without them."""
    alone = replace(owner, before=None)
    write_json(folder / _NOTE, asdict(alone))
    return alone


def note_slurm_run(folder: Path, owner: Owner, slurm_run: str) -> Owner:
    """Note the name that the jobs of `owner` bear in SLURM's queue; return the owner with it."""
    noted = replace(owner, slurm_run=slurm_run)
    write_json(folder / _NOTE, asdict(noted))
    return noted


def release(folder: Path, owner: Owner) -> None:
    """Give up a folder; those before `owner` that nobody has settled own it again.

    The note of a run that leaves jobs behind stays, so that the next one ends them.
    """
    note = folder / _NOTE
    if owner.before is not None:
        write_json(note, asdict(owner.before))
    elif not _has_left(_read(note) or owner):
        note.unlink(missing_ok=True)
    if held := _held.pop(folder.resolve(), None):
        held.close()


def has_stale_lock(folder: Path) -> bool:
    """Return whether Snakemake has left its lock in a folder; call it once orphans have ended.

    Raises
    ------
    InputError
        If the lock is that of a ``snakemake`` that lives, which drpflow has not started.
    """
    locks = folder / ".snakemake" / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return False
    _refuse_plain_snakemake(folder)
    return True


def remove_lock(folder: Path) -> None:
    """Take away the lock of a Snakemake that has ended."""
    for path in (folder / ".snakemake" / "locks").glob("*"):
        path.unlink(missing_ok=True)


def end_orphans(dead: Owner, spare: int | None = None) -> int:
    """End what a killed run has left running; return how many processes that were.

    Only processes that carry the dead run's marker are touched, and SLURM jobs of its name.
    Products appear whole or not at all, so that ending a job in the middle does no harm.

    Parameters
    ----------
    dead
        The run.
    spare
        Id of a process that is left alone.
    """
    import psutil

    for name in filter(None, (owner.slurm_run for owner in dead.line())):
        _cancel(name)
    orphans = [process for process in _orphans(dead) if process.pid != spare]
    for process in orphans:
        with suppress(psutil.Error):
            process.terminate()
    for process in _still_running(orphans):
        with suppress(psutil.Error):
            process.kill()
    _still_running(orphans)
    return len(orphans)


def _cancel(slurm_run: str) -> None:
    """Cancel the jobs of a run in SLURM's queue, and wait until they are gone.

    Snakemake within a job that is ended deletes what the job was making, which another one must
    not be making by then. Jobs on a node that does not answer are not waited for.

    Raises
    ------
    InputError
        If SLURM cannot be reached.
    """
    try:
        subprocess.run(["scancel", "--name", slurm_run], check=False)
    except FileNotFoundError:
        raise _no_slurm("scancel", "is not here", slurm_run) from None
    deadline = time.monotonic() + _GRACE_QUEUE_S
    while _is_queued(slurm_run) and time.monotonic() < deadline:
        time.sleep(_POLL_QUEUE_S)


def _is_queued(slurm_run: str) -> bool:
    """Return whether SLURM's queue holds jobs of a run.

    Raises
    ------
    InputError
        If SLURM does not say.
    """
    words = ["squeue", "--noheader", f"--name={slurm_run}", "--format=%i"]
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise _no_slurm("squeue", "is not here", slurm_run) from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise _no_slurm("squeue", f"fails ({last[0]})", slurm_run)
    return bool(done.stdout.strip())


def _no_slurm(program: str, problem: str, slurm_run: str) -> InputError:
    told = f"it {problem}; a run that was killed has sent jobs to SLURM, named {slurm_run}"
    return InputError(program, told, "Run where and when SLURM can be reached")


def _still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Give processes time to end; return those that have not.

    A process that has ended and that nobody has asked about (a zombie) has ended: in a
    container the first process may never ask.
    """
    deadline = time.monotonic() + _GRACE_S
    running = processes
    while running and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        running = [process for process in running if _runs(process)]
    return running


def _runs(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _orphans(dead: Owner) -> list[psutil.Process]:
    import psutil

    found = []
    markers = {owner.marker for owner in dead.line()}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARKER) in markers:
                found.append(process)
    return found


def _has_left(owner: Owner) -> bool:
    """Return whether jobs of a run live on, here or in a queue; true if nobody can tell."""
    try:
        return any(_is_queued(o.slurm_run) for o in owner.line() if o.slurm_run) or bool(
            _orphans(owner)
        )
    except InputError:
        return True


def _read(note: Path) -> Owner | None:
    """Return the owner that a note tells of; a note cut short by a power failure tells nothing."""
    try:
        return _owner(json.loads(note.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError):
        note.unlink()
        return None


def _owner(values: dict[str, Any]) -> Owner:
    before = values.pop("before", None)
    return Owner(**values, before=_owner(before) if before else None)


def _refuse_if_alive(folder: Path, owner: Owner, *, take_over: bool) -> None:
    if owner.host != socket.gethostname():
        if not take_over:
            raise InputError(
                folder,
                f"process {owner.pid} on {owner.host} owns this run, and only {owner.host} can "
                "tell whether it lives",
                "Run there, or add --take-over if it is dead",
            )
    elif owner.alive():
        raise InputError(
            folder,
            f"process {owner.pid} runs this workflow already",
            _WAIT,
        )


def _refuse_plain_snakemake(folder: Path) -> None:
    """Raise if a ``snakemake`` that drpflow did not start works in `folder`."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if not any(Path(word).name == "snakemake" for word in command[:3]):
                continue
            if _works_in(process, folder):
                problem = f"process {process.pid} ({' '.join(command[:4])}) works in this folder"
                raise InputError(folder, problem, _WAIT)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    """Return whether a Snakemake works in a folder; of another user's, by whose the lock is."""
    import psutil

    try:
        return Path(process.cwd()) == folder.resolve()
    except psutil.AccessDenied:
        locks = (folder / ".snakemake" / "locks").iterdir()
        return process.uids().real in {path.stat().st_uid for path in locks}
