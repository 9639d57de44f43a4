"""What is known of visits, and paths that are the same for all visits or pieces of the sky."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from drpflow.data.visit_info import VisitInfo
from drpflow.errors import DrpflowError, InputError, raise_machine_fault
from drpflow.io.records import read_component_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


def read_visit_info(path: Path) -> VisitInfo:
    """Return the metadata of a visit.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    info = read_component_json(path)
    if not isinstance(info, VisitInfo):
        problem = f"it holds a {type(info).__name__}, no metadata of a visit"
        raise InputError(path, problem, "Give the file that makeVisitInfo wrote")
    return info


def read_visits(
    visits: Iterable[int],
    visit_info: str,
    initial_visit_summary: str,
    part_of: Callable[[Path], T],
) -> tuple[list[tuple[VisitInfo, T]], dict[int, str]]:
    """Read metadata of visits and what is wanted of their summaries.

    Parameters
    ----------
    visits
        The visits.
    visit_info, initial_visit_summary
        Paths in which ``{visit}`` stands for the visit.
    part_of
        Reads what is wanted of a summary.

    Returns
    -------
    found : list
        Metadata and that part, by number of visit.
    faults : dict
        Why other visits cannot be read.
    """
    found, faults = [], {}
    for visit in sorted(visits):
        try:
            info = read_visit_info(path_of(visit_info, visit=visit))
            found.append((info, _summary(path_of(initial_visit_summary, visit=visit), part_of)))
        except InputError as fault:
            raise_machine_fault(fault)
            faults[visit] = str(fault)
    return found, faults


def _summary(path: Path, part_of: Callable[[Path], T]) -> T:
    try:
        return part_of(path)
    except DrpflowError as fault:
        problem = f"the visit's summary cannot be read ({fault})"
        raise InputError(path, problem, "Run consolidateVisit again") from fault


def path_of(pattern: str | Path, **data_id: int) -> Path:
    """Return a path of which ``{visit}`` or ``{skypix}`` is a part."""
    text = str(pattern)
    for name, value in data_id.items():
        text = text.replace(f"{{{name}}}", str(value))
    return Path(text)
