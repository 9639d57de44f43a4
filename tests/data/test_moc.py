"""Multi-order coverage maps against healpy, which knows nothing of them but the numbering."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.data.moc import Moc


def of_circle(order, ra, dec, radius_deg):
    vector = healpy.ang2vec(ra, dec, lonlat=True)
    return healpy.query_disc(1 << order, vector, np.radians(radius_deg), nest=True)


@given(order=st.integers(0, 6), seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_numbers_tell_the_cells(order, seed, share):
    rng = np.random.default_rng([seed, order])
    cells = np.flatnonzero(rng.random(12 << 2 * order) < share)
    uniq = Moc(order, cells).to_uniq()
    assert (np.diff(uniq) > 0).all()
    np.testing.assert_array_equal(Moc.from_uniq(order, uniq).cells, cells)
    orders = (np.log2(uniq // 4) // 2).astype(int)
    assert (orders <= order).all()
    # No four cells of one parent are left.
    for level in np.unique(orders[orders > 0]):
        parents = (uniq[orders == level] - 4 * 4**level) // 4
        assert (np.unique(parents, return_counts=True)[1] < 4).all()


def test_whole_sky_is_twelve_cells():
    np.testing.assert_array_equal(Moc(3, np.arange(12 << 6)).to_uniq(), np.arange(4, 16))


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.99, 41.0), (123.0, -89.5), (45.0, 90.0)])
def test_places_and_area_of_a_circle(ra, dec):
    order, radius = 11, 1.0
    moc = Moc(order, of_circle(order, ra, dec, radius))
    rng = np.random.default_rng(1)
    x, y, z = rng.normal(size=(3, 20_000))
    places = np.stack([x, y, z]) / np.sqrt(x * x + y * y + z * z)
    near = healpy.ang2vec(ra, dec, lonlat=True)[:, None] + 0.03 * places
    lon, lat = healpy.vec2ang(near.T, lonlat=True)
    expected = np.isin(healpy.ang2pix(1 << order, lon, lat, nest=True, lonlat=True), moc.cells)
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(moc.contains(lon, lat), expected)
    cap = 2 * np.pi * (1 - np.cos(np.radians(radius))) * np.degrees(1) ** 2
    assert moc.area_deg2 == pytest.approx(cap, rel=0.02)


def test_no_sky():
    moc = Moc(5, np.zeros(0, int))
    assert moc.to_uniq().size == 0
    assert not moc.contains(10.0, 10.0)


@pytest.mark.parametrize(("order", "cells"), [(30, [0]), (1, [48]), (1, [-1])])
def test_what_is_no_map(order, cells):
    with pytest.raises(ValueError, match="order"):
        Moc(order, np.array(cells))
