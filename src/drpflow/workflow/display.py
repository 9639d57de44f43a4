"""How far a run has come, told to the user while it runs."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol, TextIO

from drpflow.progress import LINE_INTERVAL_S, Pace, duration

if TYPE_CHECKING:
    from rich.progress import TaskID

# Rules that only name what is wanted.
TARGETS = frozenset({"all", "prompt", "calibration", "coadds", "final", "rebuilt", "report"})


class Display(Protocol):
    """Shows counts of jobs by rule, and messages."""

    def planned(self, jobs: dict[str, int]) -> None:
        """Take the number of jobs to run, by rule."""

    def started(self, rule: str) -> None:
        """Note that a job has begun."""

    def finished(self, rule: str) -> None:
        """Count a job that has ended."""

    def say(self, message: str) -> None:
        """Show a message."""

    def close(self) -> None:
        """Show the last state."""


def make_display(stream: TextIO | None = None) -> Display:
    """Return bars for a terminal, and lines for anything else."""
    stream = stream or sys.stderr
    return Bars() if stream is sys.stderr and stream.isatty() else Lines(stream)


class Forecast:
    """How long the jobs to come will take.

    Parameters
    ----------
    jobs
        Number of jobs to run, by rule.

    Notes
    -----
    A job to come takes as long as those of its rule have so far, those under way counted in; where
    none has ended, as long as the mean of all. As many run at a time as have so far.
    """

    def __init__(self, jobs: dict[str, int]) -> None:
        self._left = Counter(jobs)
        self._done: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._busy_s: dict[str, float] = dict.fromkeys(jobs, 0.0)
        self._began_s = self._told_s = time.monotonic()

    def started(self, rule: str) -> None:
        """Note that a job has begun."""
        self._advance()
        self._running[rule] += 1

    def finished(self, rule: str) -> None:
        """Note that a job has ended."""
        self._advance()
        if rule in self._left:
            self._running[rule] -= self._running[rule] > 0
            self._left[rule] -= 1
            self._done[rule] += 1

    def left_s(self) -> float | None:
        """Return the seconds that are left, None before the first job has ended."""
        self._advance()
        busy_s, elapsed_s = sum(self._busy_s.values()), self._told_s - self._began_s
        if not self._done or not busy_s or not elapsed_s:
            return None
        mean_s = sum(self._busy_s[rule] for rule in self._done) / self._done.total()
        work_s = 0.0
        for rule, count in self._left.items():
            done = self._done[rule]
            work_s += count * (self._busy_s[rule] / done if done else mean_s)
        return work_s * elapsed_s / busy_s

    def _advance(self) -> None:
        """Charge the time since the last event to the rules that run."""
        now = time.monotonic()
        for rule, count in self._running.items():
            if rule in self._busy_s:
                self._busy_s[rule] += count * (now - self._told_s)
        self._told_s = now


class Lines:
    """A line when the plan is known, one every few seconds, and one at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._jobs: dict[str, int] = {}
        self._done: Counter[str] = Counter()
        self._pace = Pace(None)
        self._forecast = Forecast({})
        self._shown_at = 0.0

    def planned(self, jobs: dict[str, int]) -> None:
        """Take the number of jobs to run, by rule."""
        self._jobs = {rule: n for rule, n in jobs.items() if rule not in TARGETS}
        self._pace = Pace(sum(self._jobs.values()))
        self._forecast = Forecast(self._jobs)
        parts = ", ".join(f"{rule} {count}" for rule, count in self._jobs.items())
        if parts:
            self.say(f"{self._pace.total} jobs: {parts}")
        self._shown_at = time.monotonic()

    def started(self, rule: str) -> None:
        """Note that a job has begun."""
        self._forecast.started(rule)

    def finished(self, rule: str) -> None:
        """Count a job that has ended."""
        self._forecast.finished(rule)
        self._done[rule] += rule in self._jobs
        if time.monotonic() - self._shown_at >= LINE_INTERVAL_S:
            self._show()

    def say(self, message: str) -> None:
        """Show a message."""
        print(message, file=self._stream, flush=True)

    def close(self) -> None:
        """Show the last state."""
        if self._jobs:
            self._show()

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        parts = [f"{rule} {self._done[rule]}/{count}" for rule, count in self._jobs.items()]
        done = self._done.total()
        told = [f"{done}/{self._pace.total}", *([self._pace.rate(done)] if done else [])]
        told += [_left(self._forecast)] if self._pace.total != done else []
        self.say(f"{', '.join(filter(None, told))}: {', '.join(parts)}")


def _left(forecast: Forecast) -> str:
    """Return e.g. ``2 h 05 min left``; nothing where it is not known."""
    seconds = forecast.left_s()
    return "" if seconds is None else f"{duration(seconds)} left"


class Bars:
    """A bar per rule and one for all, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._bars: dict[str, TaskID] = {}
        self._pace = Pace(None)
        self._forecast = Forecast({})
        self._done = 0
        self._progress.start()

    def planned(self, jobs: dict[str, int]) -> None:
        """Take the number of jobs to run, by rule."""
        counts = {rule: n for rule, n in jobs.items() if rule not in TARGETS}
        self._pace = Pace(sum(counts.values()))
        self._forecast = Forecast(counts)
        rows = {**counts, "total": sum(counts.values())} if counts else {}
        self._bars = {
            name: self._progress.add_task(name, total=count, pace="")
            for name, count in rows.items()
        }

    def started(self, rule: str) -> None:
        """Note that a job has begun."""
        self._forecast.started(rule)

    def finished(self, rule: str) -> None:
        """Count a job that has ended."""
        self._forecast.finished(rule)
        if rule not in self._bars:
            return
        self._done += 1
        self._progress.advance(self._bars[rule])
        self._progress.update(self._bars["total"], advance=1, pace=self._rate())

    def say(self, message: str) -> None:
        """Show a message."""
        self._progress.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        """Show the last state."""
        self._progress.stop()

    def _rate(self) -> str:
        return ", ".join(filter(None, (self._pace.rate(self._done), _left(self._forecast))))
