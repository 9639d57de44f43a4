"""Parquet tables: exact, and with units that astropy, pandas, pyarrow and TOPCAT see."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import Table as AstropyTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drpflow import InputError
from drpflow.data.table import ColumnSchema, Table, TableSchema
from drpflow.errors import MissingDatasetError
from drpflow.io.tables import META_KEY, as_table, read_table, write_table

SCHEMA = TableSchema(
    name="stars",
    version=3,
    doc="a star",
    columns=(
        ColumnSchema(name="visit", type="int64", doc="visit"),
        ColumnSchema(name="id", type="int64", doc="identifier"),
        ColumnSchema(name="psfFlux", type="float64", unit="nJy", doc='flux; "PSF" < aperture'),
        ColumnSchema(name="moments", type="float32", length=3, unit="pix2", doc="xx, yy, xy"),
        ColumnSchema(name="flag", type="bool", doc="is it bad?"),
        ColumnSchema(name="name", type="str", doc="name"),
    ),
)


def columns(n: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    flux = rng.normal(1e3, 10, n)
    flux[:1] = np.nan
    return {
        "id": np.arange(n) + 2**55,
        "psfFlux": flux,
        "moments": rng.normal(size=(n, 3)).astype(np.float32),
        "flag": rng.random(n) < 0.5,
        "name": np.array(["α Cen", "", "x", "longer name"][:n]),
    }


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "visit=12" / "stars.parquet"
    write_table(path, columns(), SCHEMA, dataset="stars", data_id={"visit": 12})
    return path


def test_comes_back_exactly_with_units_and_meanings(path):
    table = read_table(path, data_id={"visit": 12}, schema=SCHEMA)
    assert table.columns == [c.name for c in SCHEMA.columns]
    for name, values in columns().items():
        np.testing.assert_array_equal(table[name], values)
        assert table[name].dtype == values.dtype
    assert (table["visit"] == 12).all()
    assert table["visit"].dtype == np.int64
    assert table.units["psfFlux"] == "nJy"
    assert table.descriptions["psfFlux"] == 'flux; "PSF" < aperture'
    assert table.meta == {
        "dataset": "stars",
        "data_id": {"visit": 12},
        "schema": "stars",
        "schema_version": 3,
    }


kinds = st.sampled_from([np.bool_, np.int16, np.int32, np.int64, np.float32, np.float64])


@st.composite
def tables(draw: st.DrawFn) -> dict[str, np.ndarray]:
    n = draw(st.integers(0, 5))
    result = {}
    for name in draw(st.lists(st.text("abcDEF", min_size=1, max_size=4), max_size=4, unique=True)):
        shape = draw(st.sampled_from([(n,), (n, 1), (n, 3)]))
        result[name] = draw(hnp.arrays(draw(kinds), shape))
    texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
    result["text"] = draw(hnp.arrays(object, n, elements=texts)).astype(np.str_)
    return result


@given(tables())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_table_comes_back_exactly(tmp_path, table):
    write_table(tmp_path / "t.parquet", table)
    back = read_table(tmp_path / "t.parquet")
    assert back.columns == list(table)
    for name, values in table.items():
        np.testing.assert_array_equal(back[name], values)
        assert back[name].shape == values.shape
        assert back[name].dtype == values.dtype or values.dtype.kind == "U"


def test_two_writes_give_the_same_bytes(tmp_path):
    for name in "ab":
        write_table(tmp_path / name, columns(), SCHEMA, data_id={"visit": 12})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_without_rows_the_columns_are_all_there(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, Table.empty(SCHEMA), SCHEMA, data_id={"visit": 12})
    table = read_table(path, data_id={"visit": 12}, schema=SCHEMA)
    assert len(table) == 0
    assert table.columns == [c.name for c in SCHEMA.columns]
    assert table["moments"].shape == (0, 3)
    full = tmp_path / "full.parquet"
    write_table(full, columns(), SCHEMA, data_id={"visit": 12})
    assert pq.read_schema(path).equals(pq.read_schema(full))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(AstropyTable.read(path)) == 0


def test_some_columns_in_the_order_asked_for(path):
    table = read_table(path, ["flag", "visit", "id"], data_id={"visit": 12})
    assert table.columns == ["flag", "visit", "id"]
    assert read_table(path, ["visit"], data_id={"visit": 12})["visit"].tolist() == [12] * 4


def test_astropy_sees_units_and_meanings(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = AstropyTable.read(path)
    assert table["psfFlux"].unit == u.nJy
    assert table["psfFlux"].description == 'flux; "PSF" < aperture'
    assert table["moments"].shape == (4, 3)
    assert table["name"][3] == "longer name"
    assert table.meta["data_id"] == {"visit": 12}


def test_our_own_astropy_table_is_the_same(path):
    table = read_table(path).to_astropy()
    assert table["psfFlux"].unit == u.nJy
    np.testing.assert_array_equal(table["moments"], columns()["moments"])


def test_pandas_sees_units(path):
    frame = pd.read_parquet(path)
    assert frame.attrs["units"] == {"psfFlux": "nJy", "moments": "pix2"}
    assert read_table(path).to_pandas().attrs["units"]["psfFlux"] == "nJy"


def test_topcat_sees_a_votable_without_data(path):
    metadata = pq.read_schema(path).metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    root = ET.fromstring(metadata[b"IVOA.VOTable-Parquet.content"])
    space = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}
    fields = {f.attrib["name"]: f for f in root.iterfind(".//v:FIELD", space)}
    assert list(fields) == ["id", "psfFlux", "moments", "flag", "name"]
    assert fields["psfFlux"].attrib["unit"] == "nJy"
    assert fields["psfFlux"].find("v:DESCRIPTION", space).text == 'flux; "PSF" < aperture'
    assert fields["moments"].attrib["arraysize"] == "3"
    assert fields["name"].attrib["datatype"] == "unicodeChar"
    params = {p.attrib["name"]: p.attrib["value"] for p in root.iterfind(".//v:PARAM", space)}
    assert params["visit"] == "12"


def test_the_votable_is_valid_to_astropy(path):
    import io

    from astropy.io.votable import parse

    content = pq.read_schema(path).metadata[b"IVOA.VOTable-Parquet.content"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        votable = parse(io.BytesIO(content), verify="exception")
    assert votable.get_first_table().get_field_by_id_or_name("psfFlux").unit == u.nJy


def test_folders_open_as_one_table_everywhere(tmp_path):
    for visit in (12, 2025041500123):
        path = tmp_path / f"visit={visit}" / "stars.parquet"
        write_table(path, columns(), SCHEMA, data_id={"visit": visit})
    part = pads.partitioning(pa.schema([("visit", pa.int64())]), flavor="hive")
    whole = pads.dataset(tmp_path, partitioning=part)
    assert whole.to_table(filter=pads.field("visit") == 12).num_rows == 4
    assert pads.dataset(tmp_path, partitioning="hive").to_table().num_rows == 8
    assert len(pd.read_parquet(tmp_path)) == 8


def test_columns_of_the_data_id_may_be_given_if_they_agree(tmp_path):
    given = {"visit": np.full(4, 12), **columns()}
    write_table(tmp_path / "t.parquet", given, SCHEMA, data_id={"visit": 12})
    assert "visit" not in pq.read_schema(tmp_path / "t.parquet").names
    with pytest.raises(InputError, match="'visit' holds other values than 13"):
        write_table(tmp_path / "u.parquet", given, SCHEMA, data_id={"visit": 13})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flux": np.zeros(4)}, "no column 'flux'; did you mean 'psfFlux'"),
        ({"psfFlux": None}, "column 'psfFlux' of schema stars is missing"),
        ({"id": np.zeros(3, int)}, "differ in length: 'id' has 3, 'psfFlux' 4"),
        ({"id": np.array([0.5, 1, 2, 3])}, "'id' of schema stars is of type int64; .* do not fit"),
        ({"name": np.zeros(4)}, "'name' of schema stars is of type str, not float64"),
        ({"moments": np.zeros((4, 2))}, r"has cells of shape \(2,\), not of 3 value"),
        ({"psfFlux": np.zeros((4, 2))}, r"has cells of shape \(2,\), not of 1 value"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path, change, message):
    given = {k: v for k, v in {**columns(), **change}.items() if v is not None}
    with pytest.raises(InputError, match=message):
        write_table(tmp_path / "t.parquet", given, SCHEMA, data_id={"visit": 12})
    assert list(tmp_path.iterdir()) == []


def test_anything_like_a_table_is_taken():
    given = columns()
    flat = {k: v for k, v in given.items() if v.ndim == 1}
    astropy = AstropyTable(given)
    astropy["psfFlux"].unit = "nJy"
    astropy["psfFlux"].info.description = "flux"
    assert as_table(astropy).units["psfFlux"] == "nJy"
    assert as_table(astropy).descriptions["psfFlux"] == "flux"
    for value in (Table.from_columns(flat), pa.table(flat), flat, pd.DataFrame(flat)):
        np.testing.assert_array_equal(as_table(value)["name"], given["name"])
        np.testing.assert_array_equal(as_table(value)["id"], given["id"])
    with pytest.raises(TypeError, match="int is no table"):
        as_table(3)


def test_absent_broken_and_later_files(tmp_path, path):
    with pytest.raises(MissingDatasetError, match=r"absent\.parquet does not exist"):
        read_table(tmp_path / "absent.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_table(path)
    later = pa.table({"a": [1]}).replace_schema_metadata({META_KEY: json.dumps({"format": 2})})
    pq.write_table(later, tmp_path / "later.parquet")
    with pytest.raises(InputError, match="its format is 2, this drpflow reads up to 1"):
        read_table(tmp_path / "later.parquet")


def test_absent_column_names_the_nearest(path):
    with pytest.raises(InputError, match="no column 'psfFlx'; did you mean 'psfFlux'"):
        read_table(path, ["psfFlx"])
    with pytest.raises(KeyError, match="did you mean 'psfFlux'"):
        read_table(path)["psfFlx"]


def test_tables_of_others_are_read_too(tmp_path):
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table["a"].tolist() == [1, 2]
    assert table.units == {"a": ""}


WRITER = """
import sys, numpy as np
from drpflow.io.tables import write_table
columns = {f"c{i}": np.random.default_rng(i).normal(size=200_000) for i in range(10)}
print("ready", flush=True)
while True:
    write_table(sys.argv[1], columns)
"""


def test_kill_in_mid_write_leaves_a_whole_file(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, columns())
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.05)
        writer.send_signal(signal.SIGKILL)
    assert len(read_table(path)) in {4, 200_000}
