"""Columns of a table that somebody wrote for one of the global fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drpflow.errors import InputError, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def column_of(
    columns: Mapping[str, NDArray[Any]], path: Path, name: str, wanted: str
) -> NDArray[Any]:
    """Return a column that a table must have; `wanted` names all of these.

    Raises
    ------
    InputError
        If it is not there, with the nearest name that is.
    """
    if name not in columns:
        hint = suggest(name, columns)
        raise InputError(path, f"it has no column {name!r}{hint}", f"It needs {wanted}")
    return columns[name]
