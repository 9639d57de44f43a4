"""What the report says of jobs: how many ended how, and what was lost, where and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from drpflow.qa.page import Block, Column, Section, Tile, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.io.status_files import Outcome

_LOST_COLUMNS = (
    Column("task", text=True),
    Column("visit"),
    Column("detector"),
    Column("lost", text=True),
    Column("reason", text=True),
    Column("what may help", text=True),
)


def attrition_section(outcomes: Sequence[Outcome]) -> Section:
    """Return counts by task, and every job that failed in the declared way or in part."""
    failed = [o for o in outcomes if o.failed]
    partial = [o for o in outcomes if o.partial]
    ended, lost = Counter(o.task for o in outcomes), Counter(o.task for o in failed)
    lacking = Counter(o.task for o in partial)
    visits = {o.data_id["visit"] for o in outcomes if "visit" in o.data_id}
    tiles = [
        Tile(str(len(visits)), "visits"),
        *(_tile(task, ended[task], lost[task], lacking[task]) for task in ended),
    ]
    rows = [
        [
            o.task,
            o.data_id.get("visit"),
            o.data_id.get("detector"),
            "all" if o.failed else "some components",
            o.reason,
            o.hint,
        ]
        for o in [*failed, *partial]
    ]
    note = (
        "Every visit and detector that was lost, as a whole or in part, where, and why."
        if rows
        else ("Nothing was lost: every job that ended gave all it should.")
    )
    blocks = [Block(table=make_table(_LOST_COLUMNS, rows))] if rows else []
    return Section("attrition", "Jobs", note, tiles, blocks)


def _tile(task: str, ended: int, lost: int, lacking: int) -> Tile:
    """Return how many jobs of a task gave all they should."""
    label = f"{task}, {lacking} in part" if lacking else task
    return Tile(f"{ended - lost - lacking} / {ended}", label, "bad" if lost + lacking else "good")
