"""What the report says of the global astrometric solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.page import Section, Tile, linked
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
from drpflow.qa.solution_data import Solution, read_solution
from drpflow.qa.solution_scores import Against, against_references, repeatabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.io.status_files import Outcome
    from drpflow.io.store import Store

_TASK, _TITLE = "solveAstrometry", "Astrometric solution"


def solution_section(store: Store, outcomes: Sequence[Outcome]) -> Section | None:
    """Return the chapter, None if there is no solution yet.

    Parameters
    ----------
    store
        The run.
    outcomes
        Of all jobs; those of solveAstrometry tell what must be known of the result.
    """
    found = read_solution(store)
    if found is None:
        return None
    notes = note_blocks(found, [o for o in outcomes if o.task == _TASK])
    lost = lost_block(found)
    if not found.visits["solved"].any():
        return Section("astrometry", _TITLE, "No visit is solved.", blocks=[*notes, *lost])
    against, ams = against_references(found), repeatabilities(found)
    blocks = [*notes, field_block(found), *scatter_blocks(found, ams), *accuracy_blocks(against)]
    blocks += [visit_block(found), *lost, outlier_block(found)]
    note = (
        "One fit of detectors, visits and stars to all positions. Residuals are measured less "
        "expected places along the axes of the camera's field; before means by the first WCSs "
        "of the visits. These were fitted to the same stars, detector by detector, and have "
        "followed noise and turbulence of each visit, so that residuals before may be smaller."
    )
    return Section(
        "astrometry", _TITLE, note, _tiles(found, against), linked("astrometry", blocks),
        solution_checks(found, ams, against),
    )  # fmt: skip


def _tiles(found: Solution, against: Against | None) -> list[Tile]:
    v, s = found.visits, found.stars
    visits = np.unique(v["visit"])
    solved = np.unique(v["visit"][v["solved"]])
    outliers = v["n_rejected"].sum() / max(int((v["n_good"] + v["n_rejected"]).sum()), 1)
    tiles = [
        Tile(
            f"{solved.size} / {visits.size}", "visits solved",
            "good" if solved.size == visits.size else "bad",
        ),
        Tile(f"{int((s['n_good'] > 0).sum()):,}", "stars"),
        Tile(f"{1e3 * middle(found.images['wcs_error']):.1f} mas", "error of a WCS, median"),
        Tile(f"{middle(v['floor']):.1f} mas", "turbulence a visit, median"),
        Tile(f"{100 * outliers:.1f} %", "outliers"),
    ]  # fmt: skip
    if against is not None:
        east, north, number = against.aa1["reserved stars"]
        if number:
            text = f"{east:.1f}, {north:.1f} mas"
            tiles.append(Tile(text, "AA1 of reserved stars, east and north"))
    return tiles
