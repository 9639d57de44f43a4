"""The footers by which other programs learn the units and meanings of Parquet columns.

Parquet has no place for a unit. Three conventions do, and each reader knows one of them:

* astropy: ``table_meta_yaml``, and ``table::len::<column>`` for the widths of texts;
* TOPCAT and STIL: a VOTable without data, keys ``IVOA.VOTable-Parquet.*`` (IVOA note
  *VOTable metadata in Parquet*, version 1.0);
* pandas: ``PANDAS_ATTRS``, which becomes ``DataFrame.attrs``.

They are written here from the metadata of the Arrow fields, without importing any of these
programs, in a fixed order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

# Arrow type -> (VOTable datatype, astropy datatype).
_TYPES = {
    "bool": ("boolean", "bool"),
    "uint8": ("unsignedByte", "uint8"),
    "int16": ("short", "int16"),
    "int32": ("int", "int32"),
    "int64": ("long", "int64"),
    "float": ("float", "float32"),
    "double": ("double", "float64"),
    "string": ("unicodeChar", "string"),
    "binary": ("unsignedByte", "bytes"),
}


def footers(
    schema: pa.Schema, widths: Mapping[str, int], meta: Mapping[str, Any]
) -> dict[bytes, bytes]:
    """Return the key-value metadata of a Parquet file.

    Parameters
    ----------
    schema
        Arrow schema with ``unit`` and ``description`` in the metadata of its fields.
    widths
        Largest length of each column of texts or bytes.
    meta
        What holds for the whole table: texts, numbers, or mappings of them.
    """
    entries = {
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": votable(schema, meta, widths),
        "table_meta_yaml": astropy_yaml(schema, meta),
        **{f"table::len::{name}": str(max(width, 1)) for name, width in widths.items()},
        "PANDAS_ATTRS": json.dumps({**meta, "units": _units(schema)}),
    }
    return {key.encode(): value.encode() for key, value in entries.items()}


def votable(schema: pa.Schema, meta: Mapping[str, Any], widths: Mapping[str, int]) -> str:
    """Return a VOTable document that describes the columns and holds no data.

    Texts have the length of the longest: of texts of any length astropy makes objects, which it
    does not join with what it finds in the Parquet file.
    """
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">',
        "<RESOURCE>",
        "<TABLE>",
    ]
    lines += [_param(name, value) for name, value in _flat(meta).items()]
    for field in schema:
        kind, size = _votable_type(field.type)
        if kind == "unicodeChar":
            size = str(max(widths[field.name], 1))
        unit, about = _about(field, b"unit"), _about(field, b"description")
        attributes = f"name={quoteattr(field.name)} datatype={quoteattr(kind)}"
        attributes += f" arraysize={quoteattr(size)}" if size else ""
        attributes += f" unit={quoteattr(unit)}" if unit else ""
        inner = f"<DESCRIPTION>{escape(about)}</DESCRIPTION>" if about else ""
        lines.append(f"<FIELD {attributes}>{inner}</FIELD>")
    return "\n".join([*lines, "</TABLE>", "</RESOURCE>", "</VOTABLE>"])


def astropy_yaml(schema: pa.Schema, meta: Mapping[str, Any]) -> str:
    """Return the YAML header of astropy's tables (ECSV 1.0). JSON texts are YAML."""
    lines = ["datatype:"]
    for field in schema:
        entry = {"name": field.name, "unit": _about(field, b"unit"), **_astropy_type(field.type)}
        entry["description"] = _about(field, b"description")
        inner = ", ".join(f"{key}: {json.dumps(value)}" for key, value in entry.items() if value)
        lines.append(f"- {{{inner}}}")
    if meta:
        lines.append("meta: !!omap")
        lines += [f"- {{{json.dumps(key)}: {json.dumps(value)}}}" for key, value in meta.items()]
    return "\n".join(lines)


def _units(schema: pa.Schema) -> dict[str, str]:
    return {f.name: unit for f in schema if (unit := _about(f, b"unit"))}


def _about(field: pa.Field, key: bytes) -> str:
    return (field.metadata or {}).get(key, b"").decode()


def _flat(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return scalars only: those of inner mappings without the name of the mapping."""
    flat: dict[str, Any] = {}
    for name, value in meta.items():
        if isinstance(value, dict):
            flat |= {k: v for k, v in value.items() if not isinstance(v, (dict, list))}
        elif not isinstance(value, list):
            flat[name] = value
    return flat


def _param(name: str, value: Any) -> str:
    kinds = {bool: "boolean", int: "long", float: "double"}
    kind = kinds.get(type(value), "char")
    size = ' arraysize="*"' if kind == "char" else ""
    return f'<PARAM name={quoteattr(name)} datatype="{kind}"{size} value={quoteattr(str(value))}/>'


def _votable_type(kind: pa.DataType) -> tuple[str, str]:
    """Return datatype and arraysize; an empty arraysize for a single value."""
    if hasattr(kind, "list_size"):
        return _TYPES[str(kind.value_type)][0], str(kind.list_size)
    return _TYPES[str(kind)][0], "*" if str(kind) in {"string", "binary"} else ""


def _astropy_type(kind: pa.DataType) -> dict[str, str]:
    if hasattr(kind, "list_size"):
        return {
            "datatype": "string",
            "subtype": f"{_TYPES[str(kind.value_type)][1]}[{kind.list_size}]",
        }
    return {"datatype": _TYPES[str(kind)][1]}
