"""What has become of every job: read from the status files, without Snakemake.

A status file tells ``done`` or ``failed`` (see :mod:`drpflow.workflow.task_runner`). A job
without one has not ended, or ended with a defect, which its log then tells.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from drpflow.workflow.task_runner import data_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drpflow.workflow.plan import Plan


@dataclass(frozen=True)
class Outcome:
    """The end of one job.

    Parameters
    ----------
    task
        Task label.
    data_id
        Dimension values, in the order of the path.
    outcome
        ``"done"``, ``"failed"`` or ``"missing"``.
    reason, hint
        Why it failed, and what may help.
    numbers
        Figures that the task gave.
    log
        Its log file.
    """

    task: str
    data_id: dict[str, int | str]
    outcome: str
    reason: str = ""
    hint: str = ""
    numbers: dict[str, Any] | None = None
    log: Path | None = None

    @property
    def where(self) -> str:
        """The data ID as text, e.g. ``visit=12, detector=3``."""
        return ", ".join(f"{key}={value}" for key, value in self.data_id.items())


class Cell(NamedTuple):
    """Counts of the jobs of one task for one visit."""

    expected: int
    done: int
    failed: int

    @property
    def missing(self) -> int:
        """Jobs of which nothing is known."""
        return self.expected - self.done - self.failed


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    Parameters
    ----------
    tasks
        Task labels, in the order of the workflow.
    visits
        Visits, ascending. Jobs that belong to no visit are counted under ``None``.
    cells
        Counts by task and visit.
    failed
        Jobs that failed in the declared way.
    """

    tasks: tuple[str, ...]
    visits: tuple[int, ...]
    cells: dict[tuple[str, int | None], Cell]
    failed: tuple[Outcome, ...]

    def total(self, task: str) -> Cell:
        """Return the counts of a task over all visits."""
        cells = [cell for (name, _), cell in self.cells.items() if name == task]
        return (
            Cell(*(sum(column) for column in zip(*cells, strict=True))) if cells else Cell(0, 0, 0)
        )

    def complete(self, visit: int) -> bool:
        """Return whether every job of a visit is done."""
        cells = (self.cells.get((task, visit)) for task in self.tasks)
        return all(cell is None or cell.done == cell.expected for cell in cells)


def read_status(plan: Plan) -> RunStatus:
    """Return the state of a run.

    Parameters
    ----------
    plan
        The run.

    Returns
    -------
    RunStatus
        Counting only jobs that the run as it stands asks for: what was processed before a
        visit was taken out of the sheet does not count.
    """
    cells: dict[tuple[str, int | None], Cell] = {}
    failed: list[Outcome] = []
    for task in plan.tasks:
        wanted = expected_jobs(plan, task)
        outcomes = {path: o for path, o in read_outcomes(plan, task) if path in wanted}
        expected = Counter(_visit(data_id_of(path)) for path in wanted)
        ends: dict[Any, Counter[str]] = defaultdict(Counter)
        for outcome in outcomes.values():
            ends[_visit(outcome.data_id)][outcome.outcome] += 1
        for visit, count in expected.items():
            cells[task, visit] = Cell(count, ends[visit]["done"], ends[visit]["failed"])
        failed += [o for o in outcomes.values() if o.outcome == "failed"]
    visits = sorted(int(visit) for visit in plan.survey.visits)
    return RunStatus(plan.tasks, tuple(visits), cells, tuple(failed))


def expected_jobs(plan: Plan, task: str) -> set[str]:
    """Return the status files that a complete run has for a task."""
    pattern = str(plan.run.output / plan.table.status_template(task))
    return set(plan.survey.expand(pattern))


def read_outcomes(plan: Plan, task: str) -> Iterator[tuple[str, Outcome]]:
    """Yield each status file of a task that exists, with what it says."""
    logs = Path(plan.job_file("logs", task, ".log"))
    for path in _json_files(os.path.join(plan.root, "status", task)):  # noqa: PTH118 - 10,000 times
        with open(path, "rb") as stream:  # noqa: PTH123 - and so is this
            values = json.loads(stream.read())
        log = Path(str(logs).format_map(values["data_id"]))
        yield (
            path,
            Outcome(
                values["task"],
                values["data_id"],
                values["outcome"],
                values["reason"],
                values["hint"],
                values["numbers"],
                log,
            ),
        )


def summarize_failures(failed: Iterable[Outcome]) -> list[tuple[str, str, list[Outcome]]]:
    """Group failures by task and reason, the most frequent first.

    Figures inside a reason do not tell two apart, so that a hundred detectors with too few
    stars are one group.
    """
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in failed:
        groups[outcome.task, _without_figures(outcome.reason)].append(outcome)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(task, members[0].reason, members) for (task, _), members in ordered]


def _without_figures(reason: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", reason)


def _visit(data_id: dict[str, int | str]) -> int | None:
    visit = data_id.get("visit")
    return int(visit) if visit is not None else None


def _json_files(folder: str) -> Iterator[str]:
    """Yield the paths of all JSON files below a folder, in order."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _json_files(entry.path)
        elif entry.name.endswith(".json") and not entry.name.startswith("."):
            yield entry.path
