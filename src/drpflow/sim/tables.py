"""Writing arrays as Parquet and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.io.atomic import atomic_path, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def structured_columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the fields of a structured array; vector fields become ``name_0``, ``name_1``."""
    columns: dict[str, np.ndarray] = {}
    for name in rows.dtype.names or ():
        values = rows[name]
        if values.ndim == 1:
            columns[name] = values
        else:
            columns.update({f"{name}_{i}": values[:, i] for i in range(values.shape[1])})
    return columns


def write_table(
    path: Path, columns: Mapping[str, np.ndarray | list[str]], units: Mapping[str, str]
) -> None:
    """Write columns as Parquet; `units` go into the metadata of the fields.

    The same columns give the same bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays, fields = [], []
    for name, values in columns.items():
        array = pa.array(np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values)
        metadata = {"unit": units[name]} if name in units else None
        arrays.append(array)
        fields.append(pa.field(name, array.type, nullable=False, metadata=metadata))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_curve(path: Path, wavelength_nm: np.ndarray, throughput: np.ndarray) -> None:
    """Write a throughput curve as CSV with the columns wavelength_nm and throughput."""
    lines = ["wavelength_nm,throughput"]
    lines += [f"{w:g},{t:.6f}" for w, t in zip(wavelength_nm, throughput, strict=True)]
    write_text(path, "\n".join(lines) + "\n")
