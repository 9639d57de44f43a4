"""Small exposures for the tests of reading and writing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.plane_maps import AffineMap, RadialMap
from drpflow.data.provenance import Provenance
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.data.visit_info import VisitInfo
from drpflow.io.datasets import DatasetTable

if TYPE_CHECKING:
    from collections.abc import Callable


def make_wcs(nx: int, ny: int, x0: int = 0, y0: int = 0) -> SkyWcs:
    """0.2 arcsec pixels, 2 degrees off the axis of distorting optics."""
    center = np.array([x0 + (nx - 1) / 2, y0 + (ny - 1) / 2])
    scale = 0.015
    to_mm = AffineMap(scale * np.eye(2), np.array([80.0, 30.0]) - scale * center)
    optics = RadialMap(13.3 / 3600, 100.0, (8e-3, -1e-3))
    return SkyWcs(
        (("detector", to_mm), ("optics", optics)), TanProjection(150.1, 2.2, 30.0, "west"), (nx, ny)
    )


def make_exposure(
    shape: tuple[int, int] = (48, 64),
    *,
    unit: Any = "nJy",
    xy0: tuple[int, int] = (0, 0),
    seed: int = 1,
    **components: Any,
) -> Exposure:
    rng = np.random.default_rng(seed)
    ny, nx = shape
    image = rng.normal(10, 3, shape).astype(np.float32)
    mask = Mask(rng.integers(0, 2**20, shape, dtype=np.int32))
    variance = rng.uniform(8, 10, shape).astype(np.float32)
    return Exposure(
        image,
        mask,
        variance,
        unit=unit,
        xy0=xy0,
        components={
            "wcs": make_wcs(nx, ny, *xy0),
            "psf": GaussianPsf(1.7),
            "photo_calib": PhotoCalib(1.2, 0.01),
            "background": Background((("local", PolynomialLayer.constant(100.0)),)),
            "visit_info": VisitInfo(
                12,
                instrument="simcam",
                physical_filter="r_01",
                band="r",
                exposure_time_s=30.0,
                mjd=60000.5,
                target="COSMOS",
            ),
            **components,
        },
        missing={"ap_corr": "only 3 stars, 5 needed; n'est-ce pas – «non»"},
        provenance=Provenance(
            "0.1.0", "calibrateImage", {"psf": {"order": 2}}, "abc123", ({"name": "raw"},)
        ),
    )


@pytest.fixture(name="make_exposure")
def _make_exposure() -> Callable[..., Exposure]:
    return make_exposure


def assert_same_exposure(a: Exposure, b: Exposure) -> None:
    """Two exposures agree exactly."""
    for name in ("image", "variance"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype == np.float32
    assert a.mask == b.mask
    assert (a.unit, a.box) == (b.unit, b.box)
    assert dict(a.components) == dict(b.components)
    assert dict(a.missing) == dict(b.missing)
    assert a.provenance == b.provenance


def free_tables() -> DatasetTable:
    """drpflow's own dataset types, but tables may have any columns."""
    table = DatasetTable.load()
    free = {k: t.model_copy(update={"table_schema": None}) for k, t in table.datasets.items()}
    return table.model_copy(update={"datasets": free})
