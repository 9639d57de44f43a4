"""Runs of a whole survey, from raw frames, that are killed again and again until they end."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from fault_folder import found, tell
from faults import Running

if TYPE_CHECKING:
    from fault_folder import Trials

# This share of runs is killed before the first job.
_EARLY = 0.2
LAST = "the same command after the last kill"
HIT = "hit"


def kill_runs(
    trials: Trials, number: int, mean_s: float, halves: int, *, go_on: bool = False
) -> Counter[str]:
    """Run from raw frames, and kill, until there were so many kills and a run came to its end.

    Parameters
    ----------
    trials
        Where the counts go.
    number
        Kills, at least.
    mean_s
        Mean time between a kill and the one before it, or the first job; exponential, so that
        each moment is as likely as any other, of long jobs too.
    halves
        So many states of a first run that was killed are kept (:func:`half_ways`).
    go_on
        Begin with the run that an earlier call has left.

    Returns
    -------
    Counter
        How often each script ran when something was killed.
    """
    hit: Counter[str] = Counter()
    while hit[HIT] < number:
        if not go_on:
            trials.renew()
            for name in ("results", ".snakemake"):
                shutil.rmtree(trials.work.folder / name)
        go_on = False
        while not _run_and_kill(trials, mean_s, hit):
            _keep_half_way(trials, halves)
    return hit


def _run_and_kill(trials: Trials, mean_s: float, hit: Counter[str]) -> bool:
    """Run until the run ends, by itself or by a kill; return whether it came to its end."""
    said = trials.work.folder / "said.txt"
    run, harmed = Running.start(trials.work, said=said), False
    if trials.rng.random() < _EARLY:
        wait_s = trials.rng.uniform(0.0, trials.start_s)
    else:
        begun = time.monotonic()
        run.wait_for_job()
        trials.start_s = time.monotonic() - begun
        wait_s = trials.rng.expovariate(1 / mean_s)
    while True:
        killed = run.kill(trials.rng, wait_s)
        if not killed.victim:
            break
        hit.update([HIT, *killed.scripts])
        row = trials.rows[f"kill -9 of {killed.victim}"]
        row.trials += 1
        harmed = True
        trials.compare(row, complete=False)
        tell(f"{hit[HIT]} {killed.victim} {killed.scripts} {row}")
        wait_s = trials.rng.expovariate(1 / mean_s)
    row = trials.rows[LAST]
    row.message = row.message or found(said.read_text(), r"process \d+ was killed in this folder.*")
    if harmed:
        return False
    row.trials += 1
    row.failed += run.code != 0
    if run.code:
        tell(said.read_text()[-3000:])
    trials.compare(row)
    tell(f"{LAST}: {row}")
    return True


def half_ways(trials: Trials) -> list[Path]:
    """Return copies of what runs that were killed had left, the earliest first."""
    return sorted(trials.work.folder.parent.glob(f"{trials.reference.folder.name}.half.*"))


def _keep_half_way(trials: Trials, wanted: int) -> None:
    """Keep the state of the run folder, if a run has come far enough since the last."""
    kept = half_ways(trials)
    total = sum(name.startswith("status/") for name in trials.right)
    done = sum(name.parts[0] == "status" for name in trials.work.names())
    if len(kept) < wanted and done / total > (len(kept) + 0.5) / wanted and not _at_work(trials):
        name = f"{trials.reference.folder.name}.half.{len(kept)}"
        shutil.copytree(trials.work.folder, trials.work.folder.with_name(name))
        tell(f"{name}: {done} of {total} jobs done")


def _at_work(trials: Trials) -> bool:
    """Return whether a process lives on in the run folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()) == trials.work.folder:
                return True
    return False
