"""Places of HEALPix pixels against healpy."""

from __future__ import annotations

from pathlib import Path

import healpy
import numpy as np
import pytest

from drpflow.io.healpix_names import (
    pixel_centers_deg,
    pixel_of_path,
    pixel_path,
    pixel_radius_deg,
)


@pytest.mark.parametrize("order", [0, 1, 2, 5, 10])
def test_centres_and_radii_are_those_of_healpy(order: int) -> None:
    nside = 1 << order
    total = 12 * nside * nside
    pixel = np.unique(np.linspace(0, total - 1, 2000).astype(int))
    ra, dec = pixel_centers_deg(order, pixel)
    expected_ra, expected_dec = healpy.pix2ang(nside, pixel, nest=True, lonlat=True)
    np.testing.assert_allclose(ra, expected_ra, atol=1e-10)
    np.testing.assert_allclose(dec, expected_dec, atol=1e-10)
    assert pixel_radius_deg(order) == pytest.approx(np.degrees(healpy.max_pixrad(nside)), rel=1e-8)


def test_names_there_and_back() -> None:
    path = pixel_path(Path("gaia"), 5, 123)
    assert path == Path("gaia/order=5/pixel=123.parquet")
    assert pixel_of_path(path) == (5, 123)
    assert pixel_of_path(Path("gaia/stars.parquet")) is None
