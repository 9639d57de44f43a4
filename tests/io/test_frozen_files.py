"""Files of every version that there has been can still be read.

``python -m tests.io.test_frozen_files`` writes those of the present version, if there are none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.mask import Mask
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.exposure_headers import FORMAT_VERSION as FITS_VERSION
from drpflow.io.exposure_write import write_exposure
from drpflow.io.records import read_component_json, write_component_json
from drpflow.io.tables import FORMAT_VERSION as PARQUET_VERSION
from drpflow.io.tables import read_table
from tests.io.conftest import assert_same_exposure, make_exposure

FROZEN = Path(__file__).parent / "frozen"
SHAPE = (8, 10)
HOLDS = ("wcs", "psf", "photo_calib")


def summary() -> ComponentTable:
    exposure = make_exposure(SHAPE)
    row = ComponentRow({n: exposure.components[n] for n in HOLDS if n != "psf"}, {"psf": "3 stars"})
    return ComponentTable({4: row}, {"nStars": np.array([3])})


@pytest.mark.parametrize("path", sorted(FROZEN.glob("exposure_*.fits")), ids=lambda p: p.name)
def test_exposure(path):
    read, today = open_exposure(path), make_exposure(SHAPE, xy0=(5, 6))
    # Planes may have been added since; those of the file have kept their bits.
    assert read.mask.planes.items() <= today.mask.planes.items()
    assert len(read.mask.planes) >= 23
    known = Mask(today.mask.array, read.mask.planes)
    assert_same_exposure(read, today.replace(mask=known))


@pytest.mark.parametrize("path", sorted(FROZEN.glob("summary_*.parquet")), ids=lambda p: p.name)
def test_components_in_rows(path):
    rows, expected = ComponentRows(path, "detector", ComponentCache()), summary()
    assert rows.component("wcs", 4) == expected.component("wcs", 4)
    assert rows.component("photo_calib", 4) == expected.component("photo_calib", 4)
    assert rows.missing("psf", 4) == "3 stars"
    assert read_table(path)["nStars"].tolist() == [3]


@pytest.mark.parametrize("path", sorted(FROZEN.glob("visit_info_*.json")), ids=lambda p: p.name)
def test_component_file(path):
    assert read_component_json(path) == make_exposure(SHAPE).visit_info


def test_the_present_versions_are_among_them():
    names = {path.name for path in FROZEN.iterdir()}
    assert {f"exposure_{FITS_VERSION}.fits", f"summary_{PARQUET_VERSION}.parquet"} <= names


if __name__ == "__main__":
    if not (FROZEN / f"exposure_{FITS_VERSION}.fits").exists():
        write_exposure(FROZEN / f"exposure_{FITS_VERSION}.fits", make_exposure(SHAPE, xy0=(5, 6)))
        write_component_json(FROZEN / "visit_info_1.json", make_exposure(SHAPE).visit_info)
    if not (FROZEN / f"summary_{PARQUET_VERSION}.parquet").exists():
        write_component_table(
            FROZEN / f"summary_{PARQUET_VERSION}.parquet", summary(), HOLDS, "detector"
        )
