"""What the report says of finalizeAstrometry: what the second fit changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.page import Block, Column, Section, Tile, linked, make_table
from drpflow.qa.solution_blocks import (
    accuracy_blocks,
    field_block,
    lost_block,
    middle,
    note_blocks,
    outlier_block,
    scatter_blocks,
    solution_checks,
    visit_block,
)
from drpflow.qa.solution_data import FINAL, Solution, read_solution
from drpflow.qa.solution_scores import against_references, repeatabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.io.status_files import Outcome
    from drpflow.io.store import Store

_TASK, _TITLE = "finalizeAstrometry", "Final astrometry"
_KEPT = "solved_astrometry"
_CHANGE_COLUMNS = (
    Column("piece"),
    Column("products of", text=True),
    Column("change of WCSs", "expected, mas", 2),
    Column("change of WCSs", "median, mas", 2),
    Column("AM1", "before, mas", 2),
    Column("AM1", "after, mas", 2),
    Column("AM1 of reserved stars", "before, mas", 2),
    Column("AM1 of reserved stars", "after, mas", 2),
)
_NUMBERS = ("expected_change", "median_change", "am1_before", "am1_after", "am1_reserved_before",
            "am1_reserved_after")  # fmt: skip


def final_astrometry_section(store: Store, outcomes: Sequence[Outcome]) -> Section | None:
    """Return the chapter, None if there is no second fit yet.

    Parameters
    ----------
    store
        The run.
    outcomes
        Of all jobs; those of finalizeAstrometry tell what must be known of the result.
    """
    found = read_solution(store, FINAL)
    if found is None:
        return None
    notes = note_blocks(found, [o for o in outcomes if o.task == _TASK])
    lost = lost_block(found)
    if not found.visits["solved"].any():
        note = "No visit has a final solution."
        return Section("final-astrometry", _TITLE, note, blocks=[*notes, *lost])
    against, ams = against_references(found), repeatabilities(found)
    blocks = [_change_block(found), *notes, field_block(found), *scatter_blocks(found, ams),
              *accuracy_blocks(against), visit_block(found), *lost,
              outlier_block(found)]  # fmt: skip
    note = (
        "The fit once more, from the centroids of the final PSFs. Here before means by the first "
        "joint fit, after by this one."
    )
    return Section(
        "final-astrometry", _TITLE, note, _tiles(found), linked("final-astrometry", blocks),
        solution_checks(found, ams, against),
    )  # fmt: skip


def _tiles(found: Solution) -> list[Tile]:
    v, images = found.visits, found.images
    visits, solved = np.unique(v["visit"]), np.unique(v["visit"][v["solved"]])
    return [
        Tile(
            f"{solved.size} / {visits.size}", "visits solved",
            "good" if solved.size == visits.size else "bad",
        ),
        Tile(f"{middle(images['change']):.2f} mas", "change of a WCS, median"),
        Tile(f"{1e3 * middle(images['wcs_error']):.1f} mas", "error of a WCS, median"),
        Tile(f"{middle(v['floor']):.1f} mas", "turbulence left a visit, median"),
    ]  # fmt: skip


def _change_block(found: Solution) -> Block:
    """Return what the fits say of what they changed, and whether they were spared."""
    rows: list[list[Any]] = []
    for piece, about in sorted(found.about.items()):
        spared = about.get("passed_on") == _KEPT
        what = "the first fit: too little was to change" if spared else "the second fit"
        rows.append([
            piece, what, *(_number(about.get(name)) for name in _NUMBERS),
        ])  # fmt: skip
    note = (
        "Expected is what the new centroids alone let WCSs change by; beyond that the methods of "
        "both fits differ (turbulence). AM1: scatter over visits of separations of stars 5′ "
        "apart, of the brighter half of the detections that both fits use."
    )
    return Block("What has changed", note, table=make_table(_CHANGE_COLUMNS, rows))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
