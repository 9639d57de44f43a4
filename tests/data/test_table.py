"""Tables in memory."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.psf import GaussianPsf
from drpflow.data.table import ColumnSchema, Table, TableSchema
from drpflow.errors import MissingDatasetError


def make() -> Table:
    columns = {"id": np.arange(4), "flux": np.array([1.0, np.nan, 3.0, 4.0])}
    return Table.from_columns(columns, units={"flux": "nJy"}, meta={"data_id": {"visit": 1}})


def test_columns_units_and_length():
    table = make()
    assert len(table) == 4
    assert table.columns == ["id", "flux"]
    assert "flux" in table
    assert "flx" not in table
    assert table.units == {"id": "", "flux": "nJy"}
    assert repr(table) == "<Table of 4 rows: id, flux>"


def test_rows_by_mask_and_by_number_keep_everything_else():
    table = make().with_components(lambda name, row: (name, row))
    for rows in (np.array([False, False, True, True]), np.array([2, 3])):
        part = table.select(rows)
        assert part["id"].tolist() == [2, 3]
        assert part.units["flux"] == "nJy"
        assert part.meta == {"data_id": {"visit": 1}}
        assert part.component("wcs", detector=3) == ("wcs", {"detector": 3})
    assert table.only(["flux"]).columns == ["flux"]


def test_a_table_from_nowhere_has_no_components():
    with pytest.raises(MissingDatasetError, match=r"read it with Store\.get"):
        make().component("wcs")


def test_columns_of_several_axes_or_lengths_are_refused():
    with pytest.raises(ValueError, match=r"not the shape \(2, 2, 2\)"):
        Table.from_columns({"a": np.zeros((2, 2, 2))})
    with pytest.raises(ValueError, match="'b' has 1, 'a' 2"):
        Table.from_columns({"a": np.zeros(2), "b": np.zeros(1)})


def test_big_endian_columns_of_fits_files_are_taken():
    table = Table.from_columns({"a": np.arange(3, dtype=">f8")})
    assert table["a"].tolist() == [0.0, 1.0, 2.0]


def test_bytes_with_zeros_at_the_end_survive():
    values = np.empty(2, object)
    values[:] = [b"a\0\0", b""]
    assert Table.from_columns({"a": values})["a"].tolist() == [b"a\0\0", b""]


def test_schema_rounds_floats_and_nothing_else():
    schema = TableSchema(
        name="s",
        version=1,
        doc="a row",
        columns=(
            ColumnSchema(name="x", type="float32", doc="x"),
            ColumnSchema(name="n", type="int16", doc="n"),
        ),
    )
    table = Table.from_columns({"n": [1, 2], "x": [0.1, np.nan]}, schema)
    assert table.columns == ["x", "n"]
    assert table["x"].dtype == np.float32
    assert table["n"].dtype == np.int16
    with pytest.raises(ValueError, match="of type int16; values of int64 do not fit"):
        Table.from_columns({"n": [1, 70000], "x": [0, 0]}, schema)
    assert len(Table.empty(schema)) == 0
    assert schema.without({"n"}).columns == (schema.column("x"),)
    with pytest.raises(KeyError, match="schema s has no column 'y'"):
        schema.column("y")


def test_component_table():
    rows = {3: ComponentRow({"psf": GaussianPsf(1.0)}, {"wcs": "no match"})}
    table = ComponentTable(rows, {"n": [5]})
    assert table.component("psf", 3) == GaussianPsf(1.0)
    assert table.component("wcs", 3) is None
    with pytest.raises(ValueError, match="column 'n' has 2 values for 1 rows"):
        ComponentTable(rows, {"n": [5, 6]})
    with pytest.raises(KeyError, match="did you mean 'psf'"):
        ComponentRow({"fps": GaussianPsf(1.0)})
