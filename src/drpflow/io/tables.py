"""Parquet tables with units, written so that astropy, pandas and TOPCAT see them.

Columns that the folders of a path say already (``visit=12/…``) are not written into the file,
by the usual convention of partitioned tables: readers such as ``pyarrow.dataset`` and pandas
put them back, and so does :func:`read_table` when it is told the data ID.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drpflow.data.arrow_arrays import to_arrow
from drpflow.data.table import Table
from drpflow.errors import InputError, MissingDatasetError, suggest
from drpflow.io.atomic import atomic_path
from drpflow.io.table_metadata import footers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from drpflow.data.provenance import Provenance
    from drpflow.data.table import TableSchema

FORMAT_VERSION = 1
"""Version of what is written beside the columns; column schemas have versions of their own."""
META_KEY = b"drpflow"


def as_table(value: Any, schema: TableSchema | None = None) -> Table:
    """Return anything table-like as a :class:`Table`.

    Parameters
    ----------
    value
        A Table, an Arrow table, a mapping of arrays, an astropy table or a data frame.
    schema
        What the columns must be. Units and meanings are then those of the schema.

    Raises
    ------
    TypeError
        If `value` is nothing of the kind.
    ValueError
        If the columns do not fit the schema.
    """
    if isinstance(value, Table):
        table = value
    elif isinstance(value, pa.Table):
        given = Table(value)
        table = Table.from_columns(
            given.to_dict(), units=given.units, descriptions=given.descriptions
        )
    elif hasattr(value, "colnames"):
        table = _from_astropy(value)
    elif hasattr(value, "to_parquet"):
        table = Table.from_columns({name: value[name].to_numpy() for name in value.columns})
    elif hasattr(value, "keys"):
        return Table.from_columns(value, schema)
    else:
        raise TypeError(f"{type(value).__name__} is no table")
    if schema is None:
        return table
    return Table.from_columns(table.to_dict(), schema, meta=table.meta)


def _from_astropy(value: Any) -> Table:
    columns = {name: np.asarray(value[name]) for name in value.colnames}
    units = {name: str(value[name].unit or "") for name in columns}
    about = {name: str(value[name].info.description or "") for name in columns}
    return Table.from_columns(columns, units=units, descriptions=about)


def write_table(
    path: str | Path,
    table: Table | Mapping[str, ArrayLike] | Any,
    schema: TableSchema | None = None,
    *,
    dataset: str = "",
    data_id: Mapping[str, int | str] | None = None,
    provenance: Provenance | None = None,
    row_group_rows: int | None = None,
) -> None:
    """Write a table, atomically. Equal tables give equal bytes.

    Parameters
    ----------
    path
        The file.
    table
        Anything that :func:`as_table` takes.
    schema
        What the columns must be; columns of the data ID may be left out of `table`.
    dataset, data_id
        Dataset type and data ID, which are stored once for the whole table.
    provenance
        What made it.
    row_group_rows
        Rows in each row group, for tables of which only parts are read.

    Raises
    ------
    InputError
        If the columns do not fit the schema, or a column disagrees with the data ID.
    """
    data_id = dict(data_id or {})
    prepared = conform(path, table, schema, data_id)
    arrow = prepared.arrow.combine_chunks()
    about = whole_table(schema, dataset, data_id, prepared.meta, provenance)
    keys = file_keys(arrow.schema, text_widths(arrow), about)
    with atomic_path(path) as temporary:
        pq.write_table(
            arrow.replace_schema_metadata(keys),
            temporary,
            row_group_size=row_group_rows,
            compression="zstd",
            version="2.6",
        )


def conform(
    path: str | Path, table: Any, schema: TableSchema | None, data_id: Mapping[str, int | str]
) -> Table:
    """Return a table as it is written: with the columns of a schema, less those of the data ID.

    Raises
    ------
    InputError
        If the columns do not fit the schema, or one disagrees with the data ID.
    """
    try:
        prepared = _without_data_id(as_table(table), data_id)
        inner = None if schema is None else schema.without(set(data_id))
        return as_table(prepared, inner)
    except (ValueError, KeyError) as error:
        problem = str(error.args[0])
        raise InputError(path, problem, "Give the columns that the schema lists") from error


def whole_table(
    schema: TableSchema | None,
    dataset: str,
    data_id: Mapping[str, int | str],
    meta: Mapping[str, Any],
    provenance: Provenance | None,
) -> dict[str, Any]:
    """Return what holds for a whole table, as it is stored."""
    about: dict[str, Any] = {"dataset": dataset, "data_id": dict(data_id)}
    if schema is not None:
        about |= {"schema": schema.name, "schema_version": schema.version}
    about |= meta
    if provenance is not None:
        about["provenance"] = json.loads(provenance.to_json())
    return about


def file_keys(
    schema: pa.Schema, widths: Mapping[str, int], about: Mapping[str, Any]
) -> dict[bytes, bytes]:
    """Return the key-value metadata of a file, from what holds for the whole table."""
    keys = footers(schema, widths, about)
    keys[META_KEY] = json.dumps({"format": FORMAT_VERSION, **about}).encode()
    return keys


def _without_data_id(table: Table, data_id: Mapping[str, Any]) -> Table:
    """Return the table less the columns that the data ID says, once they agree with it."""
    for name, value in data_id.items():
        if name in table and len(table) and not (table[name] == value).all():
            raise ValueError(f"column {name!r} holds other values than {value!r} of the data ID")
    kept = [name for name in table.columns if name not in data_id]
    meta = {k: v for k, v in table.meta.items() if k not in {"dataset", "data_id"}}
    return Table(table.arrow.select(kept), meta=meta)


def text_widths(arrow: pa.Table) -> dict[str, int]:
    """Return the largest length of each column of texts or bytes."""
    kinds = {field.name: field.type for field in arrow.schema}
    texts = [n for n, t in kinds.items() if pa.types.is_string(t) or pa.types.is_binary(t)]
    if not texts:
        return {}
    import pyarrow.compute as pc

    widths = {}
    for name in texts:
        length = pc.utf8_length if pa.types.is_string(kinds[name]) else pc.binary_length
        widths[name] = pc.max(length(arrow.column(name))).as_py() or 0
    return widths


def read_table(
    path: str | Path,
    columns: list[str] | None = None,
    *,
    data_id: Mapping[str, int | str] | None = None,
    schema: TableSchema | None = None,
) -> Table:
    """Return the table of a Parquet file.

    Parameters
    ----------
    path
        The file.
    columns
        Which columns to read, all by default.
    data_id
        Values of the columns that the path says, which are put in front.
    schema
        Types, units and meanings of those columns.

    Raises
    ------
    MissingDatasetError
        If there is no such file.
    InputError
        If it is no Parquet file, was written by a later drpflow, or lacks a column.
    """
    path = Path(path)
    file = open_parquet(path)
    names = file.schema_arrow.names
    wanted = list(columns) if columns is not None else [*(data_id or {}), *names]
    for name in wanted:
        if name not in names and name not in (data_id or {}):
            raise InputError(
                path, f"it has no column {name!r}{suggest(name, names)}", f"It has {names}"
            )
    arrow = file.read(columns=[name for name in wanted if name in names])
    meta = table_meta(file.schema_arrow)
    for name, value in reversed(list((data_id or {}).items())):
        if name in wanted and name not in arrow.column_names:
            arrow = _with_constant(arrow, name, value, file.metadata.num_rows, schema)
    return Table(arrow.select(wanted).replace_schema_metadata(), meta=meta)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Return a Parquet file whose footer has been read.

    Raises
    ------
    MissingDatasetError
        If there is no such file.
    InputError
        If it is no Parquet file, or was written by a later drpflow.
    """
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise MissingDatasetError(f"{path} does not exist") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(path, f"it cannot be read as Parquet ({error})", "Make it again") from None
    version = table_meta(file.schema_arrow, with_format=True).get("format", 0)
    if version > FORMAT_VERSION:
        raise InputError(
            path,
            f"its format is {version}, this drpflow reads up to {FORMAT_VERSION}",
            "Upgrade drpflow",
        )
    return file


def table_meta(schema: pa.Schema, *, with_format: bool = False) -> dict[str, Any]:
    """Return what holds for the whole table, from the metadata of its file."""
    meta: dict[str, Any] = json.loads((schema.metadata or {}).get(META_KEY, b"{}"))
    if not with_format:
        meta.pop("format", None)
    return meta


def _with_constant(
    arrow: pa.Table, name: str, value: int | str, rows: int, schema: TableSchema | None
) -> pa.Table:
    """Return the table with a column of one value in front."""
    known = {c.name: c for c in schema.columns} if schema else {}
    about = known.get(name)
    kind = about.type if about else ("int64" if isinstance(value, int) else "str")
    values = np.full(rows, value, np.str_ if kind == "str" else kind)
    column = to_arrow(values)
    metadata = {"unit": about.unit if about else "", "description": about.doc if about else ""}
    field = pa.field(name, column.type, nullable=False, metadata=metadata)
    if not arrow.column_names:
        return pa.Table.from_arrays([column], schema=pa.schema([field]))
    return arrow.add_column(0, field, column)
