"""Metadata of visits, and paths that are the same for all visits or pieces of the sky."""

from __future__ import annotations

from pathlib import Path

from drpflow.data.visit_info import VisitInfo
from drpflow.errors import InputError
from drpflow.io.records import read_component_json


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


def path_of(pattern: str | Path, **data_id: int) -> Path:
    """Return a path of which ``{visit}`` or ``{skypix}`` is a part."""
    text = str(pattern)
    for name, value in data_id.items():
        text = text.replace(f"{{{name}}}", str(value))
    return Path(text)
