"""Tables of a row an identifier and band, joined to tables of a row an identifier."""

from pathlib import Path

import numpy as np
import pytest

from drpflow import InputError, Store
from drpflow.data.table import Table
from drpflow.io.aggregate import join_columns
from drpflow.io.datasets import Spread
from drpflow.io.schemas import load_schema

SPREAD = Spread(along="band", columns=("mag", "n"))
STARS = {"id": np.array([5, 3, 9]), "ra": np.array([1.0, 2.0, 3.0]), "reserved": [0, 1, 0]}
LONG = {
    "id": np.array([3, 3, 5]),
    "band": np.array(["r", "g", "r"]),
    "mag": np.array([20.0, 21.0, np.nan]),
    "n": np.array([4, 2, 1], np.int32),
    "color": np.array([0.5, 0.5, np.nan]),
    "reserved": np.array([1, 1, 0]),
}


def joined(**changes: object) -> Table:
    tables = [
        ("stars", Table.from_columns(STARS)),
        ("magnitudes", Table.from_columns({**LONG, **changes}, units={"mag": "mag"})),
    ]
    return join_columns(tables, "id", "both", SPREAD)


def test_each_band_in_columns_of_its_own() -> None:
    table = joined()
    new = ["mag_g", "mag_r", "n_g", "n_r", "color"]
    assert table.columns == ["id", "ra", "reserved", *new]
    np.testing.assert_array_equal(table["mag_r"], [np.nan, 20.0, np.nan])
    np.testing.assert_array_equal(table["mag_g"], [np.nan, 21.0, np.nan])
    np.testing.assert_array_equal(table["n_r"], [1, 4, 0])
    np.testing.assert_array_equal(table["color"], [np.nan, 0.5, np.nan])
    assert table.units["mag_r"] == "mag"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"band": np.array(["r", "r", "r"])}, "id = 3 has several rows of band r"),
        ({"id": np.array([3, 3, 7])}, "id = 7 is not among the rows"),
        ({"color": np.array([0.5, 0.6, 0.1])}, "column 'color' differs between rows of one id"),
        ({"reserved": np.array([0, 0, 0])}, "column 'reserved' holds other values than in stars"),
    ],
)
def test_rows_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        joined(**changes)


def test_no_row_at_all() -> None:
    table = joined(**{name: values[:0] for name, values in LONG.items()})
    assert len(table) == 3
    assert np.isnan(table["color"]).all()


def test_standard_stars_as_fgcm_writes_them(tmp_path: Path) -> None:
    """Through the store, with the schemas of both tables."""
    store = Store(tmp_path)
    of_type = {"str": "U1", "bool": bool}
    for name, rows in (("isolated_stars", 2), ("fgcm_standard_stars", 3)):
        schema = load_schema(name)
        columns = {
            c.name: np.zeros(rows, of_type.get(c.type, c.type))
            for c in schema.columns
            if c.name != "skypix"
        }
        columns["isolated_star_id"] = np.array([11, 12, 12][:rows])
        if "band" in columns:
            columns["band"] = np.array(["r", "g", "r"])
            columns["mag_std"] = np.array([20.0, 19.0, 18.0])
        store.put(columns, name, skypix=7)
    table = store.get("standard_stars", skypix=7)
    np.testing.assert_array_equal(table["mag_std_r"], [20.0, 18.0])
    np.testing.assert_array_equal(table["mag_std_g"], [np.nan, 19.0])
    assert table.units["mag_std_g"] == "mag"
    assert store.get("standard_stars", skypix=7, columns=["ra", "n_good_r"]).columns == [
        "ra",
        "n_good_r",
    ]
