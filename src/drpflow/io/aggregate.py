"""Several datasets read as one: rows gathered, columns joined, exposures grouped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from drpflow.data.table import Table
from drpflow.errors import InputError

if TYPE_CHECKING:
    from drpflow.data.exposure import Exposure
    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.datasets import DataId


def gather_rows(tables: list[tuple[str, Table]], name: str) -> Table:
    """Return tables of one kind as one, rows in the order given.

    What holds for each whole table (``meta``) holds for the result where all agree.

    Parameters
    ----------
    tables
        Name of the source, for messages, and table.
    name
        What the result is called.

    Raises
    ------
    InputError
        If two of them differ in the name, type or unit of a column.
    """
    first_source, first = tables[0]
    for source, table in tables[1:]:
        difference = _difference(first, table)
        if difference:
            raise InputError(
                source,
                f"{difference} than in {first_source}, so that {name} cannot be gathered",
                "Make both with one version of drpflow",
            )
    meta = {
        key: value
        for key, value in first.meta.items()
        if all(table.meta.get(key) == value for _, table in tables)
    }
    schema = first.arrow.schema
    arrow = pa.concat_tables([table.arrow.cast(schema) for _, table in tables])
    return Table(arrow.combine_chunks(), meta={**meta, "dataset": name})


def _difference(first: Table, other: Table) -> str:
    """Return in what the columns differ, or an empty text."""
    odd = set(first.columns) ^ set(other.columns)
    if odd:
        return f"column {min(odd)!r} is in one only, other"
    for name in first.columns:
        if first.arrow.schema.field(name).type != other.arrow.schema.field(name).type:
            return f"column {name!r} has another type"
        if first.units[name] != other.units[name]:
            return f"column {name!r} has another unit ({other.units[name]}, {first.units[name]})"
    if first.columns != other.columns:
        return "the columns stand in another order"
    return ""


def join_columns(tables: list[tuple[str, Table]], by: str, name: str) -> Table:
    """Return tables with the same rows as one with all their columns.

    Parameters
    ----------
    tables
        Name of the source, for messages, and table.
    by
        Column of row identifiers; it must be the same in all, in the same order.
    name
        What the result is called.

    Raises
    ------
    InputError
        If the rows are not the same, an identifier repeats, or a column stands in two tables
        with different values.
    """
    first_source, first = tables[0]
    _check_unique(first_source, first, by)
    arrow = first.arrow
    for source, table in tables[1:]:
        _check_aligned(source, table, first_source, first, by)
        for column in table.columns:
            if column not in arrow.column_names:
                arrow = arrow.append_column(table.arrow.field(column), table.arrow.column(column))
            elif not _same_values(Table(arrow)[column], table[column]):
                raise InputError(
                    source,
                    f"column {column!r} holds other values than in {first_source}",
                    f"{name} needs each column once",
                )
    meta = {k: v for k, v in first.meta.items() if k in {"data_id"}}
    return Table(arrow, meta={**meta, "dataset": name})


def _same_values(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f")


def _check_unique(source: str, table: Table, by: str) -> None:
    if by not in table:
        raise InputError(source, f"it has no column {by!r}", "The tables are joined by it")
    values, counts = np.unique(table[by], return_counts=True)
    if (counts > 1).any():
        raise InputError(
            source, f"{by} = {values[counts > 1][0]} stands in several rows", "It must be unique"
        )


def _check_aligned(source: str, table: Table, first_source: str, first: Table, by: str) -> None:
    if by not in table:
        raise InputError(source, f"it has no column {by!r}", "The tables are joined by it")
    if len(table) != len(first):
        raise InputError(
            source,
            f"it has {len(table)} rows, {first_source} has {len(first)}",
            "Make both again from one set of rows",
        )
    wrong = np.flatnonzero(table[by] != first[by])
    if wrong.size:
        row = int(wrong[0])
        raise InputError(
            source,
            f"row {row} has {by} = {table[by][row]}, that of {first_source} {first[by][row]}",
            "Make both again from one set of rows",
        )


class ExposureGroup(Mapping[Any, "Exposure"]):
    """Exposures of one kind, such as all detectors of a visit, each still lazy.

    Keys are the values of the dimension that was gathered (detector ids), or tuples if there
    were several.

    Parameters
    ----------
    members
        Exposures by key.
    data_id
        What they have in common.
    """

    def __init__(self, members: Mapping[Any, Exposure], data_id: DataId) -> None:
        self._members = dict(members)
        self.data_id = data_id

    def __getitem__(self, key: Any) -> Exposure:
        return self._members[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<{len(self)} exposures of {self.data_id}: {', '.join(map(str, self))}>"

    @property
    def visit_info(self) -> VisitInfo | None:
        """The metadata of the visit: one object, whichever member is asked."""
        return next(iter(self._members.values())).visit_info

    def components(self, name: str) -> dict[Any, Any]:
        """Return one component of every member, None where it is missing."""
        return {key: exposure.components.get(name) for key, exposure in self.items()}
