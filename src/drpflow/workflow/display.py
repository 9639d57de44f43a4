"""How far a run has come, told to the user while it runs."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol, TextIO

from drpflow.progress import LINE_INTERVAL_S, Pace

if TYPE_CHECKING:
    from rich.progress import TaskID

# Rules that only name what is wanted.
TARGETS = frozenset({"all", "prompt", "calibration", "report"})


class Display(Protocol):
    """Shows counts of jobs by rule, and messages."""

    def planned(self, jobs: dict[str, int]) -> None:
        """Take the number of jobs to run, by rule."""

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


class Lines:
    """A line when the plan is known, one every few seconds, and one at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._jobs: dict[str, int] = {}
        self._done: Counter[str] = Counter()
        self._pace = Pace(None)
        self._shown_at = 0.0

    def planned(self, jobs: dict[str, int]) -> None:
        """Take the number of jobs to run, by rule."""
        self._jobs = {rule: n for rule, n in jobs.items() if rule not in TARGETS}
        self._pace = Pace(sum(self._jobs.values()))
        parts = ", ".join(f"{rule} {count}" for rule, count in self._jobs.items())
        if parts:
            self.say(f"{self._pace.total} jobs: {parts}")
        self._shown_at = time.monotonic()

    def finished(self, rule: str) -> None:
        """Count a job that has ended."""
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
        self.say(f"{self._pace.describe(self._done.total())}: {', '.join(parts)}")


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
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bars: dict[str, TaskID] = {}
        self._pace = Pace(None)
        self._done = 0
        self._progress.start()

    def planned(self, jobs: dict[str, int]) -> None:
        """Take the number of jobs to run, by rule."""
        counts = {rule: n for rule, n in jobs.items() if rule not in TARGETS}
        self._pace = Pace(sum(counts.values()))
        rows = {**counts, "total": sum(counts.values())} if counts else {}
        self._bars = {
            name: self._progress.add_task(name, total=count, pace="")
            for name, count in rows.items()
        }

    def finished(self, rule: str) -> None:
        """Count a job that has ended."""
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
        return self._pace.rate(self._done)
