"""Components in the rows of a Parquet table."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drpflow import InputError
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.psf import GaussianPsf
from drpflow.errors import MissingDatasetError
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.tables import read_table
from tests.io.conftest import make_wcs

HOLDS = ("wcs", "psf")


def write(path, rows, columns=None):
    write_component_table(path, ComponentTable(rows, columns or {}), HOLDS, "detector")
    return ComponentRows(path, "detector", ComponentCache())


rows = st.dictionaries(
    st.integers(0, 200),
    st.builds(
        lambda psf, wcs, why: ComponentRow(
            {"psf": psf, "wcs": wcs}, {} if wcs is not None else {"wcs": why}
        ),
        st.none() | st.builds(GaussianPsf, st.floats(0.5, 9)),
        st.none() | st.builds(make_wcs, st.integers(10, 99), st.integers(10, 99)),
        st.text(max_size=9),
    ),
    min_size=1,
    max_size=4,
)


@given(rows)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_rows_come_back_exactly(tmp_path, rows):
    stored = write(tmp_path / "t.parquet", rows)
    for key, row in rows.items():
        for name in HOLDS:
            if row.components[name] is None:
                reason = row.missing.get(name, "it was never made")
                assert stored.missing(name, key) == reason
                with pytest.raises(MissingDatasetError, match=f"no {name} for detector={key}"):
                    stored.component(name, key)
            else:
                assert stored.missing(name, key) is None
                assert stored.component(name, key) == row.components[name]


def test_plain_columns_stand_beside_them(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, {3: ComponentRow(), 1: ComponentRow()}, {"nStars": np.array([7, 8])})
    table = read_table(path)
    assert table["detector"].tolist() == [3, 1]
    assert table["nStars"].tolist() == [7, 8]


def test_anybody_can_read_what_a_component_says(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, {3: ComponentRow({"psf": GaussianPsf(2.5)}, {"wcs": "no match"})})
    (row,) = pq.read_table(path).to_pylist()
    assert json.loads(row["component_psf"])["meta"]["sigma_pix"] == 2.5
    assert json.loads(row["component_wcs"]) == {"missing": "no match"}
    assert row["component_wcs_data"] == b""


def test_without_rows(tmp_path):
    stored = write(tmp_path / "t.parquet", {})
    with pytest.raises(MissingDatasetError, match="no row detector=3"):
        stored.component("psf", 3)


def test_a_component_that_the_table_does_not_hold_is_refused(tmp_path):
    from drpflow.data.photo_calib import PhotoCalib

    row = ComponentRow({"photo_calib": PhotoCalib(1.0)})
    with pytest.raises(InputError, match="row detector=3 has a photo_calib"):
        write(tmp_path / "t.parquet", {3: row})


def test_one_component_is_read_without_the_others(tmp_path, monkeypatch):
    stored = write(tmp_path / "t.parquet", {3: ComponentRow({"psf": GaussianPsf(2.5)})})
    asked = []
    from drpflow.io import component_tables

    real = component_tables.read_table
    monkeypatch.setattr(
        component_tables, "read_table", lambda p, names: asked.append(names) or real(p, names)
    )
    stored.component("psf", 3)
    stored.component("psf", 3)
    assert asked == [["detector", "component_psf", "component_psf_data"]]


def test_a_broken_component_names_row_and_file(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, {3: ComponentRow({"wcs": make_wcs(9, 9)})})
    table = pq.read_table(path)
    at = table.column_names.index("component_wcs_data")
    field = table.schema.field(at)
    broken = table.set_column(at, field, [[b"short"]])
    pq.write_table(broken, path)
    with pytest.raises(InputError, match=r"t\.parquet: its wcs of detector=3 cannot be read"):
        ComponentRows(path, "detector", ComponentCache()).component("wcs", 3)
