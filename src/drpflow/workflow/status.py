"""What has become of a run: its status files against the jobs that it should have."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from drpflow.io.status_files import read_outcomes
from drpflow.workflow.task_runner import data_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drpflow.io.status_files import Outcome
    from drpflow.workflow.plan import Plan


# Tasks that run only if one of their products is asked for; the default target does not.
ON_DEMAND = (
    "measureSky",
    "makeSkyFrame",
    "modelVisitBackground",
    "finalizeCharacterization",
    "finalizeAstrometry",
    "updateVisitSummary",
)


class Cell(NamedTuple):
    """Counts of the jobs of one task for one visit."""

    expected: int
    done: int
    failed: int
    partial: int = 0

    @property
    def missing(self) -> int:
        """Jobs of which nothing is known."""
        return self.expected - self.done - self.failed - self.partial


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    Parameters
    ----------
    tasks
        Task labels, in the order of the workflow; those on demand if any of their jobs has ended.
    visits
        Visits, ascending.
    cells
        Counts by task and visit; None stands for jobs that belong to no visit.
    failed
        Jobs that failed in the declared way.
    partial
        Jobs whose products lack some components.
    """

    tasks: tuple[str, ...]
    visits: tuple[int, ...]
    cells: dict[tuple[str, int | None], Cell]
    failed: tuple[Outcome, ...]
    partial: tuple[Outcome, ...] = ()

    def total(self, task: str) -> Cell:
        """Return the counts of a task over all visits."""
        cells = [cell for (name, _), cell in self.cells.items() if name == task]
        return Cell(
            sum(cell.expected for cell in cells),
            sum(cell.done for cell in cells),
            sum(cell.failed for cell in cells),
            sum(cell.partial for cell in cells),
        )

    def complete(self, visit: int) -> bool:
        """Return whether every job of a visit is done, with all components."""
        cells = (self.cells.get((task, visit)) for task in self.tasks)
        return all(cell is None or cell.done == cell.expected for cell in cells)


def read_status(plan: Plan) -> RunStatus:
    """Return the state of a run.

    Jobs are counted that the run as it stands asks for: what was processed before a visit was
    taken out of the sheet does not count.
    """
    cells: dict[tuple[str, int | None], Cell] = {}
    lost: list[Outcome] = []
    tasks: list[str] = []
    for task in plan.tasks:
        wanted = expected_jobs(plan, task)
        outcomes = [o for o in read_outcomes(plan.root, task) if str(o.path) in wanted]
        if task in ON_DEMAND and not outcomes:
            continue
        tasks.append(task)
        expected = Counter(_visit(data_id_of(path)) for path in wanted)
        ends: dict[int | None, Counter[str]] = defaultdict(Counter)
        for outcome in outcomes:
            ends[_visit(outcome.data_id)][outcome.outcome] += 1
        for visit, count in expected.items():
            end = ends[visit]
            cells[task, visit] = Cell(count, end["done"], end["failed"], end["partial"])
        lost += [outcome for outcome in outcomes if outcome.failed or outcome.partial]
    visits = sorted(int(visit) for visit in plan.survey.visits)
    failed = tuple(outcome for outcome in lost if outcome.failed)
    partial = tuple(outcome for outcome in lost if outcome.partial)
    return RunStatus(tuple(tasks), tuple(visits), cells, failed, partial)


def expected_jobs(plan: Plan, task: str) -> set[str]:
    """Return the status files that a complete run has for a task."""
    return set(plan.expand(plan.job_file("status", task, ".json")))


def _visit(data_id: Mapping[str, Any]) -> int | None:
    visit = data_id.get("visit")
    return None if visit is None else int(visit)
