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
VICTIMS = ("a job", "a job and its shell", "snakemake", "drpflow", "drpflow and snakemake", "all")


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
    """What a kill has hit."""

    victim: str
    pids: tuple[int, ...] = ()
    left: list[psutil.Process] = field(default_factory=list)
    ended: bool = False


def start(survey: Run, *words: str) -> subprocess.Popen[str]:
    """Start a run whose words go nowhere."""
    return subprocess.Popen(
        survey.command("run", "--cores", "1", *words),
        cwd=survey.folder,
        env=survey.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def kill_at_random(survey: Run, rng: random.Random, longest_s: float) -> Killed:
    """Run, and kill -9 something at some moment; return when the run has ended.

    Parameters
    ----------
    survey
        The survey.
    rng
        Chooses what is killed, and when.
    longest_s
        Latest moment, counted from the first job.
    """
    victim, wait_s = rng.choice(VICTIMS), rng.uniform(0.0, longest_s)
    process = start(survey)
    _wait_for_job(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(wait_s)
        return Killed(victim, ended=True)
    family = _wait_for_family(process, victim)
    hit = _chosen(process.pid, family, victim)
    for pid in hit:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    left = [p for p in family if p.pid not in hit and p.is_running()]
    return Killed(victim, tuple(hit), left)


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def _is_job(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(word.endswith(".py") and "scripts/" in word for word in process.cmdline()[:2])
    return False


def _wait_for_job(process: subprocess.Popen[str]) -> None:
    while process.poll() is None and not any(map(_is_job, _family(process.pid))):
        time.sleep(0.05)


def _wait_for_family(process: subprocess.Popen[str], victim: str) -> list[psutil.Process]:
    """Return all processes of a run, with a job among them where that is the victim."""
    while True:
        family = _family(process.pid)
        if process.poll() is not None or "job" not in victim or any(map(_is_job, family)):
            return family
        time.sleep(0.02)


def _chosen(run: int, family: list[psutil.Process], victim: str) -> list[int]:
    snakemake = [p.pid for p in family[:1]]
    jobs = [p for p in family if _is_job(p)]
    if victim == "a job":
        return [p.pid for p in jobs[:1]]
    if victim == "a job and its shell":
        return [*(p.ppid() for p in jobs[:1] if p.is_running()), *(p.pid for p in jobs[:1])]
    if victim == "snakemake":
        return snakemake
    if victim == "drpflow":
        return [run]
    if victim == "drpflow and snakemake":
        return [run, *snakemake]
    return [run, *(p.pid for p in family)]
