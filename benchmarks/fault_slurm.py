"""A node of SLURM that vanishes while jobs run on it, and one on which drpflow itself is killed.

The SLURM is that of the tests: one node, on this machine, started and ended here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from fault_folder import Folder, tell
from fault_runs import half_ways
from faults import Running

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.cluster.one_node_slurm import NoSlurmError, OneNodeSlurm

if TYPE_CHECKING:
    from fault_folder import Row, Trials

# No accounting database; and a cluster of one machine answers at once.
ENGINE = ("--profile", "slurm", "--", "--slurm-no-account")
ENGINE += ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2")
ENGINE += ("--latency-wait", "10")
_START_S, _END_S, _AWAY_S = 300.0, 1500.0, 20.0


class FolderOnSlurm(Folder):
    """A run folder whose runs send their jobs to SLURM."""

    commands: dict[str, str]

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**self.commands, **more)


def vanished_nodes(trials: Trials, number: int) -> None:
    """Lose the node in the middle of jobs, and get it back; and so with the head node."""
    for i in range(2 * number):
        half = half_ways(trials)[-1:]
        trials.renew(*half)
        work = FolderOnSlurm(trials.work.folder, trials.work.small)
        with tempfile.TemporaryDirectory(prefix="slurm-") as name:
            try:
                with OneNodeSlurm(Path(name)) as slurm:
                    work.commands = slurm.environment
                    kind = "head node of SLURM killed" if i % 2 else "node of SLURM vanished"
                    with trials.trial(kind) as row:
                        (_lose_head if i % 2 else _lose_node)(trials, work, slurm, row)
            except NoSlurmError as reason:
                tell(str(reason))
                return


def _begin(trials: Trials, work: Folder, slurm: OneNodeSlurm) -> Running:
    """Start a run, and wait until some time after its first job began."""
    run = Running.start(work, *ENGINE, said=work.folder / "said.txt")
    end = time.monotonic() + _START_S
    while run.code is None and time.monotonic() < end and not _jobs(slurm):
        time.sleep(0.2)
    time.sleep(trials.rng.uniform(0.0, 10.0))
    tell(f"running: {slurm.call('squeue', '--noheader', '--format=%i %T')}, {len(_jobs(slurm))}")
    return run


def _lose_node(trials: Trials, work: Folder, slurm: OneNodeSlurm, row: Row) -> None:
    run = _begin(trials, work, slurm)
    slurm.lose_node()
    for process in _jobs(slurm):
        with suppress(psutil.Error):
            process.kill()
    trials.compare(row, complete=False)
    time.sleep(_AWAY_S)
    slurm.bring_back_node()
    try:
        run.process.wait(_END_S)
    except subprocess.TimeoutExpired:
        row.failed += 1
        run.process.send_signal(signal.SIGTERM)
        run.process.wait()
    row.message = f"run ended with exit code {run.code}"
    tell((work.folder / "said.txt").read_text()[-1500:])
    trials.complete(row, *ENGINE, work=work)


def _lose_head(trials: Trials, work: Folder, slurm: OneNodeSlurm, row: Row) -> None:
    run = _begin(trials, work, slurm)
    if run.code is not None:
        tell("the run had ended before it was killed")
    with suppress(psutil.NoSuchProcess):
        head = psutil.Process(run.process.pid)
        for process in (head, *head.children(recursive=True)):
            with suppress(psutil.Error):
                process.kill()
    run.process.wait()
    trials.compare(row, complete=False)
    text = trials.complete(row, *ENGINE, work=work)
    row.message = next((s for s in text.splitlines() if "was killed in this folder" in s), "")


def _jobs(slurm: OneNodeSlurm) -> list[psutil.Process]:
    """Return the processes of jobs of a SLURM, with the daemons that watch over them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            values = process.environ()
            of_node = process.name().startswith("slurmstepd") or "SLURM_JOB_ID" in values
            if of_node and str(slurm.folder) in " ".join(values.values()):
                found.append(process)
    return [process for process in found if process.pid != os.getpid()]
