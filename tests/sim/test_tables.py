from pathlib import Path

import numpy as np

from drpflow.sim.tables import structured_columns, write_curve, write_table


def test_vector_fields_become_columns() -> None:
    rows = np.zeros(3, dtype=[("a", "i8"), ("v", "f8", (2,))])
    rows["v"][:, 1] = 7.0
    columns = structured_columns(rows)
    assert list(columns) == ["a", "v_0", "v_1"]
    assert (columns["v_1"] == 7.0).all()


def test_table_keeps_types_and_units(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "new" / "t.parquet"
    write_table(path, {"id": np.array([1, 2]), "x": np.array([0.5, np.nan])}, {"x": "pix"})
    table = pq.read_table(path)
    assert table.schema.field("id").type == pa.int64()
    assert table.schema.field("x").metadata == {b"unit": b"pix"}
    assert np.isnan(table["x"].to_numpy()[1])
    assert [p.name for p in path.parent.iterdir()] == ["t.parquet"]


def test_curve(tmp_path: Path) -> None:
    write_curve(tmp_path / "c.csv", np.array([400.0, 401.0]), np.array([0.5, 0.25]))
    expected = "wavelength_nm,throughput\n400,0.500000\n401,0.250000\n"
    assert (tmp_path / "c.csv").read_text() == expected
