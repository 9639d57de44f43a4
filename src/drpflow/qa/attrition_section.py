"""What the report says of jobs: how many ended how, and what was lost, where and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from drpflow.io.datasets import DatasetTable
from drpflow.io.status_files import summarize_failures
from drpflow.qa.checks import Check, percent
from drpflow.qa.page import Block, Column, Section, Tile, make_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drpflow.io.sheets import RejectedRow
    from drpflow.io.status_files import Outcome

# Longer lists are folded, below one of the reasons.
_OPEN_JOBS = 20
_REASON_COLUMNS = (
    Column("task", text=True),
    Column("jobs"),
    Column("reason", text=True),
    Column("what may help", text=True),
)
_LOST_COLUMNS = (
    Column("task", text=True),
    Column("visit"),
    Column("detector"),
    Column("piece of sky"),
    Column("lost", text=True),
    Column("reason", text=True),
    Column("what may help", text=True),
)

_REJECTED_COLUMNS = (
    Column("file", text=True),
    Column("HDU", text=True),
    Column("reason", text=True),
)


def attrition_section(
    outcomes: Sequence[Outcome],
    lacking_chapters: Sequence[str] = (),
    rejected: Sequence[RejectedRow] = (),
) -> Section:
    """Return counts by task, and every job that failed in the declared way or in part.

    Parameters
    ----------
    outcomes
        Of all jobs.
    lacking_chapters
        What the report has no chapter on, as there are no products.
    rejected
        Files that ingest did not take.
    """
    failed = [o for o in outcomes if o.failed]
    partial = [o for o in outcomes if o.partial]
    ended, lost = Counter(o.task for o in outcomes), Counter(o.task for o in failed)
    lacking = Counter(o.task for o in partial)
    visits = {o.data_id["visit"] for o in outcomes if "visit" in o.data_id}
    tiles = [
        Tile(str(len(visits)), "visits"),
        *(_tile(task, ended[task], lost[task], lacking[task]) for task in in_order(ended)),
    ]
    groups = [*summarize_failures(failed), *summarize_failures(partial)]
    groups.sort(key=lambda group: DatasetTable.load().task_place(group[0]))
    note = (
        "Every visit and detector that was lost, as a whole or in part, where, and why. Tasks stand"
        " in the order of the flow: what a task has lost is often why a later one lost something."
        if groups
        else "Nothing was lost: every job that ended gave all it should."
    )
    blocks = _lists(groups)
    if rejected:
        blocks.append(_rejected_block(rejected))
    if lacking_chapters:
        text = f"There is no chapter yet on {', '.join(lacking_chapters)}: nothing was made of it."
        blocks.append(Block(note=text))
    check = Check("lost_jobs", percent(len(failed) + len(partial), len(outcomes)), len(outcomes))
    return Section("attrition", "Jobs", note, tiles, blocks, [check])


def _rejected_block(rejected: Sequence[RejectedRow]) -> Block:
    """Return the list of the files that ingest did not take, folded where it is long."""
    rows = [[row.path, row.hdu, row.reason] for row in rejected]
    many = len(rows) > _OPEN_JOBS
    return Block(
        note="Files that ingest did not take, and why (rejected.tsv).",
        table=make_table(_REJECTED_COLUMNS, rows),
        folded=f"all {len(rows)} files" if many else "",
    )


def in_order(tasks: Iterable[str]) -> list[str]:
    """Return tasks in the order of the flow."""
    return sorted(tasks, key=DatasetTable.load().task_place)


def _lists(groups: Sequence[tuple[str, str, Sequence[Outcome]]]) -> list[Block]:
    """Return the table of all that was lost; where that is long, the reasons first."""
    jobs = [
        [
            o.task,
            o.data_id.get("visit"),
            o.data_id.get("detector"),
            _piece(o.data_id),
            "all" if o.failed else "some components",
            o.reason,
            o.hint,
        ]
        for _, _, members in groups
        for o in members
    ]
    table = make_table(_LOST_COLUMNS, jobs)
    if len(jobs) <= _OPEN_JOBS:
        return [Block(table=table)] if jobs else []
    reasons = [[task, len(members), reason, members[0].hint] for task, reason, members in groups]
    return [
        Block(table=make_table(_REASON_COLUMNS, reasons)),
        Block(table=table, folded=f"all {len(jobs)} jobs"),
    ]


def _piece(data_id: Mapping[str, int | str]) -> str | int | None:
    """Return the piece of the sky, or the place on the tracts, that a job is about."""
    names = [f"{name} {data_id[name]}" for name in ("tract", "patch", "band") if name in data_id]
    return ", ".join(names) or data_id.get("skypix")


def _tile(task: str, ended: int, lost: int, lacking: int) -> Tile:
    """Return how many jobs of a task gave all they should."""
    label = f"{task}, {lacking} in part" if lacking else task
    return Tile(f"{ended - lost - lacking} / {ended}", label, "bad" if lost + lacking else "good")
