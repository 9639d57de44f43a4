"""Components as JSON text and as text with bytes: what tables and JSON files hold.

JSON has no NaN and no infinity; they are written as ``{"$float": "nan"}`` (``"inf"``,
``"-inf"``). Finite floats are written with as many digits as they need to come back exactly.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.record import Record, from_record
from drpflow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.record import Component

_FLOAT = "$float"
NUMERIC_TYPES = (
    "bool",
    "uint8",
    "int16",
    "int32",
    "int64",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
"""Types of the arrays of a record, beside text."""


def encode(value: Any) -> Any:
    """Return a JSON-able copy in which floats that JSON does not know are marked.

    Raises
    ------
    TypeError
        If something is not JSON-able, or a mapping has the key that marks floats.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: str(value)}
    if isinstance(value, dict):
        if _FLOAT in value:
            raise TypeError(f"the key {_FLOAT!r} is reserved")
        return {_text_key(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")


def _text_key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the key {key!r} of stored metadata is no text")
    return key


def decode(value: Any) -> Any:
    """Undo :func:`encode`."""
    if isinstance(value, dict):
        if value.keys() == {_FLOAT}:
            return float(value[_FLOAT])
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return ASCII JSON text of any value that :func:`encode` takes."""
    return json.dumps(encode(value), indent=indent, allow_nan=False, ensure_ascii=True)


def loads(text: str) -> Any:
    """Return the value of :func:`dumps`."""
    return decode(json.loads(text))


def array_type(name: str, array: NDArray[Any]) -> str:
    """Return the name of the type of a record's array.

    Raises
    ------
    TypeError
        If arrays of that type are not stored.
    """
    if array.dtype.kind == "U":
        return "str"
    kind = array.dtype.newbyteorder("=").name
    if kind not in NUMERIC_TYPES:
        raise TypeError(f"array {name!r} is of type {kind}; stored are {', '.join(NUMERIC_TYPES)}")
    return kind


def record_to_json(record: Record) -> str:
    """Return a record as indented JSON text, arrays as nested lists."""
    arrays = {}
    for name, array in record.arrays.items():
        kind = array_type(name, array)
        if kind.startswith("complex"):
            raise TypeError(f"array {name!r} is complex, which JSON cannot hold")
        arrays[name] = {"type": kind, "shape": list(array.shape), "values": array.tolist()}
    document = {
        "kind": record.kind,
        "version": record.version,
        "meta": record.meta,
        "arrays": arrays,
    }
    return dumps(document, indent=1) + "\n"


def record_from_json(text: str) -> Record:
    """Rebuild a record from :func:`record_to_json`."""
    document = loads(text)
    arrays = {
        name: np.array(item["values"], dtype=item["type"]).reshape(item["shape"])
        for name, item in document["arrays"].items()
    }
    return Record(document["kind"], document["version"], document["meta"], arrays)


def pack_record(record: Record) -> tuple[str, bytes]:
    """Return a record as JSON text and the bytes of its numeric arrays, little-endian, in order."""
    arrays, chunks = {}, []
    for name, array in record.arrays.items():
        kind = array_type(name, array)
        arrays[name] = describe_array(kind, array)
        if kind != "str":
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            chunks.append(np.ascontiguousarray(little).tobytes())
    header = {"kind": record.kind, "version": record.version, "meta": record.meta, "arrays": arrays}
    return dumps(header), b"".join(chunks)


def describe_array(kind: str, array: NDArray[Any]) -> dict[str, Any]:
    """Return type and shape of an array; of a text array also its values."""
    about: dict[str, Any] = {"type": kind, "shape": list(array.shape)}
    if kind == "str":
        about["values"] = array.reshape(-1).tolist()
    return about


def unpack_record(text: str, data: bytes) -> Record:
    """Rebuild a record from :func:`pack_record`.

    Raises
    ------
    ValueError
        If text and bytes do not belong together.
    """
    header = loads(text)
    arrays, offset = {}, 0
    for name, about in header["arrays"].items():
        shape = tuple(about["shape"])
        if about["type"] == "str":
            arrays[name] = text_array(about)
            continue
        dtype = np.dtype(about["type"]).newbyteorder("<")
        count = math.prod(shape)
        values = np.frombuffer(data, dtype, count, offset)
        arrays[name] = values.astype(dtype.newbyteorder("="), copy=True).reshape(shape)
        offset += count * dtype.itemsize
    if offset != len(data):
        raise ValueError(f"a {header['kind']} of {offset} bytes has {len(data)}")
    return Record(header["kind"], header["version"], header["meta"], arrays)


def text_array(about: dict[str, Any]) -> NDArray[np.str_]:
    """Return a text array from its description."""
    return np.array(about["values"], dtype=np.str_).reshape(about["shape"])


def rebuild(record: Record, source: str | Path, what: str) -> Any:
    """Return the component that a record holds.

    Raises
    ------
    InputError
        If this drpflow cannot read the record, naming the file and the component.
    """
    try:
        return from_record(record)
    except Exception as error:
        problem = f"its {what} cannot be read: {_reason(error)}"
        raise InputError(source, problem, "Make the file again with this drpflow") from error


def _reason(error: Exception) -> str:
    text = str(error.args[0]) if error.args else ""
    return text if isinstance(error, (ValueError, KeyError)) else f"{type(error).__name__} {text}"


def read_component_json(path: Path) -> Any:
    """Return the component of a JSON file.

    Raises
    ------
    InputError
        If the file cannot be read or holds no component.
    """
    try:
        record = record_from_json(path.read_text())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"it holds no component ({error})", "Make it again") from error
    return rebuild(record, path, "component")


def write_component_json(path: Path, component: Component) -> None:
    """Write a component as a JSON file, atomically."""
    from drpflow.io.atomic import write_text

    write_text(path, record_to_json(component.to_record()))
