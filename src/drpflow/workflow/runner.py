"""Runs Snakemake for ``drpflow run``: recovers, watches, and tells what went wrong."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drpflow import paths
from drpflow.errors import InputError, machine_fault
from drpflow.workflow import owner as ownership
from drpflow.workflow.display import make_display
from drpflow.workflow.snakemake_log import Failed, Finished, Parser, Planned, Started, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drpflow.workflow.display import Display
    from drpflow.workflow.snakemake_log import Event

DEFAULT_CONFIG: Final = Path("config/config.yaml")
_KEPT_LINES: Final = 40
_LOG_LINES: Final = 8
_STOP_S: Final = 10.0
# With less, a job may not even say that the disk is full.
_LEAST_FREE_BYTES: Final = 1 << 20
_SLURM_RUN: Final = "SLURM run ID: "
_UP_TO_DATE: Final = "Nothing to be done"
_KILLED: Final = "snakemake was ended by {}, and its jobs with it; the same command goes on"


@dataclass(frozen=True)
class Request:
    """What to run.

    Parameters
    ----------
    config
        Config file.
    cores
        Number of cores; None where the profile says how many jobs run at a time.
    targets
        Rules or files that are wanted; all by default.
    profile
        Name of a profile of drpflow's.
    extra
        Further arguments for Snakemake.
    take_over
        Believe that an owner on another machine is dead.
    verbose
        Show all that Snakemake says.
    """

    config: Path = DEFAULT_CONFIG
    cores: int | None = 1
    targets: tuple[str, ...] = ()
    profile: str = "default"
    extra: tuple[str, ...] = ()
    take_over: bool = False
    verbose: bool = False

    def command(self) -> list[str]:
        """Return the equivalent ``snakemake`` command; what Snakemake finds by itself is left out.

        Targets come first, since some of Snakemake's options take all words that follow.
        """
        words = ["snakemake", *self.targets]
        if self.cores is not None:
            words += ["--cores", str(self.cores)]
        if paths.snakefile() != Path.cwd() / "Snakefile":
            words += ["--snakefile", str(paths.snakefile())]
        if self.config != DEFAULT_CONFIG:
            words += ["--configfile", str(self.config)]
        if self.profile != "default":
            words += ["--workflow-profile", str(paths.profile(self.profile))]
        return [*words, *self.extra]


@dataclass
class Result:
    """How a run ended.

    Parameters
    ----------
    code
        Snakemake's exit code.
    failed
        Jobs that ended with an error (a defect, not a declared failure).
    lines
        The last lines that were no report of a job.
    up_to_date
        Whether there was nothing to do.
    """

    code: int = 0
    failed: list[Failed] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    up_to_date: bool = False


def run_snakemake(request: Request, prepare: Callable[[], Iterable[str]] = tuple) -> Result:
    """Run the workflow in the current folder to its end, after clearing what a killed run left.

    Parameters
    ----------
    request
        What to run.
    prepare
        Called before Snakemake starts, when no other process works in the folder; returns what
        to tell.

    Raises
    ------
    InputError
        If another run, or a ``snakemake`` by itself, is alive in the same folder.
    """
    folder = Path.cwd()
    owner, dead = ownership.claim(folder, take_over=request.take_over)
    display = make_display()
    try:
        display.say("$ " + shlex.join(request.command()))
        _recover(request, owner, dead, display)
        owner = ownership.settle(folder, owner)
        for message in prepare():
            display.say(message)
        return _Watch(request, owner, display).run()
    finally:
        display.close()
        ownership.release(folder, owner)


def last_lines(log: Path, count: int = _LOG_LINES) -> list[str]:
    """Return the last lines of a log file; none where it cannot be read."""
    try:
        return log.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def full_disk(folder: Path) -> list[str]:
    """Return a sentence on the disk of a folder if it has no room left for a log; else nothing."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return []
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    return [machine_fault(error)] if free < _LEAST_FREE_BYTES else []


def _recover(
    request: Request, owner: ownership.Owner, dead: ownership.Owner | None, display: Display
) -> None:
    """End the orphans of a killed run and take away Snakemake's lock."""
    if dead is not None:
        count = ownership.end_orphans(dead)
        display.say(f"process {dead.pid} was killed in this folder; ended {count} of its jobs")
    if ownership.has_stale_lock(Path.cwd()):
        unlock = [*_python_command(request), "--unlock", "--quiet", "all"]
        environment = _environment(owner)
        done = subprocess.run(unlock, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            problem = f"snakemake cannot remove its lock ({last[0]})"
            raise InputError(Path.cwd(), problem, "Run snakemake --unlock and see what it says")


def _python_command(request: Request) -> list[str]:
    """Return the command with the Snakemake of this very Python."""
    return [sys.executable, "-m", *request.command()]


def _environment(owner: ownership.Owner) -> dict[str, str]:
    """Return the variables of all that a run starts, by which it is known as that run's."""
    return os.environ | {ownership.MARKER: owner.marker}


class _Watch:
    """Follows one Snakemake process."""

    def __init__(self, request: Request, owner: ownership.Owner, display: Display) -> None:
        self._request = request
        self._owner = owner
        self._display = display
        self._result = Result()

    def run(self) -> Result:
        """Run Snakemake to its end and return what came of it."""
        parser = Parser()
        with subprocess.Popen(
            _python_command(self._request),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(self._owner),
        ) as process:
            previous = signal.signal(signal.SIGTERM, _interrupt)
            watcher = threading.Thread(target=self._end_jobs_with, args=(process,), daemon=True)
            watcher.start()
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    self._show(line)
                    for event in parser.feed(line):
                        self._take(event)
            except KeyboardInterrupt:
                self._stop(process)
                raise
            finally:
                signal.signal(signal.SIGTERM, previous)
        watcher.join()
        for event in parser.close():
            self._take(event)
        self._result.code = process.returncode
        if process.returncode < 0:
            self._result.lines.append(_KILLED.format(signal.Signals(-process.returncode).name))
        return self._result

    def _end_jobs_with(self, process: subprocess.Popen[str]) -> None:
        """Wait for Snakemake; end the jobs of one that was killed, which hold its output open.

        So, too, a job that lives on after the shell that Snakemake waited for was killed.
        """
        if process.wait() != 0:
            ownership.end_orphans(self._owner)

    def _show(self, line: str) -> None:
        if self._request.verbose:
            self._display.say(line.rstrip("\n"))

    def _take(self, event: Event) -> None:
        match event:
            case Planned(jobs):
                self._display.planned(jobs)
            case Started(rule):
                self._display.started(rule)
            case Finished(rule):
                self._display.finished(rule)
            case Failed():
                self._result.failed.append(event)
                self._tell_failure(event)
            case Text(line) if line.strip():
                self._take_text(line)

    def _take_text(self, line: str) -> None:
        self._result.lines.append(line)
        if line.startswith(_SLURM_RUN):
            name = line.removeprefix(_SLURM_RUN).strip()
            self._owner = ownership.note_slurm_run(Path.cwd(), self._owner, name)
        elif line.startswith(_UP_TO_DATE):
            self._result.up_to_date = True

    def _tell_failure(self, event: Failed) -> None:
        self._display.say(f"{event.rule} {event.wildcards} ended with an error; log: {event.log}")
        log = Path(event.log)
        for line in last_lines(log) or full_disk(log.parent):
            self._display.say(f"  | {line}")

    def _stop(self, process: subprocess.Popen[str]) -> None:
        """End Snakemake and its jobs.

        By SIGINT, which lets it remove its lock. Its handler of SIGTERM takes a lock that the
        interrupted code may hold, and then waits for ever.
        """
        self._display.say("stopping")
        process.send_signal(signal.SIGINT)
        ownership.end_orphans(self._owner, spare=process.pid)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # An interrupt that hits Snakemake on its way out leaves the lock.
        ownership.remove_lock(Path.cwd())


def _interrupt(signum: int, frame: object) -> None:  # noqa: ARG001
    raise KeyboardInterrupt
