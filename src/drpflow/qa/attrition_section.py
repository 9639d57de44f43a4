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
    Column("reason", text=True),
    Column("what may help", text=True),
)


def attrition_section(outcomes: Sequence[Outcome]) -> Section:
    """Return counts by task and every job that failed in the declared way."""
    failed = [o for o in outcomes if o.outcome == "failed"]
    done, lost = Counter(o.task for o in outcomes), Counter(o.task for o in failed)
    visits = {o.data_id["visit"] for o in outcomes if "visit" in o.data_id}
    tiles = [
        Tile(str(len(visits)), "visits"),
        *(Tile(f"{done[t] - lost[t]} / {done[t]}", t, "bad" if lost[t] else "good") for t in done),
    ]
    rows = [
        [o.task, o.data_id.get("visit"), o.data_id.get("detector"), o.reason, o.hint]
        for o in failed
    ]
    note = (
        "Every visit and detector that was lost, where, and why."
        if failed
        else ("Nothing was lost: every job that ended gave all it should.")
    )
    blocks = [Block(table=make_table(_LOST_COLUMNS, rows))] if failed else []
    return Section("attrition", "Jobs", note, tiles, blocks)
