"""Parquet tables written part by part, so that only one part is in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from drpflow.data.table import Table
from drpflow.errors import InputError
from drpflow.io.atomic import atomic_path
from drpflow.io.tables import conform, file_keys, whole_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from drpflow.data.provenance import Provenance
    from drpflow.data.table import TableSchema


def write_row_groups(
    path: Path,
    parts: Iterable[Table],
    schema: TableSchema,
    rows: list[int],
    widths: Mapping[str, int],
    *,
    dataset: str,
    data_id: Mapping[str, int | str],
    meta: Mapping[str, Any],
    provenance: Provenance,
) -> None:
    """Write a table with a row group for each of its parts, atomically.

    Parameters
    ----------
    path
        The file.
    parts
        The parts in order, read as they are written; one without rows has no row group.
    schema
        What the columns must be; columns of the data ID may be left out of the parts.
    rows
        How many rows each part has.
    widths
        Largest length of the texts in each such column.
    dataset, data_id
        Dataset type and data ID.
    meta
        What else holds for the whole table.
    provenance
        What made it.

    Raises
    ------
    InputError
        If the columns of a part do not fit the schema, or the file has other row groups than
        `rows` says.
    """
    columns = Table.empty(schema.without(set(data_id))).arrow.schema
    about = whole_table(schema, dataset, data_id, meta, provenance)
    known = columns.with_metadata(file_keys(columns, widths, about))
    with atomic_path(path) as temporary:
        with pq.ParquetWriter(temporary, known, compression="zstd", version="2.6") as writer:
            for part in parts:
                arrow = conform(path, part, schema, data_id).arrow
                if arrow.num_rows:
                    whole = arrow.combine_chunks().replace_schema_metadata(known.metadata)
                    writer.write_table(whole, row_group_size=arrow.num_rows)
        _check_rows(path, temporary, [number for number in rows if number])


def _check_rows(path: Path, written: Path, rows: list[int]) -> None:
    footer = pq.ParquetFile(written).metadata
    found = [footer.row_group(k).num_rows for k in range(footer.num_row_groups)]
    if found != rows:
        problem = f"{sum(found)} rows were written in {len(found)} groups, not {sum(rows)}"
        raise InputError(path, f"{problem} in {len(rows)}", "Look whether its inputs changed")
