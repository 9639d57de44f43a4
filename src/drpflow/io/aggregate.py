"""Several datasets read as one: rows gathered, columns joined, exposures grouped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from drpflow.data.table import Table
from drpflow.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.datasets import DataId, Spread


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
        odd = columns_differ(first, table)
        if odd:
            raise InputError(
                source,
                f"{odd} than in {first_source}, so that {name} cannot be gathered",
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


def columns_differ(first: Table, other: Table) -> str:
    """Return in what the columns of two tables differ, or an empty text."""
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


def join_columns(
    tables: list[tuple[str, Table]], by: str, name: str, spread: Spread | None = None
) -> Table:
    """Return tables with the same rows as one with all their columns.

    Parameters
    ----------
    tables
        Name of the source, for messages, and table.
    by
        Column of row identifiers; it must be the same in all, in the same order.
    name
        What the result is called.
    spread
        How those tables are brought to one row an identifier that have the column
        ``spread.along``; of them, identifiers may be missing, which leaves NaN, 0, false or an
        empty text.

    Raises
    ------
    InputError
        If the rows are not the same, an identifier repeats, or a column stands in two tables
        with different values.
    """
    first_source, first = tables[0]
    _check_unique(first_source, first, by)
    arrow = first.arrow
    for source, given in tables[1:]:
        table, present = given, np.ones(len(first), bool)
        if spread is not None and spread.along in given:
            table, present = spread_rows(source, given, first, by, spread)
        else:
            _check_aligned(source, table, first_source, first, by)
        for column in table.columns:
            if column not in arrow.column_names:
                arrow = arrow.append_column(table.arrow.field(column), table.arrow.column(column))
            elif not _same_values(Table(arrow)[column][present], table[column][present]):
                raise InputError(
                    source,
                    f"column {column!r} holds other values than in {first_source}",
                    f"{name} needs each column once",
                )
    meta = {k: v for k, v in first.meta.items() if k in {"data_id"}}
    return Table(arrow, meta={**meta, "dataset": name})


def spread_rows(
    source: str, table: Table, first: Table, by: str, spread: Spread
) -> tuple[Table, NDArray[np.bool_]]:
    """Return a table of several rows an identifier as one with a row each.

    Parameters
    ----------
    source
        Name of the table, for messages.
    table
        The table.
    first
        Gives the identifiers in their order, in the column `by`.
    by
        Column of identifiers.
    spread
        What tells the rows of an identifier apart, and which columns differ between them.

    Returns
    -------
    Table
        Columns ``<column>_<value>``, and those columns that all rows of an identifier share.
    present : ndarray, shape (N,)
        Which identifiers `table` has.

    Raises
    ------
    InputError
        If an identifier is not in `first`, stands twice with one value, or has several values in
        a column that is not spread.
    """
    for column in (by, *spread.columns):
        if column not in table:
            raise InputError(source, f"it has no column {column!r}", "The tables are joined by it")
    row = _places(source, table, first, by)
    kinds, kind = np.unique(table[spread.along], return_inverse=True)
    _check_once(source, table, by, spread.along, row * max(len(kinds), 1) + kind)
    columns, about = {}, {}
    for name in table.columns:
        if name in {by, spread.along}:
            continue
        parts = {name: np.ones(len(row), bool)}
        if name in spread.columns:
            parts = {f"{name}_{value}": kind == k for k, value in enumerate(kinds)}
        for part, mine in parts.items():
            columns[part] = _filled(table[name], len(first))
            columns[part][row[mine]] = table[name][mine]
            about[part] = name
        if name not in spread.columns and not _same_values(columns[name][row], table[name]):
            problem = f"column {name!r} differs between rows of one {by}"
            raise InputError(source, problem, f"It must be the same for every {spread.along}")
    units = {part: table.units[name] for part, name in about.items()}
    docs = {part: table.descriptions[name] for part, name in about.items()}
    present = np.zeros(len(first), bool)
    present[row] = True
    return Table.from_columns(columns, units=units, descriptions=docs), present


def _places(source: str, table: Table, first: Table, by: str) -> NDArray[np.intp]:
    """Return in which row of `first` the identifier of each row of `table` stands."""
    order = np.argsort(first[by], kind="stable")
    known, wanted = first[by][order], table[by]
    place = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    wrong = ~np.isin(wanted, known)
    if wrong.any():
        problem = f"{by} = {wanted[wrong][0]} is not among the rows that it is joined to"
        raise InputError(source, problem, "Make both again from one set of rows")
    return order[place]


def _check_once(
    source: str, table: Table, by: str, along: str, key: NDArray[np.integer[Any]]
) -> None:
    _, where, counts = np.unique(key, return_index=True, return_counts=True)
    if (counts > 1).any():
        row = int(where[counts > 1][0])
        raise InputError(
            source,
            f"{by} = {table[by][row]} has several rows of {along} {table[along][row]}",
            "It must have one",
        )


def _filled(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Return a column without a value of the type of another."""
    shape = (size, *values.shape[1:])
    if values.dtype.kind in "UO":
        return np.full(shape, "", object)
    return np.full(shape, np.nan if values.dtype.kind == "f" else 0, values.dtype)


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
