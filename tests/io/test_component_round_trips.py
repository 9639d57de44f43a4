"""Every kind of component comes back exactly from each of its written forms."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drpflow.data.component_names import COMPONENTS as OF_EXPOSURES
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.record import Component
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows, write_component_table
from drpflow.io.exposure_fits import read_component
from drpflow.io.exposure_write import write_part
from drpflow.io.fits_index import FitsIndex
from drpflow.io.records import read_component_json, write_component_json
from tests.data.component_strategies import COMPONENTS
from tests.io.record_strategies import assert_same

PSFS = ("gaussian_psf", "double_gaussian_psf", "pixel_grid_psf", "coadd_psf")
NAMES = {"sky_wcs": "wcs"} | dict.fromkeys(PSFS, "psf")
few = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def assert_equal(back: Component, component: Component) -> None:
    assert type(back) is type(component)
    assert_same(back.to_record(), component.to_record())


@pytest.mark.parametrize("kind", COMPONENTS)
def test_round_trips(tmp_path, kind):
    name = NAMES.get(kind, kind)

    @given(COMPONENTS[kind], st.integers(0, 200))
    @few
    def check(component, key):
        write_part(tmp_path / "c.fits", name, component, "")
        assert_equal(
            read_component(FitsIndex(tmp_path / "c.fits"), name, ComponentCache()), component
        )
        write_component_json(tmp_path / "c.json", component)
        assert_equal(read_component_json(tmp_path / "c.json"), component)
        if name not in OF_EXPOSURES:
            return
        table = ComponentTable({key: ComponentRow({name: component})})
        write_component_table(tmp_path / "c.parquet", table, [name], "detector")
        rows = ComponentRows(tmp_path / "c.parquet", "detector", ComponentCache())
        assert_equal(rows.component(name, key), component)

    check()
