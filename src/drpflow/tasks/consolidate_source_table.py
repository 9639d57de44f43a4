"""consolidateSourceTable: the sources of all detectors of a visit in one table.

Nothing is computed but the coverage. Each detector's table is looked at before any is written: one
that cannot be read, has other columns, or rows that are not its own is left out and named, and the
rest is whole. ``docs/tasks/consolidateSourceTable.md`` has the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.coverage import covered_cells
from drpflow.data.moc import Moc
from drpflow.data.source_ids import unpack_source_ids
from drpflow.errors import AlgorithmError, DrpflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.config.consolidate_source_table import ConsolidateSourceTableConfig
    from drpflow.data.geometry import ValidPolygon
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.table import Table

LOST = "lost"
"""Key of a table's metadata under which a task says why the table has no rows."""


@dataclass(frozen=True)
class Outline:
    """Where a detector looked.

    Parameters
    ----------
    wcs
        Its WCS, None if it has none.
    polygon
        Its usable part, None if it has none.
    """

    wcs: SkyWcs | None
    polygon: ValidPolygon | None


@dataclass(frozen=True, eq=False)
class SourceTable:
    """What is known of a visit's sources before they are written.

    Parameters
    ----------
    rows
        Number of sources by detector, of those whose sources are written, ascending.
    lost
        Why others are not there, by detector.
    coverage
        The sky that the detectors of `rows` saw.
    numbers
        Figures for the status file.
    problem
        What is missing, or None.
    """

    rows: dict[int, int]
    lost: dict[int, str]
    coverage: Moc
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None = None


def consolidate_source_table(
    detectors: Sequence[int],
    sources_of: Callable[[int], Table],
    outlines: Mapping[int, Outline],
    visit: int,
    config: ConsolidateSourceTableConfig,
) -> SourceTable:
    """Look at the sources of each detector, and where they can be.

    Parameters
    ----------
    detectors
        Detectors of the visit.
    sources_of
        Reads ``final_source_detector``; one is held at a time. It raises :class:`DrpflowError`
        where there is none that can be read.
    outlines
        By detector.
    visit
        The visit.
    config
        The section ``consolidateSourceTable``.
    """
    rows, lost = {}, {}
    counts = dict.fromkeys(("primary", "sky_sources", "artifacts"), 0)
    for detector in sorted(detectors):
        try:
            table = sources_of(detector)
        except DrpflowError as fault:
            lost[detector] = str(fault)
            continue
        reason = str(table.meta.get(LOST, "")) or why_not(table, visit, detector)
        if reason:
            lost[detector] = reason
            continue
        rows[detector] = len(table)
        for name, number in _counts(table).items():
            counts[name] += number
    coverage, unknown = _coverage(rows, outlines, config.coverage_order)
    numbers: dict[str, float | int | str] = {
        "detectors": len(detectors),
        "lost": len(lost),
        "sources": sum(rows.values()),
        **counts,
        "area_deg2": round(coverage.area_deg2, 6),
        "without_coverage": unknown,
    }
    return SourceTable(rows, lost, coverage, numbers, _problem(lost, len(detectors)))


def why_not(table: Table, visit: int, detector: int) -> str:
    """Return why rows cannot be those of a detector, or an empty text.

    Parameters
    ----------
    table
        With the column ``sourceId``.
    visit, detector
        Whose they are to be.
    """
    ids = table["sourceId"]
    of_visit, of_detector, _ = unpack_source_ids(ids)
    strange = np.flatnonzero((of_visit != visit) | (of_detector != detector))
    if strange.size:
        k = int(strange[0])
        return f"{strange.size} rows are of visit {of_visit[k]}, detector {of_detector[k]}"
    if (np.diff(ids) <= 0).any():
        return "its identifiers do not ascend, so that one may stand twice"
    return ""


def _counts(table: Table) -> dict[str, int]:
    primary = table["detect_isPrimary"]
    marked = table["pixelFlags_artifact"] | table["pixelFlags_streak"]
    return {
        "primary": int(primary.sum()),
        "sky_sources": int(table["sky_source"].sum()),
        "artifacts": int((marked & primary).sum()),
    }


def _coverage(
    rows: Mapping[int, Any], outlines: Mapping[int, Outline], order: int
) -> tuple[Moc, int]:
    """Return the coverage, and of how many detectors it is not known."""
    cells: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for detector in rows:
        found = outlines.get(detector)
        if found is not None and found.wcs is not None and found.polygon is not None:
            cells.append(covered_cells(order, found.wcs, found.polygon))
    return Moc(order, np.concatenate(cells)), len(rows) - (len(cells) - 1)


def _problem(lost: Mapping[int, str], n_detectors: int) -> AlgorithmError | None:
    if not lost:
        return None
    first = min(lost)
    return AlgorithmError(
        f"{len(lost)} of {n_detectors} detectors have no sources; detector {first}: {lost[first]}",
        {},
        "The metadata of `source` name each; see the status of finalizeImage",
    )
