"""What Snakemake says while it runs, turned into events.

The text is that of Snakemake 9.27, to which drpflow is pinned; a test runs a small workflow
and compares.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from drpflow.errors import machine_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STATS_ROW: Final = re.compile(r"^(\w+)\s+(\d+)$")
_START: Final = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):$")
_FIELD: Final = re.compile(r"^ {4}(\w+): (.*)$")
_FINISHED: Final = re.compile(r"^Finished jobid: (\d+) \(Rule: (\w+)\)$")
_ERROR: Final = re.compile(r"^Error in rule (\w+)(?:, jobid: \d+)?:$")
_FAULT: Final = re.compile(r"\[Errno (\d+)\] [^'\"]*(?:['\"]([^'\"]*)['\"])?")


@dataclass(frozen=True)
class Planned:
    """The number of jobs to run, by rule; targets such as ``all`` are rules too."""

    jobs: dict[str, int]


@dataclass(frozen=True)
class Started:
    """A job has begun."""

    rule: str


@dataclass(frozen=True)
class Finished:
    """A job has ended well (its task may have failed in the declared way)."""

    rule: str


@dataclass(frozen=True)
class Failed:
    """A job has ended with an error."""

    rule: str
    log: str
    wildcards: str


@dataclass(frozen=True)
class Text:
    """Any other line."""

    line: str


Event = Planned | Started | Finished | Failed | Text


@dataclass
class Parser:
    """Turns lines into events, one line at a time.

    A block of Snakemake's (the table of jobs, an error) becomes an event as soon as the line
    after it has been seen; :meth:`close` gives what is left.
    """

    _block: str = ""
    _rule: str = ""
    _jobs: dict[str, int] = field(default_factory=dict)
    _fields: dict[str, str] = field(default_factory=dict)
    _wildcards: dict[str, str] = field(default_factory=dict)

    def feed(self, line: str) -> Iterator[Event]:
        """Yield the events that a line completes."""
        line = line.rstrip("\n")
        if self._block and self._continue(line):
            return
        yield from self.close()
        if line == "Job stats:":
            self._block, self._jobs = "stats", {}
        elif match := _START.match(line):
            self._block, self._rule, self._fields = "start", match[1], {}
            yield Started(match[1])
        elif match := _ERROR.match(line):
            self._block, self._rule, self._fields = "error", match[1], {}
        elif match := _FINISHED.match(line):
            yield Finished(match[2])
        else:
            yield Text(line)

    def close(self) -> Iterator[Event]:
        """Yield the event of the block that is open, and close it."""
        block, self._block = self._block, ""
        if block == "stats":
            self._jobs.pop("total", None)
            yield Planned(self._jobs)
        elif block == "start" and "jobid" in self._fields:
            self._wildcards[self._fields["jobid"]] = self._fields.get("wildcards", "")
        elif block == "error":
            log = self._fields.get("log", "").partition(" (check log")[0]
            wildcards = self._wildcards.get(self._fields.get("jobid", ""), "")
            yield Failed(self._rule, log, wildcards)

    def _continue(self, line: str) -> bool:
        """Take a line into the open block; return whether it belongs there."""
        if self._block == "stats":
            if match := _STATS_ROW.match(line):
                self._jobs[match[1]] = int(match[2])
            return bool(line)
        if match := _FIELD.match(line):
            self._fields[match[1]] = match[2]
        return line.startswith("    ")


def find_machine_fault(lines: Iterable[str]) -> str:
    """Return a sentence on the last fault of the machine that Snakemake has told; empty if none.

    Parameters
    ----------
    lines
        Lines of its text.
    """
    faults = [""]
    for line in lines:
        for match in _FAULT.finditer(line):
            number = int(match[1])
            fault = machine_fault(OSError(number, os.strerror(number), match[2]))
            faults += [fault] if fault else []
    return faults[-1]
