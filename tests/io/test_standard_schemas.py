"""Tables that follow Rubin's Science Data Model: each column against the real schema.

The schema is the base of those of all data releases, read with Rubin's own reader.
"""

from __future__ import annotations

import re
from functools import cache

import pytest
from astropy import units as u

from drpflow.io.schemas import load_schema, schema_names

felis = pytest.importorskip("felis.datamodel")

NAMES = [name for name in schema_names() if load_schema(name).standard]
# Rubin's type: ours.
TYPES = {
    "boolean": "bool", "short": "int16", "int": "int32", "long": "int64", "float": "float32",
    "double": "float64", "char": "str", "string": "str", "unicode": "str", "text": "str",
}  # fmt: skip


@cache
def rubin():
    """Rubin's tables: columns by name."""
    path = "resource://lsst.sdm.schemas/drp_base.yaml"
    schema = felis.Schema.from_uri(path, context={"id_generation": True})
    return {table.name: {c.name: c for c in table.columns} for table in schema.tables}


def cases():
    return [(name, column) for name in NAMES for column in load_schema(name).columns]


def test_what_a_run_is_for_follows_the_standard():
    assert {"final_source_detector", "source"} <= set(NAMES)
    shared = [c for c in load_schema("source").columns if not c.own]
    assert len(shared) >= 95


@pytest.mark.parametrize(("table", "column"), cases(), ids=lambda v: getattr(v, "name", v))
def test_column(table, column):
    known = rubin()[load_schema(table).standard]
    if column.own:
        assert column.name not in known, "Rubin has it: it is not our own"
        return
    assert column.name in known
    theirs = known[column.name]
    assert TYPES[theirs.datatype.value] == column.type
    unit = theirs.ivoa_unit or theirs.fits_tunit or ""
    assert u.Unit(column.unit) == u.Unit(unit, format="vounit" if unit else None)


@pytest.mark.parametrize("name", NAMES)
def test_units_are_those_of_the_virtual_observatory(name):
    for column in load_schema(name).columns:
        unit = u.Unit(column.unit)
        if u.electron in unit.bases:
            continue  # VOUnits has none
        assert u.Unit(unit.to_string("vounit"), format="vounit") == unit, column.name


@pytest.mark.parametrize("name", NAMES)
def test_a_flux_has_an_error_and_a_flag(name):
    names = {c.name for c in load_schema(name).columns}
    for flux in (n for n in names if re.fullmatch(r"\w+Flux\d?", n)):
        assert f"{flux}Err" in names
        flag = "normCompTophatFlux_flag" if flux == "calibFlux" else f"{flux}_flag"
        assert flag in names
