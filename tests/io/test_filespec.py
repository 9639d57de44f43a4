"""docs/filespec.md is enough to write another reader: here is one, without drpflow's."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from drpflow import Store
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.io.exposure_write import dither_seed
from tests.io.conftest import free_tables, make_exposure
from tests.io.record_strategies import assert_same

ID = {"visit": 12, "detector": 3}


def value(item: Any) -> Any:
    if isinstance(item, dict):
        if list(item) == ["$float"]:
            return float(item["$float"])
        return {k: value(v) for k, v in item.items()}
    return [value(v) for v in item] if isinstance(item, list) else item


def from_hdu(hdu: fits.BinTableHDU) -> tuple[str, int, dict, dict]:
    content = json.loads(hdu.data["RECORD"][0])
    arrays = {}
    for name, about in content["arrays"].items():
        if "column" in about:
            array = np.asarray(hdu.data.field(about["column"] - 1)[0])
        else:
            array = np.array(about.get("values", []))
        arrays[name] = array.astype(about["type"]).reshape(about["shape"])
    return hdu.header["KIND"], hdu.header["KINDVER"], value(content["meta"]), arrays


def from_text_and_bytes(text: str, data: bytes) -> tuple[str, int, dict, dict]:
    content, arrays, at = json.loads(text), {}, 0
    for name, about in content["arrays"].items():
        dtype = np.dtype(about["type"]).newbyteorder("<")
        n = math.prod(about["shape"])
        arrays[name] = np.frombuffer(data, dtype, n, at).reshape(about["shape"])
        arrays[name] = arrays[name].astype(about["type"])
        at += n * dtype.itemsize
    return content["kind"], content["version"], value(content["meta"]), arrays


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


@pytest.mark.parametrize("name", ["initial_pvi", "compressed_pvi"])
def test_exposure(store, name):
    exposure = make_exposure(xy0=(100, 7))
    store.put(exposure, name, **ID)
    with fits.open(store.path(name, **ID)) as hdus:
        header = hdus["IMAGE"].header
        assert (header["PIXX0"], header["PIXY0"], header["BUNIT"]) == (100, 7, "nJy")
        contents = {row["COMPONENT"]: row for row in hdus["COMPONENTS"].data}
        for part, component in exposure.components.items():
            if part == "visit_info":
                continue
            assert contents[part]["STATE"] == "stored"
            record = component.to_record()
            assert_same(type(record)(*from_hdu(hdus[part.upper()])), record)
        link = contents["visit_info"]
        assert (link["STATE"], link["DATASET"]) == ("linked", "visit_info")
        assert json.loads(link["DATA_ID"]) == {"visit": 12}
        assert contents["ap_corr"]["STATE"] == "missing"
        assert json.loads(contents["ap_corr"]["REASON"]) == exposure.missing["ap_corr"]
        provenance = json.loads(hdus["PROVENANCE"].data["JSON"][0])
        assert provenance["task"] == "calibrateImage"


def test_seed_of_the_dither():
    import zlib

    text = 'pvi{"visit": "12", "detector": "3"}'
    assert dither_seed("pvi", ID) == zlib.crc32(text.encode()) % 10000 + 1


def test_lossy_compression_is_as_told(store):
    store.put(make_exposure(), "compressed_pvi", **ID)
    path = store.path("compressed_pvi", **ID)
    with fits.open(path, disable_image_compression=True) as hdus:
        for name in ("IMAGE", "VARIANCE"):
            header = hdus[name].header
            assert header["ZCMPTYPE"] == "RICE_1"
            assert header["ZQUANTIZ"] == "SUBTRACTIVE_DITHER_2"
            assert header["ZDITHER0"] == dither_seed("compressed_pvi", ID)
            assert (header["ZTILE1"], header["ZTILE2"]) == (64, 1)
        assert hdus["MASK"].header["ZCMPTYPE"] == "RICE_1"


def test_part(store):
    exposure = make_exposure()
    store.put(exposure, "initial_pvi", **ID)
    store.put(exposure.psf, "initial_pvi.psf", **ID)
    path = store.path("initial_pvi", **ID)
    with fits.open(path.with_suffix(".parts") / "psf.fits") as hdus:
        assert hdus[0].header["BASE"] == fits.getval(path, "CONTENT")
        record = exposure.psf.to_record()
        assert_same(type(record)(*from_hdu(hdus["PSF"])), record)


def test_components_in_rows(store):
    exposure = make_exposure()
    row = ComponentRow({"wcs": exposure.wcs}, {"psf": "too few stars"})
    free = Store(store.roots, free_tables())
    free.put(ComponentTable({3: row}), "final_visit_summary", visit=12)
    (cells,) = pq.ParquetFile(store.path("final_visit_summary", visit=12)).read().to_pylist()
    assert cells["detector"] == 3
    assert json.loads(cells["component_psf"]) == {"missing": "too few stars"}
    record = exposure.wcs.to_record()
    got = from_text_and_bytes(cells["component_wcs"], cells["component_wcs_data"])
    assert_same(type(record)(*got), record)


def test_key_of_a_table(store):
    Store(store.roots, free_tables()).put({"sourceId": [1, 2]}, "source", visit=12)
    metadata = pq.read_schema(store.path("source", visit=12)).metadata
    assert json.loads(metadata[b"drpflow"]) == {
        "format": 1,
        "dataset": "source",
        "data_id": {"visit": 12},
    }
