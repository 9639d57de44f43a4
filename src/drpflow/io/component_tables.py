"""Components in the rows of a Parquet table: a visit's WCSs, PSFs and calibrations in one file.

A component takes two columns, ``component_<name>`` with the JSON text of its record (readable
anywhere) and ``component_<name>_data`` with the bytes of its arrays. Where a component is
missing, the text is ``{"missing": "<reason>"}`` and the bytes are empty.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.table import Table
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.cache import Signature
from drpflow.io.records import pack_record, rebuild, unpack_record
from drpflow.io.tables import open_parquet, read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from drpflow.data.component_table import ComponentRow, ComponentTable
    from drpflow.data.provenance import Provenance
    from drpflow.data.table import TableSchema
    from drpflow.io.cache import ComponentCache

PREFIX = "component_"
_NEVER_MADE = "it was never made"


def write_component_table(
    path: Path,
    table: ComponentTable,
    holds: Iterable[str],
    row: str,
    schema: TableSchema | None = None,
    *,
    dataset: str = "",
    data_id: Mapping[str, int | str] | None = None,
    provenance: Provenance | None = None,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Write components and plain columns as one Parquet table, a row each, atomically.

    Parameters
    ----------
    path
        The file.
    table
        What is written.
    holds
        Names of the components that such a table has columns for.
    row
        Name of the column that tells the rows apart.
    schema
        What the plain columns must be, `row` among them; columns of the data ID may be left out.
    dataset, data_id
        Dataset type and data ID.
    provenance
        What made it.
    meta
        What else holds for the whole table.

    Raises
    ------
    InputError
        If a row has a component that the table does not hold, or columns do not fit the schema.
    """
    holds = tuple(holds)
    _check_held(path, table, holds, row)
    keys = {row: np.array(list(table.rows), np.int64), **table.columns}
    if schema is not None:
        schema = schema.without(set(data_id or {}) - set(keys))
    plain = Table.from_columns(keys, schema)
    columns, about = plain.to_dict(), dict(plain.descriptions)
    for name in holds:
        cells = [_pack(entry, name) for entry in table.rows.values()]
        text, data = PREFIX + name, f"{PREFIX}{name}_data"
        columns[text] = np.array([cell[0] for cell in cells], object)
        columns[data] = _bytes_array([cell[1] for cell in cells])
        about |= {text: f"{name}: record as JSON", data: f"{name}: bytes of the record's arrays"}
    whole = Table.from_columns(columns, units=plain.units, descriptions=about, meta=meta)
    write_table(path, whole, dataset=dataset, data_id=data_id, provenance=provenance)


def _check_held(path: Path, table: ComponentTable, holds: tuple[str, ...], row: str) -> None:
    for key, entry in table.rows.items():
        unknown = sorted({*entry.components, *entry.missing} - set(holds))
        if unknown:
            raise InputError(
                path,
                f"row {row}={key} has a {unknown[0]}, which it does not hold",
                f"It holds {', '.join(holds)}",
            )


def _bytes_array(values: list[bytes]) -> np.ndarray[Any, Any]:
    if not values:
        return np.zeros(0, "S1")
    array = np.empty(len(values), object)  # numpy's own type would cut zeros off the ends
    array[:] = values
    return array


def _pack(row: ComponentRow, name: str) -> tuple[str, bytes]:
    component = row.components.get(name)
    if component is None:
        return json.dumps({"missing": row.missing.get(name, _NEVER_MADE)}), b""
    return pack_record(component.to_record())


class ComponentRows:
    """The components in the rows of a Parquet table.

    Parameters
    ----------
    path
        The file.
    row
        Name of the column that tells the rows apart.
    cache
        Where columns and components are kept once they are read.
    """

    def __init__(self, path: Path, row: str, cache: ComponentCache) -> None:
        self._path = path
        self._row = row
        self._cache = cache
        self._signature = Signature.of(path)

    def component(self, name: str, key: int) -> Any:
        """Return the component of a row.

        Raises
        ------
        MissingDatasetError
            If there is no such row, or the component is missing from it, with the reason.
        InputError
            If it cannot be read.
        """
        return self._cache.get((self._signature, name, key), lambda: self._make(name, key))

    def missing(self, name: str, key: int) -> str | None:
        """Return why a component is missing from a row, or None if it is there."""
        reason = json.loads(self._cell(name, key)[0]).get("missing")
        return None if reason is None else str(reason)

    def _make(self, name: str, key: int) -> Any:
        where = f"{self._row}={key}"
        reason = self.missing(name, key)
        if reason is not None:
            raise MissingDatasetError(f"{self._path} has no {name} for {where}: {reason}")
        what = f"{name} of {where}"
        try:
            record = unpack_record(*self._cell(name, key))
        except (ValueError, KeyError) as error:
            raise InputError(
                self._path, f"its {what} cannot be read ({error})", "Make it again"
            ) from error
        return rebuild(record, self._path, what)

    def _cell(self, name: str, key: int) -> tuple[str, bytes]:
        cells = self._column(name)
        if key not in cells:
            raise MissingDatasetError(f"{self._path} has no row {self._row}={key}")
        return cells[key]

    def _column(self, name: str) -> dict[int, tuple[str, bytes]]:
        column: _Cells = self._cache.get((self._signature, name), lambda: self._read(name))
        return column

    def _read(self, name: str) -> _Cells:
        names = [self._row, PREFIX + name, f"{PREFIX}{name}_data"]
        table = read_table(self._path, names).arrow
        keys, texts, data = (table.column(n).to_pylist() for n in names)
        return _Cells(zip(keys, zip(texts, data, strict=True), strict=True))


class _Cells(dict[int, tuple[str, bytes]]):
    """A dictionary to which weak references can be made."""


def plain_columns(path: Path) -> list[str]:
    """Return the columns of a table that hold no component."""
    return [n for n in open_parquet(path).schema_arrow.names if not n.startswith(PREFIX)]
