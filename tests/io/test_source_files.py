"""`source` and its coverage as other programs see them."""

from __future__ import annotations

import warnings
from pathlib import Path

import healpy
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits, votable
from astropy.table import QTable

from drpflow.config.consolidate_source_table import ConsolidateSourceTableConfig
from drpflow.data.moc import Moc
from drpflow.errors import InputError
from drpflow.io.moc_files import read_moc, write_moc
from drpflow.io.schemas import load_schema
from drpflow.io.source_files import DetectorTables, write_source
from drpflow.io.store import Store
from tests.tasks.source_tables import TABLE, columns, write_sources

ROWS = {0: 120, 1: 80}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two visits of two detectors."""
    root = tmp_path_factory.mktemp("results")
    for visit in (21, 22):
        write_sources(root, visit, ROWS)
        paths = [
            TABLE.path(root, "final_source_detector", visit=visit, detector=d) for d in sorted(ROWS)
        ]
        tables = DetectorTables(paths)
        for detector in tables.detectors:
            tables.read(detector)
        options = {
            "source": TABLE.path(root, "source", visit=visit),
            "visit": visit,
            "config": ConsolidateSourceTableConfig(),
            "final_source_detector": paths,
            "final_visit_summary": Path("final_visit_summary.parquet"),
        }
        write_source(tables, ROWS, {2: "no PSF"}, options)
    return root


def one(root: Path) -> Path:
    return TABLE.path(root, "source", visit=21)


def expected(name: str, visit: int = 21) -> np.ndarray:
    return np.concatenate([columns(visit, d, n)[name] for d, n in ROWS.items()])


def test_pandas(root):
    frame = pd.read_parquet(one(root))
    np.testing.assert_array_equal(frame["psfFlux"], expected("psfFlux"))
    assert frame.attrs["units"]["psfFlux"] == "nJy"
    assert frame["detector"].dtype == np.int16
    # The folder is the run: the visit comes from the names of the folders.
    run = pd.read_parquet(root / "source")
    assert sorted(run["visit"].astype(int).unique()) == [21, 22]
    assert len(run) == 2 * sum(ROWS.values())


def test_astropy_with_units_and_meanings(root):
    table = QTable.read(one(root), format="parquet")
    assert table["psfFlux"].unit == u.nJy
    assert table["ra"].unit == u.deg
    assert table["ixx"].unit == u.pix**2
    np.testing.assert_array_equal(table["dec"].value, expected("dec"))
    assert "PSF" in table["psfFlux"].info.description
    for column in load_schema("source").without({"visit"}).columns:
        assert table[column.name].info.description == column.doc
        assert (getattr(table[column.name], "unit", None) or "") == (
            u.Unit(column.unit) if column.unit else ""
        )
    assert table.meta["lost"] == [{"detector": 2, "reason": "no PSF"}]


def test_pyarrow_dataset_reads_what_is_asked_for(root):
    parts = pads.partitioning(pa.schema([("visit", pa.int64())]), flavor="hive")
    run = pads.dataset(root / "source", partitioning=parts)
    assert run.count_rows() == 2 * sum(ROWS.values())
    wanted = (pads.field("visit") == 22) & (pads.field("detector") == 1)
    found = run.to_table(columns=["sourceId", "ra"], filter=wanted)
    np.testing.assert_array_equal(found["ra"].to_numpy(), columns(22, 1, ROWS[1])["ra"])
    fragment = next(f for f in run.get_fragments(pads.field("visit") == 22))
    groups = fragment.split_by_row_group(wanted, run.schema)
    assert len(groups) == 1, "the statistics tell which row group to read"


def test_every_visit_has_the_same_schema(root):
    first, second = (pq.read_schema(TABLE.path(root, "source", visit=visit)) for visit in (21, 22))
    assert first.equals(second)
    assert all(first.field(k).metadata == second.field(k).metadata for k in range(len(first)))


def test_store(root):
    run = Store(root).get("source_run")
    assert set(run["visit"]) == {21, 22}
    assert run.units["ra_dec_Cov"] == "deg2"


def footer(root: Path) -> dict[bytes, bytes]:
    return pq.ParquetFile(one(root)).metadata.metadata


def test_the_virtual_observatory_reads_its_footer(root, tmp_path):
    keys = footer(root)
    assert keys[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    path = tmp_path / "source.vot"
    path.write_bytes(keys[b"IVOA.VOTable-Parquet.content"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "'nJy electron-1' is invalid|.*electron", Warning)
        document = votable.parse(path, verify="exception")
    fields = document.get_first_table().fields
    columns = load_schema("source").without({"visit"}).columns
    assert [f.name for f in fields] == [c.name for c in columns]
    kinds = {"bool": "boolean", "int16": "short", "int32": "int", "int64": "long",
             "float32": "float", "float64": "double", "str": "unicodeChar"}  # fmt: skip
    for field, column in zip(fields, columns, strict=True):
        assert field.datatype == kinds[column.type]
        assert field.description == column.doc
        if "electron" not in column.unit:  # VOUnits has none
            assert (field.unit or u.dimensionless_unscaled) == u.Unit(column.unit)
    params = {p.name: p.value for p in document.get_first_table().params}
    assert params["visit"] == 21
    assert params["task"] == "consolidateSourceTable"


def test_astropy_reads_it_as_votable_in_parquet(root):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = QTable.read(one(root), format="parquet.votable")
    assert table["psfFlux"].unit == u.nJy
    assert len(table) == sum(ROWS.values())


def test_a_path_must_say_whose_it_is():
    with pytest.raises(InputError, match="detector=<id>"):
        DetectorTables([Path("sources.parquet")])


def cap(order: int) -> np.ndarray:
    vector = healpy.ang2vec(150.0, 2.0, lonlat=True)
    return healpy.query_disc(1 << order, vector, np.radians(1.0), nest=True)


def test_moc_follows_the_standard(tmp_path):
    path = tmp_path / "moc.fits"
    write_moc(path, Moc(10, cap(10)), {"VISIT": (21, "visit")})
    with fits.open(path) as hdus:
        hdus.verify("exception")
        header, uniq = hdus[1].header, hdus[1].data["UNIQ"].astype(np.int64)
    assert {k: header[k] for k in ("PIXTYPE", "ORDERING", "COORDSYS", "MOCDIM", "MOCORD_S")} == {
        "PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "C", "MOCDIM": "SPACE",
        "MOCORD_S": 10,
    }  # fmt: skip
    assert header["TTYPE1"] == "UNIQ"
    assert header["TFORM1"] in {"K", "1K"}
    order = (np.log2(uniq // 4) // 2).astype(int)
    area = sum(healpy.nside2pixarea(1 << k, degrees=True) * (order == k).sum() for k in set(order))
    assert area == pytest.approx(cap(10).size * healpy.nside2pixarea(1 << 10, degrees=True))
    np.testing.assert_array_equal(read_moc(path).cells, cap(10))


def test_no_moc(tmp_path):
    path = tmp_path / "moc.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(InputError, match="no coverage map"):
        read_moc(path)
