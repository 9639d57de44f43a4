"""Components as FITS binary tables of one row.

The first column, ``RECORD``, holds JSON text: the metadata of the record, and type and shape of
each of its arrays. Each numeric array that is not empty is a column of its own, with ``TDIM``,
so that any FITS viewer shows it; text arrays stand in the JSON.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from drpflow.data.record import Record
from drpflow.io.records import array_type, describe_array, dumps, loads, text_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

# FITS binary table codes of the array types (FITS Standard 4.0, table 18).
_CODES = {
    "bool": "L",
    "uint8": "B",
    "int16": "I",
    "int32": "J",
    "int64": "K",
    "float32": "E",
    "float64": "D",
    "complex64": "C",
    "complex128": "M",
}


def record_to_hdu(record: Record, name: str) -> fits.BinTableHDU:
    """Return a record as a binary table.

    Parameters
    ----------
    record
        The component.
    name
        Name of the component, which becomes that of the HDU.

    Raises
    ------
    TypeError
        If an array or a value has a type that is not stored.
    """
    arrays: dict[str, Any] = {}
    columns: list[fits.Column] = []
    for key, array in record.arrays.items():
        kind = array_type(key, array)
        arrays[key] = about = describe_array(kind, array)
        if kind != "str" and array.size:
            about["column"] = len(columns) + 2  # FITS counts from 1; RECORD comes first
            columns.append(_column(f"{key}_{len(columns)}" if _taken(key, columns) else key, array))
    text = text_column("RECORD", [dumps({"meta": record.meta, "arrays": arrays})])
    hdu = binary_table([text, *columns], name.upper())
    hdu.header["KIND"] = (record.kind, "kind of component")
    hdu.header["KINDVER"] = (record.version, "schema version of this kind")
    return hdu


def record_from_hdu(hdu: fits.BinTableHDU) -> Record:
    """Rebuild a record from its binary table.

    Raises
    ------
    ValueError, KeyError
        If the table is not of the form that :func:`record_to_hdu` writes.
    """
    row = hdu.data[0]
    content = loads(row[0])
    arrays = {}
    for key, about in content["arrays"].items():
        if about["type"] == "str":
            arrays[key] = text_array(about)
            continue
        array = np.zeros(tuple(about["shape"]), about["type"])
        if "column" in about:
            array[...] = np.asarray(row[about["column"] - 1]).reshape(array.shape)
        arrays[key] = array
    return Record(str(hdu.header["KIND"]), int(hdu.header["KINDVER"]), content["meta"], arrays)


def binary_table(columns: list[fits.Column], name: str) -> fits.BinTableHDU:
    """Return columns as a binary table.

    ``BinTableHDU.from_columns`` gives the same bytes, and imports ``astropy.table`` (0.15 s).
    """
    hdu = fits.BinTableHDU(name=name)
    hdu.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    return hdu


def text_column(name: str, values: list[str]) -> fits.Column:
    """Return a column of ASCII texts.

    Raises
    ------
    UnicodeEncodeError
        If a text is not ASCII.
    """
    encoded = np.array([value.encode("ascii") for value in values], dtype="S")
    return fits.Column(name, f"{max(encoded.dtype.itemsize, 1)}A", array=encoded)


def _taken(key: str, columns: list[fits.Column]) -> bool:
    """Return whether a column has this name already; FITS does not tell cases apart."""
    return key.lower() in {"record", *(column.name.lower() for column in columns)}


def _column(name: str, array: NDArray[Any]) -> fits.Column:
    code = _CODES[array_type(name, array)]
    # TDIM lists the axes fastest first, the reverse of a C array's shape.
    dim = f"({','.join(str(n) for n in reversed(array.shape))})" if array.ndim > 1 else None
    row = np.ascontiguousarray(array).reshape((1, *array.shape) if array.ndim > 1 else (1, -1))
    return fits.Column(name, f"{math.prod(array.shape)}{code}", dim=dim, array=row)
