"""What has become of a run: its status files against the jobs that it should have."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from drpflow.io.sheets import read_rejected
from drpflow.io.status_files import read_outcomes
from drpflow.workflow.task_runner import data_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from drpflow.io.sheets import RejectedRow
    from drpflow.io.status_files import Outcome
    from drpflow.workflow.plan import Plan


# The first task that knows where visits really are.
_POINTING = "consolidateVisit"


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

    @property
    def complete(self) -> bool:
        """Whether all jobs are done, with all components."""
        return self.done == self.expected


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    Parameters
    ----------
    tasks
        Task labels, in the order of the workflow; of those that run on demand, the ones that did.
    visits
        Visits, ascending.
    cells
        Counts by task and visit; None stands for jobs that belong to no visit.
    failed
        Jobs that failed in the declared way.
    partial
        Jobs whose products lack some components.
    rejected
        Files that ingest did not take, of which there are no jobs.
    strayed_arcsec
        Visits that coadds may miss a part of, and how far each is from its place in the visit
        sheet: farther than `allowed_arcsec`.
    allowed_arcsec
        How far from there coadds are laid out for.
    """

    tasks: tuple[str, ...]
    visits: tuple[int, ...]
    cells: dict[tuple[str, int | None], Cell]
    failed: tuple[Outcome, ...]
    partial: tuple[Outcome, ...] = ()
    rejected: tuple[RejectedRow, ...] = ()
    strayed_arcsec: Mapping[int, float] = field(default_factory=dict)
    allowed_arcsec: float = 0.0

    def total(self, task: str) -> Cell:
        """Return the counts of a task over all visits."""
        return _sum(cell for (name, _), cell in self.cells.items() if name == task)

    def of_visit(self, visit: int) -> dict[str, Cell]:
        """Return the counts of a visit by task, in the order of the workflow."""
        cells = ((task, self.cells.get((task, visit))) for task in self.tasks)
        return {task: cell for task, cell in cells if cell is not None}

    def total_of(self, visit: int) -> Cell:
        """Return the counts of a visit over all tasks."""
        return _sum(self.of_visit(visit).values())

    def complete(self, visit: int) -> bool:
        """Return whether every job of a visit is done, with all components."""
        return self.total_of(visit).complete

    @property
    def finished(self) -> bool:
        """Whether every job is done, with all components."""
        return all(cell.complete for cell in self.cells.values())


def _sum(cells: Iterable[Cell]) -> Cell:
    counts = [tuple(cell) for cell in cells]
    return Cell(*map(sum, zip(*counts, strict=True))) if counts else Cell(0, 0, 0)


def read_status(plan: Plan) -> RunStatus:
    """Return the state of a run.

    Jobs are counted that the run as it stands asks for: what was processed before a visit was
    taken out of the sheet does not count.
    """
    cells: dict[tuple[str, int | None], Cell] = {}
    lost: list[Outcome] = []
    allowed_arcsec = 3600 * plan.pointing_margin_deg
    strayed: dict[int, float] = {}
    for task in plan.tasks:
        wanted = expected_jobs(plan, task)
        outcomes = [o for o in read_outcomes(plan.root, task) if str(o.path) in wanted]
        if plan.table.tasks[task].on_demand:
            wanted = {str(o.path) for o in outcomes}
        expected = Counter(_visit(data_id_of(path)) for path in wanted)
        ends: dict[int | None, Counter[str]] = defaultdict(Counter)
        for outcome in outcomes:
            ends[_visit(outcome.data_id)][outcome.outcome] += 1
        for visit, count in expected.items():
            end = ends[visit]
            cells[task, visit] = Cell(count, end["done"], end["failed"], end["partial"])
        lost += [outcome for outcome in outcomes if outcome.failed or outcome.partial]
        if task == _POINTING:
            strayed |= _strayed(outcomes, allowed_arcsec)
    visits = sorted(int(visit) for visit in plan.survey.visits)
    failed = tuple(outcome for outcome in lost if outcome.failed)
    partial = tuple(outcome for outcome in lost if outcome.partial)
    known = {task for task, _ in cells}
    tasks = tuple(task for task in plan.tasks if task in known)
    rejected = tuple(read_rejected(plan.rejected))
    return RunStatus(
        tasks, tuple(visits), cells, failed, partial, rejected, strayed, allowed_arcsec
    )


def _strayed(outcomes: Iterable[Outcome], allowed_arcsec: float) -> dict[int, float]:
    """Return the visits that are farther from their stated pointing than is allowed for."""
    told = {int(o.data_id["visit"]): o.numbers.get("pointing_offset_arcsec") for o in outcomes}
    found = {visit: float(far) for visit, far in told.items() if far is not None}
    return {visit: far for visit, far in found.items() if far > allowed_arcsec}


def expected_jobs(plan: Plan, task: str) -> set[str]:
    """Return the status files that a complete run has for a task."""
    return set(plan.expand(plan.job_file("status", task, ".json")))


def _visit(data_id: Mapping[str, Any]) -> int | None:
    visit = data_id.get("visit")
    return None if visit is None else int(visit)
