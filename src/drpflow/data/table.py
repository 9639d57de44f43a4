"""Tables: columns with units and meanings, in memory.

A :class:`Table` is a thin face of an Arrow table, which is what Parquet files hold, so that
reading one costs neither a copy nor the half second that importing ``astropy.table`` takes.
:meth:`Table.to_astropy` and :meth:`Table.to_pandas` pay that price when it is wanted.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from drpflow.config.base import StrictModel, param
from drpflow.errors import MissingDatasetError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import astropy.table
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

ColumnType = Literal["bool", "int16", "int32", "int64", "float32", "float64", "str", "bytes"]


class ColumnSchema(StrictModel):
    """One column of a table."""

    name: str = param(..., "name", pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    type: ColumnType = param(..., "type of its values")
    length: int | None = param(None, "values in each cell, where there are several", gt=0)
    unit: str = param("", "FITS-style unit, empty for none")
    doc: str = param(..., "what it holds, in a line")
    own: str = param("", "why the standard that the table follows lacks it, empty where it has it")


class TableSchema(StrictModel):
    """The columns of a kind of table, in order."""

    name: str = param(..., "name, as in the file name")
    version: int = param(..., "raised when a column changes its meaning or disappears", gt=0)
    doc: str = param(..., "what a row is")
    standard: str = param(
        "", "table of Rubin's Science Data Model whose names, types and units it has, if any"
    )
    columns: tuple[ColumnSchema, ...] = param(..., "the columns")

    def column(self, name: str) -> ColumnSchema:
        """Return one column.

        Raises
        ------
        KeyError
            If there is none of that name, with the nearest.
        """
        for column in self.columns:
            if column.name == name:
                return column
        known = [c.name for c in self.columns]
        raise KeyError(f"schema {self.name} has no column {name!r}{suggest(name, known)}")

    def without(self, names: set[str]) -> TableSchema:
        """Return the schema less some columns."""
        return self.model_copy(
            update={"columns": tuple(c for c in self.columns if c.name not in names)}
        )


class Table:
    """Columns of equal length with units and meanings.

    Parameters
    ----------
    arrow
        The table. Units and meanings stand in the metadata of its fields under ``unit`` and
        ``description``.
    meta
        What holds for the whole table, such as the data ID.
    components
        How the components that belong to the table are found: called with a name and the
        values of columns that tell rows apart. Set by the store.
    """

    def __init__(
        self,
        arrow: pa.Table,
        *,
        meta: Mapping[str, Any] | None = None,
        components: Callable[[str, dict[str, Any]], Any] | None = None,
    ) -> None:
        self.arrow = arrow
        self.meta = dict(meta or {})
        self._components = components

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, ArrayLike],
        schema: TableSchema | None = None,
        *,
        units: Mapping[str, str] | None = None,
        descriptions: Mapping[str, str] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Table:
        """Build a table from arrays.

        Parameters
        ----------
        columns
            Arrays of shape (N,), or (N, k) for columns of k values a cell.
        schema
            Names, types, units and meanings; without it, those of the arrays.
        units, descriptions
            Of columns, where there is no schema.
        meta
            What holds for the whole table.

        Raises
        ------
        ValueError
            If a column is missing from `columns` or from the schema, does not fit its type, or
            differs in length.
        """
        import pyarrow as pa

        from drpflow.data.arrow_arrays import to_arrow

        if schema is None:
            arrays = {name: np.asarray(values) for name, values in columns.items()}
            units, descriptions = units or {}, descriptions or {}
        else:
            arrays = _conform(columns, schema)
            units = {c.name: c.unit for c in schema.columns}
            descriptions = {c.name: c.doc for c in schema.columns}
        _check_lengths(arrays)
        fields, data = [], []
        for name, array in arrays.items():
            values = to_arrow(array)
            about = {"unit": units.get(name, ""), "description": descriptions.get(name, "")}
            fields.append(pa.field(name, values.type, nullable=False, metadata=about))
            data.append(values)
        return cls(pa.Table.from_arrays(data, schema=pa.schema(fields)), meta=meta)

    @classmethod
    def empty(cls, schema: TableSchema) -> Table:
        """Return a table without rows that has the columns of a schema."""
        return cls.from_columns({c.name: [] for c in schema.columns}, schema)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.arrow.column_names)

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of each column, empty for none."""
        return {f.name: _about(f, b"unit") for f in self.arrow.schema}

    @cached_property
    def descriptions(self) -> dict[str, str]:
        """Meaning of each column."""
        return {f.name: _about(f, b"description") for f in self.arrow.schema}

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.columns:
            raise KeyError(f"the table has no column {name!r}{suggest(name, self.columns)}")
        from drpflow.data.arrow_arrays import from_arrow

        return from_arrow(self.arrow.column(name))

    def __repr__(self) -> str:
        return f"<Table of {len(self)} rows: {', '.join(self.columns)}>"

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """Return all columns as arrays."""
        return {name: self[name] for name in self.columns}

    def select(self, rows: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> Table:
        """Return the rows that a boolean array marks, or that an array of numbers lists."""
        from drpflow.data.arrow_arrays import to_arrow

        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Table(self.arrow.take(to_arrow(chosen)), meta=self.meta, components=self._components)

    def only(self, columns: list[str]) -> Table:
        """Return some of the columns, in the order given."""
        return Table(self.arrow.select(columns), meta=self.meta, components=self._components)

    def with_components(self, components: Callable[[str, dict[str, Any]], Any]) -> Table:
        """Return the table with another way to find its components."""
        return Table(self.arrow, meta=self.meta, components=components)

    def component(self, name: str, **row: Any) -> Any:
        """Return a component that belongs to the table, without reading any pixels.

        Parameters
        ----------
        name
            Name of the component, such as ``"wcs"``.
        **row
            What tells the rows apart, such as ``detector=3``, where the table spans several.

        Raises
        ------
        MissingDatasetError
            If nothing says where the table has such a component from.
        """
        if self._components is None:
            raise MissingDatasetError(
                f"this table does not know where its {name} is; read it with Store.get"
            )
        return self._components(name, row)

    def to_astropy(self) -> astropy.table.Table:
        """Return an astropy table with units and descriptions."""
        from astropy.table import Column
        from astropy.table import Table as AstropyTable

        table = AstropyTable(meta=self.meta)
        for name in self.columns:
            unit = self.units[name] or None
            about = self.descriptions[name] or None
            table[name] = Column(self[name], unit=unit, description=about)
        return table

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame; units stand in its ``attrs["units"]``."""
        frame = self.arrow.to_pandas()
        frame.attrs = {**self.meta, "units": {k: v for k, v in self.units.items() if v}}
        return frame


def _about(field: pa.Field, key: bytes) -> str:
    return (field.metadata or {}).get(key, b"").decode()


def _conform(columns: Mapping[str, ArrayLike], schema: TableSchema) -> dict[str, NDArray[Any]]:
    """Return the columns in the order and with the types of a schema."""
    known = [c.name for c in schema.columns]
    for name in columns:
        if name not in known:
            raise ValueError(f"schema {schema.name} has no column {name!r}{suggest(name, known)}")
    arrays = {}
    for column in schema.columns:
        if column.name not in columns:
            raise ValueError(f"column {column.name!r} of schema {schema.name} is missing")
        arrays[column.name] = _cast(np.asarray(columns[column.name]), column, schema.name)
    return arrays


def _cast(array: NDArray[Any], column: ColumnSchema, schema: str) -> NDArray[Any]:
    """Return an array with the type of a column; nothing but float precision may be lost."""
    what = f"column {column.name!r} of schema {schema}"
    shape = array.shape[1:]
    if array.size and shape != (() if column.length is None else (column.length,)):
        raise ValueError(f"{what} has cells of shape {shape}, not of {column.length or 1} value(s)")
    if array.size == 0:
        array = array.reshape((0,) if column.length is None else (0, column.length))
    wanted = np.dtype({"str": "U", "bytes": "S"}.get(column.type, column.type))
    if column.type in {"str", "bytes"}:
        if array.size and array.dtype.kind not in ("UO" if column.type == "str" else "SO"):
            raise ValueError(f"{what} is of type {column.type}, not {array.dtype}")
        return array if array.dtype.kind == "O" and array.size else array.astype(wanted)
    cast = array.astype(wanted, copy=False) if array.size else np.zeros(array.shape, wanted)
    if wanted.kind != "f" and array.size and not (cast == array).all():
        raise ValueError(f"{what} is of type {column.type}; values of {array.dtype} do not fit")
    return cast


def _check_lengths(arrays: Mapping[str, NDArray[Any]]) -> None:
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        short, long = min(lengths, key=lambda k: lengths[k]), max(lengths, key=lambda k: lengths[k])
        raise ValueError(
            f"columns differ in length: {short!r} has {lengths[short]}, {long!r} {lengths[long]}"
        )
