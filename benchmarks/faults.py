"""What can go wrong on a machine while a survey runs, and how to make it happen."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psutil

from drpflow.io.datasets import DatasetTable
from drpflow.workflow.damage import ASIDE

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable


class Run(Protocol):
    """A run folder, and how commands are called in it."""

    folder: Path

    def command(self, *words: str) -> list[str]:
        """Return the command line of ``drpflow`` with these words."""

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of commands."""


_PR_CAPBSET_DROP = 24
_RIGHTS_OF_ROOT = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
VICTIMS = (
    "a job",
    "the job server",
    "the shell about a job",
    "a job and its shell",
    "snakemake",
    "drpflow",
    "drpflow and snakemake",
    "all",
)
# A kill of a job costs no new start of a run.
_JOB_WEIGHT = 2


def forget(survey: Run, tasks: Iterable[str]) -> None:
    """Take away the products and the status files of tasks, as if these had not run."""
    table = DatasetTable.load()
    root = survey.folder / "results"
    for task in tasks:
        for name, entry in table.datasets.items():
            if entry.task == task:
                shutil.rmtree(root / name, ignore_errors=True)
        shutil.rmtree(root / "status" / task, ignore_errors=True)


def without_rights() -> None:
    """Make root obey the rights of files, in what this process becomes; others do anyway."""
    libc = ctypes.CDLL(None)
    for capability in _RIGHTS_OF_ROOT:
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def with_small_files(limit: int) -> Callable[[], None]:
    """Return what makes each write beyond so many bytes fail, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def wrong_products(found: dict[str, str], right: dict[str, str]) -> list[str]:
    """Return the files that are not what they must be; those that are not there count as right.

    Whatever stands under the name of a product has been written in whole, at any moment.
    """
    return [
        name
        for name, digest in found.items()
        if right.get(name) != digest and Path(name).parts[0] != ASIDE and not is_mark(name)
    ]


def is_mark(name: str | Path) -> bool:
    """Return whether a name is that of a temporary file, or of a mark of Snakemake's."""
    last = Path(name).name
    return last == ".snakemake_timestamp" or (last.startswith(".") and last.endswith(".tmp"))


@dataclass
class Killed:
    """What a kill has hit.

    Parameters
    ----------
    victim
        One of :data:`VICTIMS`; empty if the run had ended before.
    pids
        The processes.
    left
        Processes of the run that were not hit.
    scripts
        Scripts of the jobs that ran at that moment.
    """

    victim: str = ""
    pids: tuple[int, ...] = ()
    left: list[psutil.Process] = field(default_factory=list)
    scripts: tuple[str, ...] = ()


@dataclass
class Running:
    """A run that has been started, whose words go nowhere, or into `said`."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, survey: Run, *words: str, said: Path | None = None) -> Running:
        with Path(said or os.devnull).open("w") as stream:
            return cls(
                subprocess.Popen(
                    survey.command("run", "--cores", "1", *words),
                    cwd=survey.folder,
                    env=survey.environment(),
                    stdout=stream,
                    stderr=stream,
                    text=True,
                )
            )

    @property
    def code(self) -> int | None:
        """Exit code; None as long as it runs."""
        return self.process.poll()

    def wait_for_job(self) -> None:
        """Wait until there is a job, or the run has ended."""
        while self.code is None and not any(map(_is_job, _family(self.process.pid))):
            time.sleep(0.05)

    def kill(self, rng: random.Random, wait_s: float) -> Killed:
        """Kill -9 something at random some time from now.

        The run ends by that, unless a job alone was hit: Snakemake then goes on with what does not
        depend on it.
        """
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(wait_s)
            return Killed()
        family = _family(self.process.pid)
        jobs = [p for p in family if _is_job(p)]
        weights = [(_JOB_WEIGHT if jobs else 0) if "job" in v else 1 for v in VICTIMS]
        (victim,) = rng.choices(VICTIMS, weights)
        hit = _chosen(self.process.pid, family, victim)
        scripts = tuple(map(_script, jobs))
        for pid in hit:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if "job" not in victim:
            self.process.wait()
        left = [p for p in family if p.pid not in hit and p.is_running()]
        return Killed(victim, tuple(hit), left, scripts)


def kill_at_random(survey: Run, rng: random.Random, longest_s: float) -> Killed:
    """Run, kill -9 something some time after the first job began, and wait for the run's end."""
    run = Running.start(survey)
    run.wait_for_job()
    killed = run.kill(rng, rng.uniform(0.0, longest_s))
    run.process.wait()
    return killed


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def _words(process: psutil.Process | None) -> list[str]:
    """Return the first words of a process's command line."""
    with suppress(psutil.Error):
        return process.cmdline()[:5] if process else []
    return []


def _script(process: psutil.Process) -> str:
    """Return the script that a process runs, or has the job server run; empty if that is no job."""
    names = (Path(word) for word in _words(process))
    return next((n.stem for n in names if n.suffix == ".py" and n.parent.name == "scripts"), "")


def _is_job(process: psutil.Process) -> bool:
    return bool(_script(process))


def _is_server(process: psutil.Process | None) -> bool:
    """Return whether a process is the job server, or a fork of it."""
    return "drpflow.workflow.job_server" in _words(process)


def _is_fork(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return _is_server(process) and _is_server(process.parent())
    return False


def _shell(client: psutil.Process) -> psutil.Process:
    """Return the shell about a job; the client of the job server has taken its place."""
    with suppress(psutil.Error):
        parent = client.parent()
        if parent is not None and parent.name() in {"bash", "sh"}:
            return parent
    return client


def _chosen(run: int, family: list[psutil.Process], victim: str) -> list[int]:
    snakemake = [p.pid for p in family[:1]]
    clients = [p for p in family if _is_job(p)]
    forks = [p for p in family if _is_fork(p)]
    jobs = forks or clients
    shells = [_shell(p).pid for p in clients[:1]]
    if victim == "a job":
        return [p.pid for p in jobs[:1]]
    if victim == "the job server":
        return [p.pid for p in family if _is_server(p) and not _is_fork(p)]
    if victim == "the shell about a job":
        return shells
    if victim == "a job and its shell":
        return [*shells, *(p.pid for p in jobs[:1])]
    if victim == "snakemake":
        return snakemake
    if victim == "drpflow":
        return [run]
    if victim == "drpflow and snakemake":
        return [run, *snakemake]
    return [run, *(p.pid for p in family)]
