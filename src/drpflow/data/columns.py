"""Columns of the tables in memory: brought to their type once, read only, of one length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable


def set_columns(table: Any, names: Iterable[str], dtype: Any) -> None:
    """Bring columns of a frozen dataclass to their type; those that have it are not copied.

    Raises
    ------
    ValueError
        If a column has not one dimension.
    """
    for name in names:
        column = np.ascontiguousarray(getattr(table, name), dtype).view()
        if np.ndim(getattr(table, name)) != 1:
            raise ValueError(f"{type(table).__name__}: column '{name}' has one dimension")
        column.flags.writeable = False
        object.__setattr__(table, name, column)


def check_same_length(table: Any, names: Iterable[str]) -> None:
    """Check that columns have one length.

    Raises
    ------
    ValueError
        If they differ.
    """
    sizes = {name: getattr(table, name).size for name in names}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"{type(table).__name__}: columns differ in length: {sizes}")


def check_finite(table: Any, names: Iterable[str]) -> None:
    """Check that columns hold finite numbers only.

    Raises
    ------
    ValueError
        If one does not.
    """
    for name in names:
        if not np.isfinite(getattr(table, name)).all():
            raise ValueError(
                f"{type(table).__name__}: column '{name}' has values that are not finite"
            )


def check_unique(table: Any, name: str) -> None:
    """Check that no value of a column appears twice.

    Raises
    ------
    ValueError
        If one does.
    """
    column = getattr(table, name)
    if np.unique(column).size != column.size:
        raise ValueError(f"{type(table).__name__}: a value of '{name}' appears twice")
